"""What a run has used: time, memory, parameters, and the ranks of its adapters.

<point>/usage.json    see `usage_record`
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from lib.training.adapters import Matrix, rank_use
from lib.training.ranks import device_name

CLEAR = "/proc/self/clear_refs"


class StepTimes(TrainerCallback):
    """Seconds of each optimizer step, loading its batches and validation left out."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.start = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Work that a GPU still has from before is not this step's."""
        synchronise()
        self.start = time.perf_counter()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """To be the last callback: AdaLoRA's cut is part of the step."""
        synchronise()
        self.seconds.append(time.perf_counter() - self.start)


def synchronise() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def reset_peak() -> None:
    """Begin to measure peak memory anew; what a system does not let us is measured from its start.

    See proc(5): writing 5 lowers the high-water mark to what is held now.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif os.access(CLEAR, os.W_OK):
        Path(CLEAR).write_text("5")


def peak_memory() -> tuple[int | None, str]:
    """(bytes, "cuda" | "rss"): most that was held since `reset_peak`, of this process.

    Of a GPU what tensors took; else the resident set, None where the system does not tell.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated(), "cuda"
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return (int(found) * 1024 if found else None), "rss"


def usage_record(
    model: Any,
    matrices: list[Matrix],
    seconds: float,
    calibration: float | None,
    step_times: list[float],
    steps: int,
) -> dict[str, Any]:
    """usage.json. seconds: of training, from the first step to the last, all processes of the run.

    `calibration`: seconds before that, None without. `step_seconds`: median of the steps of the
    last process. Peak memory is the last process's too.
    """
    peak, kind = peak_memory()
    trained = [(name, p.numel()) for name, p in model.named_parameters() if p.requires_grad]
    return {
        "device": device_name(),
        "seconds": seconds,
        "calibration_seconds": calibration,
        "step_seconds": statistics.median(step_times) if step_times else None,
        "peak_memory_bytes": peak,
        "memory_kind": kind,
        "trainable_parameters": sum(count for _, count in trained),
        "adapter_parameters": sum(count for name, count in trained if "lora_" in name),
        "steps": steps,
        "matrices": [rank_use(matrix) for matrix in matrices],
    }
