"""The GPUs that a process may use: count them, hide the others, report problems in one line.

CUDA_VISIBLE_DEVICES has numbers, UUIDs or names of MIG slices; unset it means every GPU of the
machine. The driver reads it once, when CUDA is initialised in a process, so it has to be changed
before, without asking CUDA for a count, which may initialise it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from itertools import takewhile

VISIBLE = "CUDA_VISIBLE_DEVICES"
# If "1", torch counts GPUs by NVML, without initialising CUDA.
CHECK_BY_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
DEVICE = re.compile(r"\d+|(GPU|MIG)-.+")


def listed_devices(environ: Mapping[str, str]) -> list[str] | None:
    """Devices in CUDA_VISIBLE_DEVICES, [] for none; None where it is unset.

    Like CUDA, up to the first invalid one, such as -1, or SLURM's NoDevFiles.
    """
    value = environ.get(VISIBLE)
    if value is None:
        return None
    return list(takewhile(DEVICE.fullmatch, (entry.strip() for entry in value.split(","))))


def hide_devices(environ: MutableMapping[str, str], used: int) -> None:
    """Reduce CUDA_VISIBLE_DEVICES to the first `used` of the visible devices."""
    devices = listed_devices(environ)
    names = map(str, range(used)) if devices is None else devices[:used]
    environ[VISIBLE] = ",".join(names)


@contextmanager
def only_devices(environ: MutableMapping[str, str], used: int, visible: int) -> Iterator[None]:
    """Hide all but the first `used` of `visible` devices within the block.

    Processes started afterwards, such as the ranks of another point, see all of them again.
    """
    before = environ.get(VISIBLE)
    if visible > used:
        hide_devices(environ, used)
    try:
        yield
    finally:
        if before is None:
            environ.pop(VISIBLE, None)
        else:
            environ[VISIBLE] = before


def in_job(environ: Mapping[str, str]) -> bool:
    """Whether this is a process of a SLURM job."""
    return "SLURM_JOB_ID" in environ


def granted_devices(environ: Mapping[str, str]) -> int:
    """Number of this node's GPUs that SLURM allocated; 0 outside a job."""
    if not in_job(environ):
        return 0
    names = environ.get("SLURM_STEP_GPUS") or environ.get("SLURM_JOB_GPUS") or ""
    counted = environ.get("SLURM_GPUS_ON_NODE", "")
    return max(
        int(counted) if counted.isdecimal() else 0,
        len(names.split(",")) if names else 0,
        len(listed_devices(environ) or ()),
    )


def devices_line(
    environ: Mapping[str, str], stage: str, asked: int, used: int, visible: int, usable: int
) -> str | None:
    """A line about unused or unusable GPUs, None if all visible ones are used.

    stage: "train" or "infer". asked: `slurm.<stage>.gpus` of the study. visible: before any was
    hidden. usable: those of the rest that CUDA can use.
    """
    key = f"slurm.{stage}.gpus"
    if not usable:
        if found := max(visible, granted_devices(environ)):
            return (f"warning: {counted(found)} here, and torch can use none: this runs on the "
                    f"CPU; compare the driver (nvidia-smi) and torch's CUDA "
                    f"(python -m torch.utils.collect_env)")  # fmt: skip
        if in_job(environ) and asked:
            return (f"warning: no GPU in this job: this runs on the CPU; make {stage} requests "
                    f"{asked} ({key}), or give sbatch --gres=gpu:{asked}")  # fmt: skip
        return None
    if visible <= used:
        return None
    why = "train.processes" if stage == "train" else "an engine takes one"
    why += f": {used}" if stage == "train" else ""
    idle = "1 stays idle" if visible - used == 1 else f"{visible - used} stay idle"
    line = f"{counted(visible)} visible, {used} used ({why}): {idle}"
    if not in_job(environ):
        return line
    fix = f"make {stage} requests {asked}" if asked == used else f"set {key} to {used}"
    return f"{line}; {fix}, or give sbatch --gres=gpu:{used}"


def counted(devices: int) -> str:
    """`1 GPU`, `4 GPUs`."""
    return f"{devices} GPU{'' if devices == 1 else 's'}"
