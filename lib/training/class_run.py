"""What training a classifier does beside the steps: calibration, AdaLoRA's cuts, and its records.

<point>/importance.json    see `lib.training.importance`
<point>/usage.json         see `usage_record`
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from lib.config.errors import BadInput
from lib.config.schema import Train
from lib.models.classifiers import schedule
from lib.runs.files import read_sealed, write_json, write_sealed
from lib.training.adapters import Allocation, Matrix, adapted_matrices, rank_use
from lib.training.batches import collate_classes
from lib.training.checkpointing import RETRAIN
from lib.training.importance import calibrate_on_ranks, calibration_rows
from lib.training.penalties import ImportancePenalty, OrthogonalityPenalty
from lib.training.ranks import device_name
from lib.training.trainers import ClassTrainer

IMPORTANCE, USAGE = "importance.json", "usage.json"
CLEAR = "/proc/self/clear_refs"


def check_class_run(train: Train, steps: int, rows: int) -> None:
    """Raise BadInput where the run is too short for AdaLoRA's schedule or the calibration."""
    if train.tuning == "adalora":
        schedule(train, steps)
    if train.importance.alpha:
        calibration_rows(train, rows)


class ClassRun:
    """The extras of one run; `callbacks` are the trainer's, before those that mark checkpoints."""

    def __init__(self, model: Any, train: Train, directory: Path, checkpoint: Path | None) -> None:
        self.train, self.directory, self.checkpoint = train, directory, checkpoint
        self.matrices = adapted_matrices(model) if train.tuning != "full" else []
        self.times = StepTimes()
        self.allocation = Allocation(model, checkpoint) if train.tuning == "adalora" else None
        self.calibration_seconds: float | None = None
        self.callbacks = [self.allocation, self.times] if self.allocation else [self.times]

    @property
    def saving(self) -> Callable[[], Any]:
        """Returns a context in which to save the weights."""
        return self.allocation.published if self.allocation else nullcontext

    def start(
        self,
        trainer: ClassTrainer,
        rows: Any,
        stop: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        """Calibrate, unless a checkpoint says that this was done, and set the trainer's penalty.

        rows: the training split, in its own order. Raises Stopped where `stop()` ended it.
        """
        reset_peak()
        if self.allocation:
            regulariser = OrthogonalityPenalty(trainer.model, self.matrices)
            trainer.penalty = ("orthogonality", regulariser)
        alpha, beta = self.train.importance.alpha, self.train.importance.beta
        if not alpha:
            return
        if self.train.weight_decay:
            say(f"train.weight_decay={self.train.weight_decay:g} also shrinks the adapters that "
                f"train.importance.alpha={alpha:g} penalises")  # fmt: skip
        record = self._calibration() if self.checkpoint else self._calibrate(trainer, rows, stop)
        if record["uniform"]:
            low, high = record["spread"]["min"], record["spread"]["max"]
            hint = "; try train.importance.normalise=max"
            hint = hint if self.train.importance.normalise == "sum" else ""
            say(f"warning: the penalty is nearly uniform over {len(self.matrices)} matrices: "
                f"(1 - w)^beta from {low:.3f} to {high:.3f}{hint}")  # fmt: skip
        self.calibration_seconds = record["seconds"]
        weights = [matrix["w"] for matrix in record["matrices"]]
        trainer.penalty = ("penalty", ImportancePenalty(self.matrices, weights, alpha, beta))

    def _calibrate(
        self, trainer: ClassTrainer, rows: Any, stop: Callable[[], bool]
    ) -> dict[str, Any]:
        places, pad = calibration_rows(self.train, len(rows)), trainer.processing_class.pad_token_id

        def batches(first: int, step: int) -> Iterator[dict[str, Tensor]]:
            for batch in places[first::step]:
                yield collate_classes(rows.select(batch).to_list(), pad)

        record = calibrate_on_ranks(
            trainer.model, self.matrices, batches, self.train, trainer.accelerator, stop
        )
        if trainer.is_world_process_zero():
            write_sealed(self.directory / IMPORTANCE, record)
        return record

    def _calibration(self) -> dict[str, Any]:
        """The calibration of a run that resumes.

        Raises BadInput where it is missing or changed: another would change the loss midway.
        """
        path = self.directory / IMPORTANCE
        if not path.exists():
            raise BadInput(f"{path}: missing, though there is a checkpoint: {self.checkpoint}; "
                           f"{RETRAIN}")  # fmt: skip
        return read_sealed(path, RETRAIN, ("matrices", "uniform", "spread", "seconds"))

    def finish(self, trainer: ClassTrainer, seconds: float) -> None:
        """Write usage.json; seconds: of training. Ranks are those of the last step."""
        if trainer.is_world_process_zero():
            model = trainer.accelerator.unwrap_model(trainer.model)
            record = usage_record(
                model,
                self.matrices,
                seconds,
                self.calibration_seconds,
                self.times.seconds,
                trainer.state.global_step,
            )
            write_json(self.directory / USAGE, record)


class StepTimes(TrainerCallback):
    """Seconds of each optimizer step, without loading its batches and without validation."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.start = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pending work of the GPU belongs to the step before."""
        synchronise()
        self.start = time.perf_counter()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """AdaLoRA's cut is part of the step, so this has to be the last callback."""
        synchronise()
        self.seconds.append(time.perf_counter() - self.start)


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
    matrices: list[Matrix],
    seconds: float,
    calibration: float | None,
    step_times: list[float],
    steps: int,
) -> dict[str, Any]:
    """usage.json. seconds: of training, from the first step to the last, over all resumptions.

    calibration: seconds before that, None without. `step_seconds` (a median) and peak memory are
    those of the last process.
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
