"""Encoders with a head that classifies: every variant of a seed starts from the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from lib.config.errors import BadInput, listed
from lib.config.schema import Config, Model, Train
from lib.models.checkpoints import check_directory, is_adapter
from lib.models.load import load_base
from lib.models.trainable import adapted
from lib.runs.files import read_json

# A seed of the adapters' own, so that how many numbers they draw moves neither head nor dropout.
ADAPTER_SEED = 2**32


def load_classifier(model: Model, labels: Sequence[str], directory: str | None = None) -> Any:
    """The model, or the trained one in `directory`, with a head of one logit a label, in fp32.

    What a checkpoint lacks of a head (BERT's the classifier, DeBERTa's the pooler too) is drawn
    from torch's generator. fp32 at any precision, of which autocast computes: head and pooler are
    trained, and bf16 weights would swallow small updates. Raises BadInput as `load_base`.
    """
    from transformers import AutoModelForSequenceClassification

    named = dict(enumerate(labels))
    return load_base(
        model,
        torch.float32,
        directory,
        AutoModelForSequenceClassification,
        may_differ=None if directory else _of_a_head,
        num_labels=len(named),
        id2label=named,
        label2id={label: number for number, label in named.items()},
    )


def _of_a_head(model: Any, name: str) -> bool:
    """Whether a weight belongs to a head: the classifier's own, or one of the pretraining."""
    parts = name.split(".")
    return parts[0] != model.base_model_prefix or bool(set(parts) & set(head_modules(model)))


def classifier_for_training(model: Model, train: Train, labels: Sequence[str], steps: int) -> Any:
    """The classifier that a point trains, whole or with adapters, head and pooler.

    Head and pooler depend on `train.seed` alone, the adapters on it and on their own shape, and
    the state of torch's generator afterwards (dropout) on it alone. `steps`: of the run, for the
    schedule of AdaLoRA. Raises BadInput for modules that are not there, or such a schedule.
    """
    transformers.set_seed(train.seed)
    loaded = load_classifier(model, labels)
    if train.tuning != "full":
        if train.gradient_checkpointing:
            loaded.enable_input_require_grads()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(train.seed + ADAPTER_SEED)
            loaded = adapted(loaded, adapter_config(train, head_modules(loaded), loaded, steps))
    transformers.set_seed(train.seed)
    return loaded


def head_modules(model: Any) -> list[str]:
    """Names of the modules that are trained beside adapters: all behind the encoder, its pooler."""
    base = model.base_model_prefix
    head = [n for n, part in model.named_children() if n != base and list(part.parameters())]
    has_pooler = getattr(getattr(model, base), "pooler", None) is not None
    return [*head, "pooler"] if has_pooler else head


def adapter_config(train: Train, head: Sequence[str], model: Any, steps: int) -> Any:
    """The point's adapters as a PEFT config: LoRA, or AdaLoRA over the same modules."""
    from peft import AdaLoraConfig, LoraConfig

    lora = train.lora
    # A target such as `dense` would match the pooler's too, which is trained whole.
    inside = [name for name, _ in model.named_modules()
              if any(part in name.split(".") for part in head)]  # fmt: skip
    shared = {
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": lora.target_modules,
        "exclude_modules": inside,
        "layers_to_transform": lora.layers,
        "modules_to_save": list(head),
        "task_type": "SEQ_CLS",
    }
    if train.tuning == "lora":
        return LoraConfig(r=lora.r, **shared)
    cut = train.adalora
    first, last = schedule(train, steps)
    return AdaLoraConfig(
        init_r=cut.init_r,
        target_r=cut.target_r,
        tinit=first,
        tfinal=last,
        deltaT=cut.delta_t,
        beta1=cut.beta1,
        beta2=cut.beta2,
        orth_reg_weight=cut.orth_reg_weight,
        total_step=steps,
        **shared,
    )


def schedule(train: Train, steps: int) -> tuple[int, int]:
    """Steps before AdaLoRA's first cut, and after its last. Raises BadInput where none is left."""
    cut = train.adalora
    first, last = int(cut.tinit * steps), int(cut.tfinal * steps)
    if first + last >= steps:
        raise BadInput(
            f"train.adalora: found tinit {cut.tinit:g} and tfinal {cut.tfinal:g} of {steps} steps, "
            f"{first} + {last}, expected fewer together than the run has, so that ranks can be cut"
        )
    return first, last


def load_trained(config: Config, labels: Sequence[str], directory: Path) -> Any:
    """The classifier that a point has left in `directory`, on the GPU where there is one.

    In eval mode. Raises BadInput where it has other labels: its numbers would be read as others.
    """
    from lib.models.adapters import load_adapter

    check_directory(directory, "model")
    if is_adapter(directory):
        loaded = load_adapter(load_classifier(config.model, labels), directory, config.model)
    else:
        known = read_json(directory / "config.json").get("id2label", {})
        if list(known.values()) != list(labels):
            raise BadInput(f"{directory / 'config.json'}: id2label: found "
                           f"{listed(known.values())}, expected {listed(labels)}")  # fmt: skip
        loaded = load_classifier(config.model, labels, str(directory))
    return loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval()
