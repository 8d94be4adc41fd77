"""The devices that a point is trained on."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

import torch

from lib.config.errors import BadInput
from lib.config.schema import Train
from lib.runs.devices import counted, devices_line, listed_devices, only_devices


@contextmanager
def devices_of(
    train: Train, world: int, environ: MutableMapping[str, str], asked: int
) -> Iterator[str | None]:
    """A block in which this process sees `train.processes` GPUs and no more, or none.

    A process that saw more would train with more: transformers multiplies the micro-batch by their
    number, and spreads a model that is not sharded over them. Yields a line on GPUs that stay idle
    or cannot be used, None without. world: how many ranks were started; environ: of this process;
    asked: `slurm.train.gpus`. Raises BadInput for fewer GPUs than processes.
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
    """GPUs that CUDA starts on: device_count alone goes by NVML, also where the driver is too old.

    Both read CUDA_VISIBLE_DEVICES anew until CUDA has started.
    """
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


def leave() -> None:
    """Leave the group of ranks: threads of gloo that live on can abort a process at its end."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
