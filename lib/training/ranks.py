"""The devices that a point is trained on."""

from __future__ import annotations

import torch

from lib.errors import BadInput
from lib.schema import Train


def check_devices(train: Train, world: int) -> None:
    """Raise BadInput where the study asks for GPUs that this machine does not show.

    `world`: how many ranks were started.
    """
    if world != train.processes:
        raise BadInput(
            f"train.processes: found {train.processes}, but {world} ranks were started; give "
            f"train.processes={world}"
        )
    found = torch.cuda.device_count()
    if train.fsdp and not found:
        raise BadInput(
            "train.fsdp: sharding needs GPUs and none is visible; on a CPU use train.fsdp=null"
        )
    if 0 < found < train.processes:
        raise BadInput(f"train.processes: found {train.processes}, but {found} GPUs are visible")


def device_name() -> str:
    """`4 × NVIDIA H100`, or `cpu`."""
    count = torch.cuda.device_count()
    return f"{count} × {torch.cuda.get_device_name(0)}" if count else "cpu"


def leave() -> None:
    """Leave the group of ranks: threads of gloo that live on can abort a process at its end."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
