"""The log, progress and checkpoints of a run, and when it has to end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from lib.config.schema import Train
from lib.config.steps import validates
from lib.runs.directory import LOG
from lib.runs.files import write_jsonl
from lib.runs.progress import Progress
from lib.runs.train_log import SOMETIMES
from lib.tracking.live import Live
from lib.training.checkpointing import (
    candidate_directory,
    finish_checkpoint,
    log_rows,
    seconds_of,
    step_of,
    writing,
)
from lib.training.class_run import synchronise
from lib.training.ranks import any_rank
from lib.training.saving import save_model
from lib.training.stopping import StopWindow

# Clipping divides by the norm: where that is not finite, all weights are NaN after the step.
MUST_BE_FINITE = {
    "loss": "loss",
    "grad_norm": "gradient norm",
    "validation_loss": "validation loss",
}


@dataclass(eq=False)
class RunMonitor(TrainerCallback):
    """Writes train.jsonl, shows progress, seals checkpoints, stops on request or divergence."""

    directory: Path
    name: str
    steps: int
    rows: int
    train: Train
    stop: Callable[[], bool]
    window: StopWindow | None = None  # checks the time that a stop takes
    live: Live | None = None  # also gets each row of train.jsonl
    # Steps whose weights are kept for `lib.inference.checkpoint_selection`.
    candidates: Sequence[int] = ()
    prepare: Callable[[], None] = lambda: None  # called before the first step
    trainer: Any = None

    reason: str = ""  # why the run has diverged, empty if it has not
    steep: int = 0  # logged steps in a row with a gradient norm above train.diverge_norm
    progress: Progress | None = None
    logs: bool = False  # whether this rank writes the log
    note: str = ""
    started: float = field(default_factory=time.monotonic)
    seconds_before: float = 0.0
    checkpoint_seconds: float | None = None  # of the last one that this rank finished
    # Without loading batches and without validation.
    step_seconds: list[float] = field(default_factory=list)
    step_started: float = 0.0
    saving_from: float = 0.0

    def open_log(self, start: Path | None, first: bool = True) -> None:
        """Truncate train.jsonl to the checkpoint's step. first: whether this rank writes it."""
        step = step_of(start) if start else 0
        kept = log_rows(self.directory, step) if start else []
        for row in kept:
            self._count_steep(row["grad_norm"])
        if not first:
            return
        write_jsonl(self.directory / LOG, kept)
        self.logs = True
        if self.live:
            self.live.start(kept)
        self.seconds_before = kept[-1]["seconds"] if kept else 0.0
        if start and self.window and (seconds := seconds_of(start)):
            self.window.check(seconds)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Time counts from the first step."""
        self.prepare()
        self.started = time.monotonic()
        if self.logs:
            done = state.global_step
            self.progress = Progress(self.steps, f"train {self.name}", "step", done=done)

    def seconds(self) -> float:
        """Seconds since the run's first step, without pauses between its processes."""
        return self.seconds_before + time.monotonic() - self.started

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A stop waits for the end of the step, so its duration matters."""
        self._wait_for_gpu()
        self.step_started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop after a checkpoint where any rank was asked to."""
        if any_rank(self.stop(), args.device):  # the signal reaches ranks at different steps
            control.should_save = control.should_training_stop = True
        if self.trainer.held_out is not None and validates(
            self.train, state.global_step, self.steps
        ):
            control.should_log = True  # with the result of the validation
        if self.progress and not control.should_log:  # else its loss is known in a moment
            self.progress.update(state.global_step, self.note)
        self._wait_for_gpu()
        self.saving_from = time.monotonic()
        self.step_seconds.append(self.saving_from - self.step_started)
        step = state.global_step
        if step in self.candidates:  # before the checkpoint of this step, so that a kill loses none
            save_model(self.trainer, self.directory / candidate_directory(step), step)

    def _wait_for_gpu(self) -> None:
        if self.trainer.kind == "classes":  # whose steps are timed exactly, for usage.json
            synchronise()

    def _count_steep(self, norm: float | None) -> None:
        bound = self.train.diverge_norm
        steep = bound is not None and not (norm is not None and norm <= bound)
        self.steep = self.steep + 1 if steep else 0

    def _divergence(self, logs: dict) -> str:
        """Why a run with this row has diverged, empty if it has not; the same on all ranks."""
        for key, name in MUST_BE_FINITE.items():
            if key in logs and _finite(logs[key]) is None:
                return f"{name} not finite"
        self._count_steep(_finite(logs.get("grad_norm")))
        if self.steep >= self.train.diverge_steps:
            return f"gradient norm above {self.train.diverge_norm:g} for {self.steep} logged steps"
        return ""

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any
    ) -> None:
        """Write a row of train.jsonl; divergence ends the run."""
        self.saving_from = time.monotonic()  # checkpoints are saved after the log
        if not logs or "loss" not in logs:
            return
        self.reason = self._divergence(logs)
        if self.reason:
            control.should_training_stop = True
        loss = f"loss {logs['loss']:.4g}"
        self.note = f"{loss} at step {state.global_step}"
        if not self.logs:
            return
        if self.progress:
            self.progress.update(state.global_step, loss)
        row = {
            "step": state.global_step,
            "epoch": state.global_step * self.train.batch_size / self.rows,
            **{key: _finite(logs.get(key)) for key in ("loss", "grad_norm", "learning_rate")},
            "seconds": round(self.seconds(), 3),
            **{key: _finite(logs[key]) for key in SOMETIMES if key in logs},
        }
        path = self.directory / LOG
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        if self.live:
            self.live.add(row)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Seal the checkpoint, once each rank has written its last file."""
        if args.world_size > 1:
            torch.distributed.barrier()
        if state.is_world_process_zero:
            seconds = finish_checkpoint(
                self.directory,
                state.global_step,
                args.world_size,
                self.saving_from,
                self.train.checkpoints_kept,
            )
            self.checkpoint_seconds = round(seconds, 1)
            if self.window:
                self.window.check(seconds, max(self.step_seconds))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the progress bar and the tracker's run."""
        if self.progress:
            self.progress.close()
        if self.logs and self.live:
            self.live.finish()


def _finite(value: Any) -> float | None:
    number = float(value) if value is not None else None
    return number if number is not None and math.isfinite(number) else None
