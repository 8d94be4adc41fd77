"""The devices and ranks of a point: GPUs, collectives, and sharding (FSDP2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from transformers import TrainingArguments

from lib.config.errors import BadInput, listed, nearest
from lib.config.schema import Train
from lib.config.yaml import read_yaml
from lib.runs.devices import counted, devices_line, listed_devices, only_devices


@contextmanager
def devices_of(
    train: Train, world: int, environ: MutableMapping[str, str], asked: int
) -> Iterator[str | None]:
    """A block in which this process sees exactly `train.processes` GPUs, or none.

    With more visible, transformers would multiply the micro-batch by their number, and spread an
    unsharded model over them. Yields a line about idle or unusable GPUs, or None. world: number of
    ranks started; environ: of this process; asked: `slurm.train.gpus`. Raises BadInput for fewer
    GPUs than processes.
    """
    if world != train.processes:
        raise BadInput(
            f"train.processes: found {train.processes}, but {world} ranks were started; give "
            f"train.processes={world}"
        )
    listed = listed_devices(environ)
    visible = torch.cuda.device_count() if listed is None else len(listed)
    with only_devices(environ, train.processes, visible):
        usable = usable_devices()
        if train.fsdp and not usable:
            raise BadInput(
                "train.fsdp: sharding needs GPUs and none is visible; on a CPU use train.fsdp=null"
            )
        if 0 < usable < train.processes:
            raise BadInput(
                f"train.processes: found {train.processes}, but {counted(usable)} visible"
            )
        yield devices_line(environ, "train", asked, train.processes, visible, usable)


def usable_devices() -> int:
    """Number of GPUs that CUDA can use; device_count alone ignores that a driver is too old."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check_one_device(devices: int) -> None:
    """Raise BadInput where a process would train on several GPUs (TrainingArguments.n_gpu)."""
    if devices > 1:
        raise BadInput(
            f"train.processes: {counted(devices)} in one process, which takes one: CUDA was "
            f"started before the others were hidden; give CUDA_VISIBLE_DEVICES=0"
        )


def device_name() -> str:
    """`4 × NVIDIA H100`, or `cpu`."""
    count = usable_devices()
    return f"{count} × {torch.cuda.get_device_name(0)}" if count else "cpu"


def leave_group() -> None:
    """Leave the process group: gloo threads that outlive it can abort the process at exit."""
    if _several():
        distributed.destroy_process_group()


class Stopped(Exception):
    """A stop was requested before the first step, on this rank or another."""


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether `flag` is true on any rank."""
    if not _several():
        return flag
    flags = torch.tensor(float(flag), device=device)
    distributed.all_reduce(flags)
    return bool(flags.item())


def from_first(make: Callable[[], Any]) -> Any:
    """Run `make` on the first rank and return its value on all of them; to be called on each.

    BadInput is raised on all ranks; of any other error the other ranks get Stopped, so that none
    waits for a rank that has ended.
    """
    if not _several():
        return make()
    value, fault, error = None, None, None
    if distributed.get_rank() == 0:
        try:
            value = make()
        except Exception as raised:
            error = raised
            fault = raised if isinstance(raised, BadInput) else Stopped()
    shared = [value, fault]
    distributed.broadcast_object_list(shared)
    value, fault = shared
    if error or fault:
        raise error or fault
    return value


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()


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
