"""Batches of prompt and answer for causal language models, and the loss on the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lib.losses import loss_of
from lib.training.responses import Responses, right_padded
from lib.training.scoring import autocast, evaluating, length_batches, lengths_of
from lib.training.step_trainer import StepTrainer


def collate(
    rows: Sequence[dict[str, Any]], pad: int, weighted_class: str | None, multiple: int = 8
) -> dict[str, Tensor]:
    """Encoded rows (see `lib.data.encoding.encode_row`) → a batch of B sequences.

    As `right_padded` makes them, to a narrower multiple: rows are short, and no score of theirs is
    compared with one from another batch. With `decision`: (B, L) bool, which of the labels'
    positions predict a decision token; `weighted`: (B,) bool.
    """
    prompts = [row["input_ids"][: row["prompt_length"]] for row in rows]
    answers = [row["input_ids"][row["prompt_length"] :] for row in rows]
    batch = right_padded(prompts, answers, pad, multiple)
    decision = torch.zeros_like(batch["responses"])
    for i, row in enumerate(rows):
        start, end = row["decision"]
        if end:
            decision[i, start - 1 : end - 1] = True
    weighted = [weighted_class is not None and row["group"] == weighted_class for row in rows]
    return {**batch, "decision": decision, "weighted": torch.tensor(weighted)}


@torch.no_grad()
def answer_nll(
    model: Any,
    rows: Any,
    pad: int,
    batch: int,
    *,
    precision: str = "fp32",
    score: Responses | None = None,
    ranks: tuple[int, int] = (0, 1),
) -> Tensor:
    """(2,): summed loss of the answers' tokens of encoded rows, nats, and how many these are.

    In eval mode, on the model's device; draws no random number. `batch`: rows in a forward;
    `precision`: as in `train`; `score`: made for a model that is wrapped now. `ranks`: (rank,
    world): of several ranks each sums its share, with as many forwards as the others.
    """
    rank, world = ranks
    score = score or Responses(model)
    batches = length_batches(lengths_of(rows), batch)
    device = next(model.parameters()).device
    total = torch.zeros(2, device=device)
    with evaluating(model), autocast(device, precision):
        for first in range(0, len(batches), world):
            # A sharded model runs on all ranks or on none: one without a share repeats a batch.
            places = batches[min(first + rank, len(batches) - 1)]
            some = collate([rows[int(i)] for i in places], pad, None)
            some = {key: value.to(device) for key, value in some.items()}
            nll = -score(model, some).sum()
            if first + rank < len(batches):
                total += torch.stack([nll, nll.new_tensor(len(some["labels"]))])
    return total


class CausalTrainer(StepTrainer):
    """A Trainer whose loss is an objective on the answers, over the labels of the whole step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.score = Responses(self.model)

    def counted(self, batch: dict[str, Tensor]) -> int:
        """Labelled tokens."""
        return len(batch["labels"])

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Sum of the micro-batch's loss over the step's labelled tokens.

        Times the world size, because data-parallel training averages gradients over the ranks.
        """
        nll = -self.score(model, inputs)
        per_row = loss_of(self.settings)(nll, inputs["decision"], inputs["weighted"])
        count = num_items_in_batch if num_items_in_batch is not None else self.counted(inputs)
        loss = per_row.sum() / count * self.accelerator.num_processes
        return (loss, nll) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the step with what its validation finds."""
        if "loss" in logs and self.validate:
            logs |= self.validate(self.state.global_step)
        super().log(logs, start_time)
