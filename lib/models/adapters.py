"""Adapters loaded from disk: validated, and merged into their base model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import (
    PeftModel,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lib.config.errors import BadInput, listed
from lib.config.schema import Model, Train
from lib.models.checkpoints import ADAPTER, check_base
from lib.runs.files import read_json

# Merging W + sBA in fp32 changes a sequence's log-probability by rounding only, at most by this
# share of 1 + |log p|. Tied embeddings, one of which had an adapter, changed it by 0.39 nats
# (SmolLM2, 28 steps) to 60.
MERGE_TOLERANCE = 1e-4
PROBES, PROBE_TOKENS = 2, 16  # default sequences to compare merged and unmerged adapters on


def check_adapter_config(directory: Path, model: Model, train: Train) -> None:
    """Raise BadInput for an adapter of a kind that lossgrid does not train.

    Its tensors would load too, with another meaning.
    """
    path = directory / ADAPTER[0]
    check_base(directory, model, str(directory))
    own = {
        "use_rslora": False,
        "use_dora": False,
        "fan_in_fan_out": False,
        "alpha_pattern": {},
        "lora_alpha": train.lora.alpha,
    }
    if train.tuning == "adalora":
        own |= {"peft_type": "ADALORA", "init_r": train.adalora.init_r,
                "target_r": train.adalora.target_r}  # fmt: skip
    else:
        own |= {"peft_type": "LORA", "r": train.lora.r, "rank_pattern": {}}
    config = read_json(path)
    for key, expected in own.items():
        if (config.get(key) or type(expected)()) != expected:
            raise BadInput(
                f"{path}: {key}: found {config.get(key)!r}, expected {expected!r}, as the study's "
                f"train section has it"
            )


def load_adapter(base: Any, directory: Path, model: Model) -> Any:
    """`base` with the adapter in `directory`, in eval mode, as a PEFT model.

    Raises BadInput where the adapter is of another base, or its tensors are not finite or not
    exactly those of its config: PEFT would leave missing ones at their initial values.
    """
    check_base(directory, model, str(directory))
    with fitting(directory, model):
        tensors = load_file(directory / ADAPTER[1])
        # On the base's device: by default PEFT loads through a GPU, which this process may not use.
        adapted = PeftModel.from_pretrained(base, str(directory), torch_device=str(base.device))
        check_tensors(directory / ADAPTER[1], tensors, adapted)
    return adapted.eval()


def swap_adapter(adapted: Any, directory: Path, model: Model) -> None:
    """Replace a PEFT model's adapter by the one in `directory`, of the same shape.

    Raises BadInput like `load_adapter`.
    """
    with fitting(directory, model):
        tensors = load_peft_weights(str(directory), device=adapted.device.type)
        check_tensors(directory / ADAPTER[1], tensors, adapted)
        set_peft_model_state_dict(adapted, tensors)


@contextmanager
def fitting(directory: Path, model: Model) -> Iterator[None]:
    """Turn PEFT's errors about damaged or mismatched adapters into one line."""
    try:
        with warnings.catch_warnings():  # about things that are checked here, or handled by `untie`
            warnings.simplefilter("ignore")
            yield
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"{directory}: no adapter that fits {model.name}: {reason}") from None


def check_tensors(path: Path, tensors: Mapping[str, torch.Tensor], adapted: Any) -> None:
    """Raise BadInput where a tensor of an adapter's file is missing, unexpected or not finite.

    The file may also have embeddings, which PEFT saves if it adapts them.
    """
    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    layers = (adapted.get_input_embeddings(), _head(adapted))
    embeddings = {id(w) for layer in layers if layer is not None for w in layer.parameters()}
    may = {n for n, w in adapted.named_parameters(remove_duplicate=False) if id(w) in embeddings}
    faults = {"lacks": wanted - tensors.keys(), "has unexpected": tensors.keys() - wanted - may}
    for said, names in faults.items():
        if names:
            raise BadInput(f"{path}: {said} {len(names)} of the tensors of its config: "
                           f"{listed(sorted(names), 3)}")  # fmt: skip
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise BadInput(f"{path}: {name}: found NaN or infinity, expected finite weights")


def _head(model: Any) -> Any:
    """The layer of a causal model that computes logits, or None."""
    try:
        return model.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        return None


def merged(adapted: Any, what: Path, probes: Sequence[Sequence[int]] | None = None) -> Any:
    """The fp32 base with its adapter merged in; neither model can be used afterwards.

    probes: token ids of sequences whose log-probability must not change by more than
    `MERGE_TOLERANCE`. Raises BadInput, naming `what`, where it does.
    """
    if probes is None:
        generator, size = torch.Generator().manual_seed(0), adapted.config.vocab_size
        probes = torch.randint(size, (PROBES, PROBE_TOKENS), generator=generator).tolist()
    expected = sequence_logps(adapted, probes)
    untie(adapted)
    try:
        with warnings.catch_warnings():  # of embeddings that are no longer tied
            warnings.simplefilter("ignore")
            # Not in place: the base weights may be those of other models (SharedBase).
            whole = adapted.merge_and_unload(safe_merge=True)
    except AttributeError:
        kind = adapted.peft_config[adapted.active_adapter].peft_type.value
        raise BadInput(f"{what}: an adapter of the kind {kind} cannot be merged") from None
    except ValueError as error:  # weights that are not finite
        raise BadInput(f"{what}: {' '.join(str(error).split())}") from None
    check_logps(sequence_logps(whole, probes), expected, MERGE_TOLERANCE,
                f"{what}: merged into its base")  # fmt: skip
    return whole


def untie(adapted: Any) -> None:
    """Untie the head from the embeddings where either has an adapter.

    Merging changes weights in place, so an adapter of one would also change the other.
    """
    head, embeddings = _head(adapted), adapted.get_input_embeddings()
    kinds = BaseTunerLayer, AuxiliaryTrainingWrapper
    if head is None or not any(isinstance(layer, kinds) for layer in (head, embeddings)):
        return
    shared = {id(weight) for weight in embeddings.parameters()}
    for module in head.modules():
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) in shared:
                own = nn.Parameter(weight.detach().clone(), requires_grad=False)
                module.register_parameter(name, own)


@torch.no_grad()
def sequence_logps(model: Any, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
    """log p of each sequence without its first token, nats, (n,) fp32; one at a time, unpadded."""
    device = next(model.parameters()).device
    sums = []
    for sequence in sequences:
        ids = torch.tensor([list(sequence)], device=device)
        logps = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        sums.append(logps.gather(1, ids[0, 1:, None]).sum())
    return torch.stack(sums).cpu()


def check_logps(actual: torch.Tensor, expected: torch.Tensor, tolerance: float, what: str) -> None:
    """Raise BadInput where log-probabilities differ by more than a share of 1 + |expected|."""
    allowed = tolerance * (1 + expected.abs())
    worst = ((actual - expected).abs() / allowed).nan_to_num(torch.inf).argmax()
    if not (actual - expected).abs()[worst] <= allowed[worst]:
        raise BadInput(
            f"{what} it is another model than was trained: log-probability of a row "
            f"{actual[worst].item():.6g}, expected {expected[worst].item():.6g} ± "
            f"{allowed[worst].item():.2g}"
        )
