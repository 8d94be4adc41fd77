"""One Trainer a kind of batch: its loss is a mean over all that an optimizer step holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer

from lib.config.errors import BadInput
from lib.config.schema import Train
from lib.losses import PairLogps, PairLoss, loss_of
from lib.training.batches import Batch
from lib.training.checkpointing import writing
from lib.training.responses import Responses
from lib.training.scoring import pair_scores

# Nats a token, mean over a pass, by which policy and reference may differ before the first
# step. On a CPU they are equal to the bit; GPU kernels may round bf16 in another order.
TOLERANCE = {"fp32": 1e-3, "bf16": 0.05}


class StepTrainer(Trainer):
    """A Trainer whose loss is a sum divided by the `count` of the whole step, over all ranks.

    So the loss does not depend on how a step is split into forward passes and ranks. A step is one
    item of `lib.training.passes.TrainingSteps`: to transformers it is one batch.
    """

    def __init__(
        self,
        *args: Any,
        config: Train,
        validate: Callable[[int], dict[str, float]] | None = None,
        **kwargs: Any,
    ) -> None:
        """validate: step → what validation measures; called at logged steps, on all ranks."""
        super().__init__(*args, **kwargs)
        self.config, self.loss = config, loss_of(config)
        self.validate = validate
        # compute_loss has divided by the count of the whole step already.
        self.loss_is_scaled_for_ga = True

    def count(self, batch: Batch) -> int:
        """How many items the loss is a mean over: labels, unless overridden."""
        return len(batch["labels"])

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[list[Batch]], Tensor]:
        """One optimizer step, a list of batches, and their count over all ranks."""
        steps, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        # As a tensor it is not waited for.
        count = torch.as_tensor(sum(self.count(one) for s in steps for one in s), device=device)
        return steps, self.accelerator.reduce(count, "sum")

    def training_step(
        self, model: Any, inputs: list[Batch], num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """The passes of a step, as transformers does passes: see `sync_each_batch` in `loop`."""
        state = self.accelerator.gradient_state
        loss = torch.zeros((), device=self.args.device)
        for place, batch in enumerate(inputs):
            last = place == len(inputs) - 1
            state._set_sync_gradients(last)
            sync = last or state.plugin_kwargs.get("sync_each_batch", False)
            with nullcontext() if sync else self.accelerator.no_sync(model):
                loss += super().training_step(model, batch, num_items_in_batch)
        return loss

    def floating_point_ops(self, inputs: list[Batch]) -> int:
        """As of one batch."""
        return sum(map(super().floating_point_ops, inputs))

    def step_share(self, losses: Tensor, batch: Batch, count: Tensor | None) -> Tensor:
        """A pass's part of the step's mean loss.

        Times the world size, because data-parallel training averages gradients over the ranks.
        """
        count = self.count(batch) if count is None else count
        return losses.sum() / count * self.accelerator.num_processes

    def means(self) -> dict[str, float]:
        """Columns of train.jsonl beside the loss: means since the last log."""
        return {}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step with its `means` and what validation measures after it."""
        if "loss" in logs:
            logs |= self.means()
            if self.validate:
                logs |= self.validate(self.state.global_step)
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As Trainer does; raises BadInput where the disk refuses, and leaves no part behind."""
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            with writing(checkpoint):
                super()._save_checkpoint(model, trial)
        except BadInput:
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise


class AnswerTrainer(StepTrainer):
    """Trains on answers; the loss is a mean over their tokens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.score = Responses(self.model)

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """See `step_share`."""
        nll = -self.score(model, inputs)
        nll = pad_sequence(nll.split(inputs["answers"]), batch_first=True)  # (B, T), else 0
        losses = self.loss(nll, inputs["decision"], inputs["weighted"])
        loss = self.step_share(losses, inputs, num_items_in_batch)
        return (loss, nll) if return_outputs else loss


class PairTrainer(StepTrainer):
    """Trains on preference pairs; the loss is a mean over pairs.

    `references`: split → log-probabilities of the reference, (n, 2), see `set_references`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.score = Responses(self.model)
        self.references: Mapping[str, np.ndarray] = {}
        self.reference = torch.empty(0, 2, device=self.args.device)  # of the training pairs
        self.reference_gap: float | None = None  # see `_check_reference`
        self.sums: dict[str, Tensor] = {}  # since the last log

    def set_references(self, references: Mapping[str, np.ndarray]) -> None:
        """Set the reference's log-probabilities of every split, among them `train`."""
        self.references = references
        self.reference = torch.tensor(
            references["train"], dtype=torch.float32, device=self.args.device
        )

    def count(self, batch: Batch) -> int:
        """Number of pairs."""
        return len(batch["answers"]) // 2

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """See `step_share`."""
        policy = pair_scores(self.score, model, inputs)
        lengths = torch.tensor(inputs["answers"], device=policy.device).view(-1, 2)
        pairs = PairLogps(policy, self.reference[inputs["row"]], lengths)
        if self.is_in_train and self.state.global_step == 0 and self.reference_gap is None:
            self._check_reference(pairs)
        losses = self.loss(pairs)
        self._add(losses, pairs)
        loss = self.step_share(losses.loss, inputs, num_items_in_batch)
        return (loss, pairs) if return_outputs else loss

    @torch.no_grad()
    def _check_reference(self, pairs: PairLogps) -> None:
        """Raise BadInput where the policy is not the reference before the run's first step."""
        gap, tokens = (pairs.policy - pairs.reference).abs().sum(), pairs.lengths.sum()
        self.reference_gap = (gap / tokens).item()
        tolerance = TOLERANCE[self.config.precision]
        if not self.reference_gap <= tolerance:  # NaN too
            raise BadInput(
                f"reference: before the first step policy and reference differ by "
                f"{self.reference_gap:.3g} nats a token, expected {tolerance:g} or less in "
                f"{self.config.precision}: the reference was computed from other weights, data "
                f"or code; remove the study's reference/ to compute it again"
            )

    @torch.no_grad()
    def _add(self, losses: PairLoss, pairs: PairLogps) -> None:
        columns = {"margin_loss": losses.margin_loss, **losses.terms}
        columns |= {"train_accuracy": correct(pairs), "pairs": torch.ones_like(losses.loss)}
        for name, values in columns.items():
            self.sums[name] = self.sums.get(name, 0) + values.sum()

    def means(self) -> dict[str, float]:
        """Means over pairs of the loss's terms and of the accuracy."""
        sums = self.accelerator.reduce(torch.stack(list(self.sums.values())), "sum").tolist()
        totals = dict(zip(self.sums, sums, strict=True))
        count = totals.pop("pairs")
        self.sums = {}
        return {name: total / count for name, total in totals.items()}


def correct(pairs: PairLogps) -> Tensor:
    """(B,): 1 where the chosen response's log-ratio is greater than the rejected one's, ties ½."""
    ratios = pairs.policy - pairs.reference
    return 0.5 + 0.5 * torch.sign(ratios[:, 0] - ratios[:, 1])


class ClassTrainer(StepTrainer):
    """Trains on rows with a class; the loss is a mean over rows, plus a penalty.

    `penalty`: (column of train.jsonl, function of no argument), added to the loss once an optimizer
    step and logged in its own column; set it once the model is on its device.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.penalty: tuple[str, Callable[[], Tensor]] | None = None
        device = self.args.device
        self.sums = torch.zeros(3, device=device)  # loss, correct, rows since the last log
        self.penalty_sum, self.penalty_steps = torch.zeros((), device=device), 0

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """See `step_share`; the step's last pass adds the penalty, the same on all ranks.

        The model does not see the labels: with them PEFT would add AdaLoRA's regulariser in every
        forward pass.
        """
        labels = inputs["labels"]
        outputs = model(**{key: value for key, value in inputs.items() if key != "labels"})
        losses = self.loss(outputs.logits, labels)
        loss = self.step_share(losses, inputs, num_items_in_batch)
        with torch.no_grad():
            right = (outputs.logits.argmax(dim=1) == labels).sum()
            self.sums += torch.stack([losses.sum(), right.float(), losses.new_tensor(len(labels))])
        if self.penalty and self.accelerator.sync_gradients:
            value = self.penalty[1]()
            self.penalty_sum += value.detach()
            self.penalty_steps += 1
            loss = loss + value
        return (loss, outputs) if return_outputs else loss

    def means(self) -> dict[str, float]:
        """Mean loss without the penalty, accuracy, and the mean penalty of a step."""
        loss, right, count = self.accelerator.reduce(self.sums, "sum").tolist()
        means = {"loss": loss / count, "train_accuracy": right / count}
        self.sums = torch.zeros_like(self.sums)
        if self.penalty:
            means[self.penalty[0]] = self.penalty_sum.item() / self.penalty_steps
            self.penalty_sum, self.penalty_steps = torch.zeros_like(self.penalty_sum), 0
        return means
