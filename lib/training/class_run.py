"""What training a classifier does beside the steps: calibration, and its records.

<point>/importance.json    see `lib.training.importance`
<point>/usage.json         see `usage_record`
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from lib.config.errors import BadInput
from lib.config.schema import Train
from lib.models.classifiers import schedule
from lib.runs.files import read_sealed, write_sealed
from lib.training.adapters import Matrix, rank_use
from lib.training.batches import collate_classes
from lib.training.checkpointing import RETRAIN
from lib.training.importance import calibrate, calibration_rows, importance_record
from lib.training.penalties import adapters_penalty
from lib.training.ranks import Stopped, any_rank, device_name
from lib.training.trainers import ClassTrainer

IMPORTANCE, USAGE = "importance.json", "usage.json"
CLEAR = "/proc/self/clear_refs"


def check_class_run(train: Train, steps: int, rows: int) -> None:
    """Raise BadInput where the run is too short for AdaLoRA's schedule or the calibration."""
    if train.tuning == "adalora":
        schedule(train, steps)
    if train.importance.alpha:
        calibration_rows(train, rows)


def set_importance_penalty(
    trainer: ClassTrainer,
    matrices: Sequence[Matrix],
    rows: Any,
    resumed: bool,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> float | None:
    """Calibrate, unless the run resumes, and set the trainer's penalty; returns the seconds.

    rows: the training split, in its own order. None, and nothing is done, where α is 0. Raises
    Stopped where `stop()` ended it, BadInput where a run that resumes has lost its calibration:
    another would change the loss midway.
    """
    train, wanted = trainer.config, trainer.config.importance
    if not wanted.alpha:
        return None
    if train.weight_decay:
        say(f"train.weight_decay={train.weight_decay:g} also shrinks the adapters that "
            f"train.importance.alpha={wanted.alpha:g} penalises")  # fmt: skip
    path = trainer.directory / IMPORTANCE
    if not resumed:
        record = _calibrate(trainer, matrices, rows, stop)
        if trainer.is_world_process_zero():
            write_sealed(path, record)
    elif not path.exists():
        raise BadInput(f"{path}: missing, though there is a checkpoint; {RETRAIN}")
    else:
        record = read_sealed(path, RETRAIN, ("matrices", "uniform", "spread", "seconds"))
    if record["uniform"]:
        low, high = record["spread"]["min"], record["spread"]["max"]
        hint = "; try train.importance.normalise=max" if wanted.normalise == "sum" else ""
        say(f"warning: the penalty is nearly uniform over {len(matrices)} matrices: "
            f"(1 - w)^beta from {low:.3f} to {high:.3f}{hint}")  # fmt: skip
    weights = [matrix["w"] for matrix in record["matrices"]]
    trainer.penalty = (
        "penalty", adapters_penalty(matrices, weights, wanted.alpha, wanted.beta)
    )  # fmt: skip
    return record["seconds"]


def _calibrate(
    trainer: ClassTrainer, matrices: Sequence[Matrix], rows: Any, stop: Callable[[], bool]
) -> dict[str, Any]:
    """importance.json, from all ranks, which share the batches unless adapters move.

    Raises Stopped on all ranks when a stop is requested on one.
    """
    start, train, accelerator = time.perf_counter(), trainer.config, trainer.accelerator
    rank, world = accelerator.process_index, accelerator.num_processes
    if not train.importance.freeze_lora_during_warmup:
        rank, world = 0, 1
    pad = trainer.processing_class.pad_token_id
    places = calibration_rows(train, len(rows))[rank::world]
    batches = (collate_classes(rows.select(batch).to_list(), pad) for batch in places)
    try:
        sums = calibrate(trainer.model, matrices, batches, train, stop)
    except Stopped:
        sums = None
    if any_rank(sums is None, accelerator.device):
        raise Stopped
    passes = train.importance.batches * accelerator.num_processes / world
    norms = (accelerator.reduce(sums, "sum") / passes).tolist()
    seconds = time.perf_counter() - start
    return importance_record(matrices, norms, train.importance, seconds)


def synchronise() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def reset_peak() -> None:
    """Reset the peak of memory, where the system allows it (proc(5): 5 resets VmHWM)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif os.access(CLEAR, os.W_OK):
        Path(CLEAR).write_text("5")


def peak_memory() -> tuple[int | None, str]:
    """(bytes, "cuda" | "rss"): this process's peak of memory since `reset_peak`.

    Of a GPU the memory of tensors; else the resident set, None where the system does not report it.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated(), "cuda"
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kib = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return (int(kib) * 1024 if kib else None), "rss"


def usage_record(
    model: Any,
    matrices: Sequence[Matrix],
    seconds: float,
    calibration: float | None,
    step_times: Sequence[float],
    steps: int,
) -> dict[str, Any]:
    """usage.json. seconds: of training, from the first step to the last, over all resumptions.

    calibration: seconds before that, None without. `step_seconds` (a median) and peak memory are
    those of the last process, ranks those of the last step.
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
