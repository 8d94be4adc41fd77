"""Batches of rows to classify, and the loss on them with what adapters add to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.losses import loss_of
from lib.training.scoring import autocast, evaluating, length_batches
from lib.training.step_trainer import StepTrainer

Row = dict[str, Any]
LOGGED = ("loss", "train_accuracy")
TERMS = ("penalty", "orthogonality")  # of a step, beside the loss of its rows


def collate(rows: Sequence[Row], pad: int, multiple: int = 8) -> dict[str, Tensor]:
    """Encoded rows → a batch padded on the right: no longer than its longest row needs.

    `input_ids`, `attention_mask` and, where rows have them, `token_type_ids`: (B, L), L rounded up
    to a multiple; `labels`: (B,).
    """
    width = max(len(row["input_ids"]) for row in rows)
    width = -(-width // multiple) * multiple
    filled = {"input_ids": pad, "attention_mask": 0}
    if "token_type_ids" in rows[0]:
        filled["token_type_ids"] = 0
    batch = {key: torch.full((len(rows), width), value) for key, value in filled.items()}
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        batch["attention_mask"][i, :length] = 1
        for key in filled.keys() - {"attention_mask"}:
            batch[key][i, :length] = torch.as_tensor(row[key])
    return {**batch, "labels": torch.tensor([row["label"] for row in rows])}


class ClassifyTrainer(StepTrainer):
    """A Trainer whose loss is an objective on classes over a step's rows, and a penalty.

    `term`: (name in TERMS, function of no argument), added to the loss once an optimizer step, and
    logged apart; set it once the model is on its device.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.term: tuple[str, Callable[[], Tensor]] | None = None
        device = self.args.device
        self.sums = torch.zeros(len(LOGGED) + 1, device=device)  # since the last log
        self.term_sum, self.term_steps = torch.zeros((), device=device), 0

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Sum of the micro-batch's loss over the step's rows, and with its last one the term.

        The first times the world size, because data-parallel training averages gradients over the
        ranks; the term is the same on all. Labels are kept from the model: with them PEFT would add
        AdaLoRA's regulariser in every pass.
        """
        labels = inputs["labels"]
        outputs = model(**{key: value for key, value in inputs.items() if key != "labels"})
        losses = loss_of(self.settings)(outputs.logits, labels)
        count = num_items_in_batch if num_items_in_batch is not None else len(labels)
        loss = losses.sum() / count * self.accelerator.num_processes
        with torch.no_grad():
            right = (outputs.logits.argmax(dim=1) == labels).sum()
            self.sums += torch.stack([losses.sum(), right.float(), losses.new_tensor(len(labels))])
        if self.term and self.accelerator.sync_gradients:
            value = self.term[1]()
            self.term_sum += value.detach()
            self.term_steps += 1
            loss = loss + value
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the step with its rows' mean loss and accuracy, its term, and its validation."""
        if "loss" in logs:
            *sums, count = self.accelerator.reduce(self.sums, "sum").tolist()
            logs |= {key: total / count for key, total in zip(LOGGED, sums, strict=True)}
            self.sums = torch.zeros_like(self.sums)
            if self.term:
                logs[self.term[0]] = self.term_sum.item() / self.term_steps
                self.term_sum, self.term_steps = torch.zeros_like(self.term_sum), 0
            if self.validate:
                logs |= self.validate(self.state.global_step)
        super().log(logs, start_time)


def batches_of(rows: Any, places: np.ndarray, pad: int) -> Iterator[dict[str, Tensor]]:
    """Batches of the rows at `places`, (batches, rows of each)."""
    for some in places:
        yield collate(rows.select(some).to_list(), pad)


@torch.no_grad()
def class_logps(
    model: Any,
    rows: Sequence[Row],
    pad: int,
    batch: int,
    *,
    precision: str,
    ranks: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Log-probabilities of the classes of encoded rows, (n, C) float64, in row order.

    In eval mode, on the model's device; draws no random number. `ranks`: (rank, world): of several
    ranks each scores its share and leaves 0 elsewhere.
    """
    device = next(model.parameters()).device
    found: np.ndarray | None = None
    rank, world = ranks
    with evaluating(model):
        for places in length_batches([len(row["input_ids"]) for row in rows], batch)[rank::world]:
            inputs = collate([rows[int(i)] for i in places], pad)
            del inputs["labels"]
            with autocast(device, precision):
                logits = model(**{key: value.to(device) for key, value in inputs.items()}).logits
            logps = logits.float().log_softmax(dim=1).double().cpu().numpy()
            if found is None:
                found = np.zeros((len(rows), logps.shape[1]))
            found[places] = logps
    return found if found is not None else np.zeros((len(rows), model.config.num_labels))
