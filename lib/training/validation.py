"""Validation on held-out rows, and the best weights of a run by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.config.schema import Train
from lib.config.steps import validates
from lib.losses import PairLogps, loss_of
from lib.runs.files import read_json
from lib.training.checkpointing import MEASURED, read_weights
from lib.training.reference import logps_in_training
from lib.training.saving import save_model
from lib.training.scoring import answer_nll, class_logps, scoring_arguments
from lib.training.trainers import AnswerTrainer, ClassTrainer, PairTrainer, correct


class Validation:
    """Measures a trainer's model after the steps that `validates` names.

    measure: trainer → `validation_loss` and, where there is one, `validation_accuracy`; called on
    all ranks. With `train.keep: best` the directory `best`, among the checkpoints, has the weights
    of the highest accuracy (without one, of the lowest loss), the first of ties. A run that resumes
    from a checkpoint before that step reaches them again.
    """

    def __init__(
        self, measure: Callable[[Any], dict[str, float]], train: Train, steps: int, best: Path
    ) -> None:
        self.measure, self.train, self.steps, self.best = measure, train, steps, best
        self.trainer: Any = None
        self.saving: Callable[[], Any] = nullcontext
        self.record: dict[str, Any] | None = None

    def start(self, trainer: Any, resumed: bool, saving: Callable[[], Any] = nullcontext) -> None:
        """Bind the trainer; its weights are saved within the context that `saving` returns.

        Best weights of a run that ended without a checkpoint are removed.
        """
        self.trainer, self.saving = trainer, saving
        if resumed and self.best.exists():
            read_weights(self.best, "retrain the point with --force")
            self.record = read_json(self.best / MEASURED)
        elif trainer.is_world_process_zero():
            shutil.rmtree(self.best, ignore_errors=True)

    def __call__(self, step: int) -> dict[str, float]:
        """What `measure` returns after a step, empty where no validation is due.

        To be called on all ranks. NaN where a log-probability is not finite.
        """
        if not validates(self.train, step, self.steps):
            return {}
        measured = self.measure(self.trainer)
        if self.train.keep == "best" and np.isfinite(list(measured.values())).all():
            self._keep(step, measured)
        return measured

    def _keep(self, step: int, measured: dict[str, float]) -> None:
        if self.record is None or _score(measured) > _score(self.record):
            self.record = {"step": step, **measured}
            with self.saving():
                save_model(self.trainer, self.trainer.processing_class, self.best, self.train,
                           step, measured)  # fmt: skip


def _score(measured: dict[str, float]) -> float:
    """What the best weights maximise."""
    return measured.get("validation_accuracy", -measured["validation_loss"])


def validation_measure(kind: str, rows: Any, train: Train) -> Callable[[Any], dict[str, float]]:
    """The `measure` of `Validation` on encoded rows, for a kind of batch."""
    measure = {"answers": _answers, "pairs": _pairs, "classes": _classes}[kind]
    return partial(measure, rows, train)


def _answers(rows: Any, train: Train, trainer: AnswerTrainer) -> dict[str, float]:
    """Mean loss of an answer's token, unweighted: class weights are part of training alone."""
    total = answer_nll(rows=rows, score=trainer.score, **scoring_arguments(trainer, train))
    accelerator = trainer.accelerator
    total = accelerator.reduce(total.to(accelerator.device), "sum")
    return {"validation_loss": (total[0] / total[1]).item()}


def _pairs(rows: Any, train: Train, trainer: PairTrainer) -> dict[str, float]:
    logps = torch.from_numpy(logps_in_training(trainer, rows, train))
    return pair_measures(logps, trainer.references["validation"], rows, train)


def pair_measures(
    logps: torch.Tensor, reference: np.ndarray, rows: Any, train: Train
) -> dict[str, float]:
    """Pairwise accuracy of implicit rewards, ties ½, and mean loss of (n, 2) log-probabilities."""
    lengths = [
        list(map(len, pair)) for pair in zip(rows["chosen_ids"], rows["rejected_ids"], strict=True)
    ]
    pairs = PairLogps(logps, torch.from_numpy(reference), torch.tensor(lengths))
    return {
        "validation_accuracy": correct(pairs).mean().item(),
        "validation_loss": loss_of(train)(pairs).loss.mean().item(),
    }


def _classes(rows: list[dict[str, Any]], train: Train, trainer: ClassTrainer) -> dict[str, float]:
    share = class_logps(rows=rows, **scoring_arguments(trainer, train))
    # Reduced as fp32: not every accelerator has fp64.
    share = torch.from_numpy(share).float().to(trainer.accelerator.device)
    logps = trainer.accelerator.reduce(share, "sum").cpu()
    labels = torch.tensor([row["label"] for row in rows])
    return {
        "validation_accuracy": (logps.argmax(dim=1) == labels).float().mean().item(),
        "validation_loss": -logps[torch.arange(len(labels)), labels].mean().item(),
    }
