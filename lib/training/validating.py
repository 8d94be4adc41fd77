"""Validation on pairs that are held out, and the best weights of a run by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.losses import PairLogps
from lib.runs import read_json
from lib.schema import Train
from lib.training.pairs import PairsTrainer, correct, pair_loss
from lib.training.saving import RECORD, save_model
from lib.training.scoring import pair_logps
from lib.training.steps import validates


class Validation:
    """Measures a trainer's model after the steps that `validates` names.

    `rows`: encoded pairs; `reference`: their (n, 2) log-probabilities. With `keep: best` the
    weights of the greatest accuracy, the first of equals, lie in `best`, among the checkpoints.
    A run that goes on from a checkpoint before that step comes by the same weights again.
    """

    def __init__(
        self, rows: Any, reference: np.ndarray, train: Train, steps: int, best: Path
    ) -> None:
        self.rows, self.train, self.steps, self.best = rows, train, steps, best
        self.reference = reference
        self.trainer: PairsTrainer | None = None
        self.record: dict[str, Any] | None = None

    def start(self, trainer: PairsTrainer, resumed: bool) -> None:
        """Bind the trainer. Weights of a run that was given up without a checkpoint don't count."""
        self.trainer = trainer
        if resumed and (self.best / RECORD).exists():
            self.record = read_json(self.best / RECORD)

    def __call__(self, step: int) -> dict[str, float]:
        """`validation_accuracy` and `validation_loss` after a step, empty where none is due.

        To be called on all ranks. NaN where a log-probability is not finite.
        """
        if not validates(self.train, step, self.steps):
            return {}
        trainer = self.trainer
        accelerator = trainer.accelerator
        share = pair_logps(
            trainer.model,
            self.rows,
            trainer.processing_class.pad_token_id,
            2 * self.train.micro_batch,  # without gradients there is room for more
            precision=self.train.precision,
            score=trainer.score,
            ranks=(accelerator.process_index, accelerator.num_processes),
        )
        scored = accelerator.reduce(torch.from_numpy(share).to(accelerator.device), "sum").cpu()
        measured = measure(scored, self.reference, self.rows, self.train)
        if self.train.keep == "best" and np.isfinite(list(measured.values())).all():
            self._keep(step, measured)
        return measured

    def _keep(self, step: int, measured: dict[str, float]) -> None:
        before = self.record["validation_accuracy"] if self.record else -1.0
        if measured["validation_accuracy"] > before:
            self.record = {"step": step, **measured}
            save_model(
                self.trainer, self.trainer.processing_class, self.best, self.train, self.record
            )


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
        "validation_loss": pair_loss(train, pairs).loss.mean().item(),
    }
