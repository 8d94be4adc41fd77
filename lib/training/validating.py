"""Validation on rows that are held out, and the best weights of a run by it."""

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
from lib.training.causal import CausalTrainer, answer_nll
from lib.training.kept import MEASURED, read_weights
from lib.training.pair_data import logps_in_training
from lib.training.pairs import PairsTrainer, correct
from lib.training.saving import save_model
from lib.training.scoring import in_training


class Validation:
    """Measures a trainer's model after the steps that `validates` names.

    `measure`: a trainer → `validation_accuracy`, where there is one, and `validation_loss`, called
    on all ranks. With `keep: best` the weights of the greatest accuracy, else of the least loss,
    the first of equals, lie in `best`, among the checkpoints. A run that resumes from a checkpoint
    before that step comes by them again.
    """

    def __init__(
        self, measure: Callable[[Any], dict[str, float]], train: Train, steps: int, best: Path
    ) -> None:
        self.measure, self.train, self.steps, self.best = measure, train, steps, best
        self.trainer: Any = None
        self.saving: Callable[[], Any] = nullcontext
        self.record: dict[str, Any] | None = None

    def start(self, trainer: Any, resumed: bool, saving: Callable[[], Any] = nullcontext) -> None:
        """Bind the trainer; `saving` gives a context in which its weights are saved.

        Weights of a run that was given up without a checkpoint don't count.
        """
        self.trainer, self.saving = trainer, saving
        if resumed and self.best.exists():
            read_weights(self.best, "train the point anew with --force")
            self.record = read_json(self.best / MEASURED)
        elif trainer.is_world_process_zero():
            shutil.rmtree(self.best, ignore_errors=True)

    def __call__(self, step: int) -> dict[str, float]:
        """What `measure` finds after a step, empty where nothing is due.

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
    """What the best weights have most of."""
    return measured.get("validation_accuracy", -measured["validation_loss"])


def pair_measure(rows: Any, split: str, train: Train) -> Callable[[PairsTrainer], dict]:
    """What `Validation` asks of a trainer on encoded pairs, those of `split`: `measure`."""
    return partial(_measure_pairs, rows, split, train)


def _measure_pairs(rows: Any, split: str, train: Train, trainer: PairsTrainer) -> dict[str, float]:
    logps = logps_in_training(trainer, rows, train)
    return measure(torch.from_numpy(logps), trainer.references[split], rows, train)


def measure(
    scored: torch.Tensor, reference: np.ndarray, rows: Any, train: Train
) -> dict[str, float]:
    """Pairwise accuracy of implicit rewards, ties ½, and mean loss of (n, 2) log-probabilities."""
    lengths = [
        list(map(len, pair)) for pair in zip(rows["chosen_ids"], rows["rejected_ids"], strict=True)
    ]
    pairs = PairLogps(scored, torch.from_numpy(reference), torch.tensor(lengths))
    return {
        "validation_accuracy": correct(pairs).mean().item(),
        "validation_loss": loss_of(train)(pairs).loss.mean().item(),
    }


def answer_measure(rows: Any, train: Train) -> Callable[[CausalTrainer], dict]:
    """What `Validation` asks of a trainer on encoded rows: the mean loss of an answer's token.

    Without weights: `train.weighted_class` and γ are the training's own.
    """
    return partial(_measure_answers, rows, train)


def _measure_answers(rows: Any, train: Train, trainer: CausalTrainer) -> dict[str, float]:
    total = answer_nll(rows=rows, score=trainer.score, **in_training(trainer, train))
    accelerator = trainer.accelerator
    total = accelerator.reduce(total.to(accelerator.device), "sum")
    return {"validation_loss": (total[0] / total[1]).item()}
