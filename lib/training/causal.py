"""Batches of prompt and answer for causal language models, and the loss on the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lib.losses import OBJECTIVES, token_nll
from lib.schema import Train
from lib.training.scoring import autocast, evaluating, length_batches
from lib.training.step_trainer import StepTrainer


def collate(
    rows: Sequence[dict[str, Any]], pad: int, weighted_class: str | None, multiple: int = 8
) -> dict[str, Any]:
    """Encoded rows (see `lib.encoding.encode_row`) → a batch.

    Rows are padded on the left, so that the labels of all rows are the last T positions and logits
    are made for these alone. `input_ids`, `attention_mask`, `position_ids`: (B, L), the answer's
    last token left out, since nothing is predicted from it; `labels`, `decision`: (B, T), T the
    longest answer, −100 and False before a shorter one; `weighted`: (B,) bool. L is rounded up to
    a multiple: kernels are made for few shapes, and fit their tiles.
    """
    answers = [len(row["input_ids"]) - row["prompt_length"] for row in rows]
    width, tail = max(len(row["input_ids"]) for row in rows) - 1, max(answers)
    width = -(-width // multiple) * multiple
    input_ids = torch.full((len(rows), width), pad, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    labels = torch.full((len(rows), tail), -100, dtype=torch.long)
    decision = torch.zeros_like(labels, dtype=torch.bool)
    for i, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        ids = torch.as_tensor(row["input_ids"], dtype=torch.long)
        input_ids[i, width - len(ids) + 1 :] = ids[:-1]
        attention_mask[i, width - len(ids) + 1 :] = 1
        labels[i, tail - answer :] = ids[len(ids) - answer :]
        start, end = (position - len(ids) + tail for position in row["decision"])
        if row["decision"][1]:
            decision[i, start:end] = True
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "position_ids": (attention_mask.cumsum(1) - 1).clamp(min=0),
        "labels": labels,
        "decision": decision,
        "weighted": torch.tensor(
            [weighted_class is not None and row["group"] == weighted_class for row in rows]
        ),
    }


def last_positions(input_ids: Tensor, count: int) -> Tensor:
    """Indices of the last `count` positions, for a model's `logits_to_keep`.

    Given the count alone, models slice; a CPU's linear layer then copies the head's weights for
    each row of the batch.
    """
    width = input_ids.shape[1]
    return torch.arange(width - count, width, device=input_ids.device)


def forward(model: Any, batch: Mapping[str, Tensor]) -> Any:
    """The model's outputs at the positions of the labels, logits (B, T, V)."""
    return model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"],
        logits_to_keep=last_positions(batch["input_ids"], batch["labels"].shape[1]),
    )


@torch.no_grad()
def answer_nll(
    model: Any,
    rows: Any,
    pad: int,
    batch: int,
    *,
    precision: str = "fp32",
    ranks: tuple[int, int] = (0, 1),
) -> Tensor:
    """(2,): summed loss of the answers' tokens of encoded rows, nats, and how many these are.

    In eval mode, on the model's device; draws no random number. `batch`: rows in a forward;
    `precision`: as in `train`. `ranks`: (rank, world): of several ranks each sums its share, with
    as many forwards as the others.
    """
    rank, world = ranks
    batches = length_batches([len(ids) for ids in rows["input_ids"]], batch)
    device = next(model.parameters()).device
    total = torch.zeros(2, device=device)
    with evaluating(model), autocast(device, precision):
        for first in range(0, len(batches), world):
            # A sharded model runs on all ranks or on none: one without a share repeats a batch.
            places = batches[min(first + rank, len(batches) - 1)]
            some = collate([rows[int(i)] for i in places], pad, None)
            some = {key: value.to(device) for key, value in some.items()}
            nll = token_nll(forward(model, some).logits, some["labels"])
            if first + rank < len(batches):
                total += torch.stack([nll.sum(), (some["labels"] != -100).sum()])
    return total


class CausalTrainer(StepTrainer):
    """A Trainer whose loss is an objective on the answers, over the labels of the whole step."""

    def __init__(self, *args: Any, settings: Train, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings

    def counted(self, batch: dict[str, Tensor]) -> Tensor:
        """Labelled tokens."""
        return (batch["labels"] != -100).sum()

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
        labels = inputs["labels"]
        outputs = forward(model, inputs)
        nll = token_nll(outputs.logits, labels)
        per_row = OBJECTIVES[self.settings.objective](
            nll,
            inputs["decision"],
            inputs["weighted"],
            gamma=self.settings.gamma,
            weighting=self.settings.weighting,
        )
        count = num_items_in_batch if num_items_in_batch is not None else (labels != -100).sum()
        loss = per_row.sum() / count * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the step with what its validation finds."""
        if "loss" in logs and self.validate:
            logs |= self.validate(self.state.global_step)
        super().log(logs, start_time)
