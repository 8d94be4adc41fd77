"""What a run that classifies does beside the steps: calibration, AdaLoRA's cuts, its records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.schema import Train
from lib.models.classifiers import schedule
from lib.runs.files import read_sealed, write_json, write_sealed
from lib.training.adalora import Allocation, Orthogonality
from lib.training.adapters import adapted_matrices
from lib.training.classify import ClassifyTrainer, batches_of
from lib.training.importance import Penalty, calibration_rows, measured
from lib.training.usage import StepTimes, reset_peak, usage_record

IMPORTANCE, USAGE = "importance.json", "usage.json"


def check_run(train: Train, steps: int, rows: int) -> None:
    """Raise BadInput, before a model is loaded, where the run is too short for what is asked."""
    if train.tuning == "adalora":
        schedule(train, steps)
    if train.importance.alpha:
        calibration_rows(train, rows)


class ClassRun:
    """One run of a point; `callbacks` are the trainer's, before those that mark its checkpoints."""

    def __init__(self, model: Any, train: Train, directory: Path, checkpoint: Path | None) -> None:
        self.train, self.directory, self.checkpoint = train, directory, checkpoint
        self.matrices = adapted_matrices(model) if train.tuning != "full" else []
        self.times = StepTimes()
        self.allocation = Allocation(model, checkpoint) if train.tuning == "adalora" else None
        self.calibration: float | None = None  # seconds
        self.callbacks = [self.allocation, self.times] if self.allocation else [self.times]

    @property
    def saving(self) -> Callable[[], Any]:
        """A context to save the weights in."""
        return self.allocation.published if self.allocation else nullcontext

    def start(
        self,
        trainer: ClassifyTrainer,
        rows: Any,
        stop: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        """Calibrate, unless that was done before the checkpoint, and give the trainer its term.

        rows: the training split, in its own order. Raises Stopped where `stop()` ended it.
        """
        reset_peak()
        if self.allocation:
            trainer.term = ("orthogonality", Orthogonality(trainer.model, self.matrices))
        settings = self.train.importance
        if not settings.alpha:
            return
        if self.train.weight_decay:
            say(f"train.weight_decay={self.train.weight_decay:g} shrinks the adapters that "
                f"train.importance.alpha={settings.alpha:g} penalises: both are at work"
                )  # fmt: skip
        if (record := self._before()) is None:
            places, pad = calibration_rows(self.train, len(rows)), trainer.processing_class
            batches = partial(_every, rows, places, pad.pad_token_id)
            record = measured(
                trainer.model, self.matrices, batches, self.train, trainer.accelerator, stop
            )
            if trainer.is_world_process_zero():
                write_sealed(self.directory / IMPORTANCE, record)
        if record["uniform"]:
            low, high = record["spread"]["min"], record["spread"]["max"]
            hint = "; train.importance.normalise=max tells more" if settings.normalise == "sum" \
                else ""  # fmt: skip
            say(f"warning: the penalty is about the same for all {len(self.matrices)} matrices: "
                f"(1 - w)^beta from {low:.3f} to {high:.3f}{hint}")  # fmt: skip
        self.calibration = record["seconds"]
        weights = [one["w"] for one in record["matrices"]]
        trainer.term = ("penalty", Penalty(self.matrices, weights, settings.alpha, settings.beta))

    def _before(self) -> dict[str, Any] | None:
        """The calibration of a run that goes on; None for a new run.

        Raises BadInput where it is missing or changed: another would change the loss midway.
        """
        path = self.directory / IMPORTANCE
        if self.checkpoint is None:
            return None
        if not path.exists():
            raise BadInput(f"{path}: missing, though there is a checkpoint: {self.checkpoint}; "
                           f"train the point anew with --force")  # fmt: skip
        return read_sealed(path, "restore it, or train the point anew with --force",
                           ("matrices", "uniform", "spread", "seconds"))  # fmt: skip

    def finish(self, trainer: ClassifyTrainer, seconds: float) -> None:
        """Write usage.json; seconds: of training. Ranks are those of the last step."""
        if trainer.is_world_process_zero():
            model, steps = trainer.accelerator.unwrap_model(trainer.model), trainer.state
            record = usage_record(model, self.matrices, seconds, self.calibration,
                                  self.times.seconds, steps.global_step)  # fmt: skip
            write_json(self.directory / USAGE, record)


def _every(rows: Any, places: Any, pad: int, first: int, step: int) -> Any:
    return batches_of(rows, places[first::step], pad)
