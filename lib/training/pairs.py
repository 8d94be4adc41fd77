"""Batches of preference pairs, and the loss on their responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.config.errors import BadInput
from lib.losses import PairLogps, PairLoss, loss_of
from lib.training.responses import Responses, right_padded
from lib.training.step_trainer import StepTrainer

Row = dict[str, Any]

# Nats a token, mean over a micro-batch, by which policy and reference may differ before the first
# step. On a CPU they are equal to the bit; other kernels of a GPU round bf16 in another order.
TOLERANCE = {"fp32": 1e-3, "bf16": 0.05}


def collate(rows: Sequence[Row], pad: int, multiple: int = 32) -> dict[str, Tensor]:
    """Encoded pairs (see `data.encoding.encode_pair`) → a batch of 2B sequences, chosen ones first.

    As `right_padded` makes them, with `lengths`: (B, 2), and, where rows carry it, the number
    `row` of each pair: (B,).
    """
    answers = [row[side] for side in ("chosen_ids", "rejected_ids") for row in rows]
    batch = right_padded([row["prompt_ids"] for row in [*rows, *rows]], answers, pad, multiple)
    batch["lengths"] = batch["responses"].sum(1).view(2, -1).T
    if "row" in rows[0]:
        batch["row"] = torch.tensor([row["row"] for row in rows])
    return batch


def pair_scores(score: Responses, model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Summed log-probability of every response, (B, 2), fp32, columns chosen and rejected."""
    return score(model, batch).sum(dim=1).view(2, -1).T


def pair_lengths(rows: Any) -> np.ndarray:
    """Tokens of each row's longer sequence, (n,); rows: a dataset of encoded pairs."""
    columns = (rows[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    return np.array([len(p) + max(len(c), len(r)) for p, c, r in zip(*columns, strict=True)])


def correct(pairs: PairLogps) -> Tensor:
    """Whether the chosen response gained more on the reference than the rejected one: 1, 0, ½."""
    gained = pairs.policy - pairs.reference
    return 0.5 + 0.5 * torch.sign(gained[:, 0] - gained[:, 1])


class PairsTrainer(StepTrainer):
    """A Trainer whose loss is an objective on pairs, over the pairs of the whole step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.score = Responses(self.model)
        self.references: Mapping[str, np.ndarray] = {}  # of each split, (n, 2)
        self.reference = torch.empty(0, 2, device=self.args.device)  # of the training pairs
        self.reference_gap: float | None = None  # see `_check_reference`
        self.sums: dict[str, Tensor] = {}  # since the last log: of `_count`

    def set_references(self, references: Mapping[str, np.ndarray], split: str) -> None:
        """The reference's log-probabilities, split → (n, 2); `split`: what is trained on."""
        self.references = references
        self.reference = torch.tensor(
            references[split], dtype=torch.float32, device=self.args.device
        )

    def counted(self, batch: dict[str, Tensor]) -> int:
        """Pairs."""
        return len(batch["lengths"])

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Sum of the micro-batch's loss over the step's pairs.

        Times the world size, because data-parallel training averages gradients over the ranks.
        """
        policy = pair_scores(self.score, model, inputs)
        pairs = PairLogps(policy, self.reference[inputs["row"]], inputs["lengths"])
        if self.is_in_train and self.state.global_step == 0 and self.reference_gap is None:
            self._check_reference(pairs)
        losses = loss_of(self.settings)(pairs)
        self._count(losses, pairs)
        count = num_items_in_batch if num_items_in_batch is not None else len(losses.loss)
        loss = losses.loss.sum() / count * self.accelerator.num_processes
        return (loss, pairs) if return_outputs else loss

    @torch.no_grad()
    def _check_reference(self, pairs: PairLogps) -> None:
        """Raise BadInput where the policy is not the reference before the run's first step."""
        apart, tokens = (pairs.policy - pairs.reference).abs().sum(), pairs.lengths.sum()
        self.reference_gap = (apart / tokens).item()
        most = TOLERANCE[self.settings.precision]
        if not self.reference_gap <= most:  # NaN too
            raise BadInput(
                f"reference: before the first step policy and reference differ by "
                f"{self.reference_gap:.3g} nats a token, expected {most:g} or less in "
                f"{self.settings.precision}: the reference was computed from other weights, data "
                f"or code; remove the study's reference/ to compute it again"
            )

    @torch.no_grad()
    def _count(self, losses: PairLoss, pairs: PairLogps) -> None:
        columns = {"margin_loss": losses.margin_loss, **losses.terms}
        columns |= {"train_accuracy": correct(pairs), "pairs": torch.ones_like(losses.loss)}
        for name, values in columns.items():
            self.sums[name] = self.sums.get(name, 0) + values.sum()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the step with the means of `_count` since the last log, and its validation."""
        if "loss" in logs:
            sums = self.accelerator.reduce(torch.stack(list(self.sums.values())), "sum").tolist()
            found = dict(zip(self.sums, sums, strict=True))
            count = found.pop("pairs")
            self.sums = {}
            logs |= {name: total / count for name, total in found.items()}
            if self.validate:
                logs |= self.validate(self.state.global_step)
        super().log(logs, start_time)
