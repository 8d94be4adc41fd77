"""A model that the ranks of a point share (FSDP2): how it is loaded, reduced and checkpointed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from lib.config.errors import BadInput, listed, nearest
from lib.config.schema import Train
from lib.config.yaml import read_yaml
from lib.training.collectives import from_first

# What a launcher config cannot choose: FSDP2, each rank its own part of a checkpoint, and weights
# that the first rank reads and sends to the others.
FSDP_FIXED = {
    "version": 2,
    "state_dict_type": "SHARDED_STATE_DICT",
    "cpu_ram_efficient_loading": True,
}
FSDP_KEYS = (
    "reshard_after_forward",
    "cpu_offload",
    "auto_wrap_policy",
    "transformer_layer_cls_to_wrap",
    "min_num_params",
)


def fsdp_config(train: Train) -> dict[str, Any]:
    """The launcher config that `train.fsdp` names. Raises BadInput when missing or malformed."""
    try:
        text = Path(train.fsdp).read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"train.fsdp: {train.fsdp}: {error.strerror}") from None
    loaded = read_yaml(text, train.fsdp)
    if not isinstance(loaded, dict):
        raise BadInput(f"{train.fsdp}: found {loaded!r}, expected key: value pairs")
    for key, value in loaded.items():
        if key in FSDP_FIXED and value != FSDP_FIXED[key]:
            raise BadInput(f"{train.fsdp}: {key}: found {value!r}, expected {FSDP_FIXED[key]!r}")
        if key not in (*FSDP_KEYS, *FSDP_FIXED):
            raise BadInput(
                f"{train.fsdp}: {key}: unknown key, expected one of {listed(FSDP_KEYS)}"
                f"{nearest(key, FSDP_KEYS)}"
            )
    return {**loaded, **FSDP_FIXED, "activation_checkpointing": fsdp_recomputes(train)}


def fsdp_recomputes(train: Train) -> bool:
    """Whether activations are recomputed by FSDP's wrappers, without gathering weights again.

    Of adapters transformers does it: PEFT finds none of them below a wrapper (it goes by the names
    of modules), so that checkpoints and the saved adapter would be empty.
    """
    return train.fsdp is not None and train.gradient_checkpointing and train.tuning == "full"


def fsdp_plugin(train: Train) -> dict[str, Any]:
    """Fields of accelerate's FSDP plugin that transformers' `fsdp_config` has no key for."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, ShardedStateDictConfig

    # Parts go from the GPUs to the disk in pieces; else the host holds them all at once.
    plugin: dict[str, Any] = {"state_dict_config": ShardedStateDictConfig(offload_to_cpu=False)}
    if train.precision == "bf16":  # accelerate's own policy would reduce gradients in bf16 too
        bf16, fp32 = torch.bfloat16, torch.float32
        # and round what the head computes in fp32, the labels' log-probabilities.
        plugin["mixed_precision_policy"] = MixedPrecisionPolicy(param_dtype=bf16, reduce_dtype=fp32)
    return plugin


def load_on_ranks(arguments: TrainingArguments, load: Callable[[bool], Any]) -> Any:
    """The model that `load` returns for "without values?": ranks that share it get the first's."""
    if not arguments.fsdp:
        return load(False)
    of_first: list[Any] = []
    from_first(lambda: of_first.append(load(False)))
    return of_first[0] if of_first else load(True)
