"""Encoders with a classification head; variants with the same seed start from equal weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import AdaLoraConfig, LoraConfig

from lib.config.errors import BadInput, listed
from lib.config.schema import Config, Model, Train
from lib.models.adapters import load_adapter
from lib.models.checkpoints import check_directory, is_adapter
from lib.models.load import load_base
from lib.models.trainable import adapted
from lib.runs.files import read_json

# A separate seed for adapters, so that the numbers they draw affect neither head nor dropout.
ADAPTER_SEED = 2**32


def load_classifier(model: Model, labels: Sequence[str], directory: str | None = None) -> Any:
    """The model, or the trained one in `directory`, with a head of one logit a label, in fp32.

    Parts of the head that a checkpoint lacks (BERT: the classifier; DeBERTa: the pooler too) are
    drawn from torch's generator. Weights are fp32 at any precision, since head and pooler are
    trained and bf16 would lose small updates. Raises BadInput like `load_base`.
    """
    named = dict(enumerate(labels))
    return load_base(
        model,
        torch.float32,
        directory,
        transformers.AutoModelForSequenceClassification,
        may_differ=None if directory else _of_a_head,
        num_labels=len(named),
        id2label=named,
        label2id={label: number for number, label in named.items()},
    )


def _of_a_head(model: Any, name: str) -> bool:
    """Whether a weight belongs to a head, of the classifier or of pretraining."""
    parts = name.split(".")
    return parts[0] != model.base_model_prefix or bool(set(parts) & set(head_modules(model)))


def classifier_for_training(model: Model, train: Train, labels: Sequence[str], steps: int) -> Any:
    """The classifier that a point trains: fully, or adapters, head and pooler.

    Head, pooler and the state of torch's generator afterwards (dropout) depend only on
    `train.seed`, adapters also on their shape. steps: of the run, for AdaLoRA's schedule. Raises
    BadInput for unknown modules, or an impossible schedule.
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
    """Names of modules trained beside adapters: everything after the encoder, and its pooler."""
    base = model.base_model_prefix
    head = [n for n, part in model.named_children() if n != base and list(part.parameters())]
    has_pooler = getattr(getattr(model, base), "pooler", None) is not None
    return [*head, "pooler"] if has_pooler else head


def adapter_config(train: Train, head: Sequence[str], model: Any, steps: int) -> Any:
    """The point's adapters as a PEFT config: LoRA, or AdaLoRA over the same modules."""
    lora = train.lora
    # A target such as `dense` would match the pooler's too, which is trained fully.
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
    """Steps before AdaLoRA's first cut and after its last. Raises BadInput if none are between."""
    cut = train.adalora
    first, last = int(cut.tinit * steps), int(cut.tfinal * steps)
    if first + last >= steps:
        raise BadInput(
            f"train.adalora: found tinit {cut.tinit:g} and tfinal {cut.tfinal:g} of {steps} steps, "
            f"{first} + {last}, expected fewer together than the run has, so that ranks can be cut"
        )
    return first, last


def load_trained(config: Config, labels: Sequence[str], directory: Path) -> Any:
    """The trained classifier in `directory`, on the GPU if there is one, in eval mode.

    Raises BadInput where its labels are not these.
    """
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
