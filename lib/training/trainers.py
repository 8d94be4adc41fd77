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
from lib.config.steps import validates
from lib.losses import PairLogps, loss_of
from lib.training.batches import Batch
from lib.training.checkpointing import BEST, writing
from lib.training.responses import Responses
from lib.training.saving import save_model
from lib.training.scoring import class_logits, pair_scores, row_logps

# Nats a token, mean over a pass, by which policy and reference may differ before the first
# step. On a CPU they are equal to the bit; GPU kernels may round bf16 in another order.
TOLERANCE = {"fp32": 1e-3, "bf16": 0.05}


class StepTrainer(Trainer):
    """A Trainer whose loss is a sum divided by the `count` of the whole step, over all ranks.

    So the loss does not depend on how a step is split into forward passes and ranks. A step is one
    item of `lib.training.passes.TrainingSteps`: to transformers it is one batch.

    With `train.keep: best` the directory BEST has the weights of the highest validation accuracy
    (without one, of the lowest loss), the first of ties; a run that resumes from a checkpoint
    before that step reaches them again.
    """

    kind: str  # of batch

    def __init__(
        self,
        *args: Any,
        config: Train,
        directory: Path | None = None,
        held_out: Any = None,
        **kwargs: Any,
    ) -> None:
        """directory: of the run; held_out: validation rows, None for no validation."""
        super().__init__(*args, **kwargs)
        self.config, self.loss = config, loss_of(config)
        self.directory, self.held_out = directory, held_out
        self.best: Mapping[str, Any] | None = None  # what validation measured of the best weights
        self.score = None if self.kind == "classes" else Responses(self.model)
        # (column of train.jsonl, function of no argument): added to the loss once a step
        self.penalty: tuple[str, Callable[[], Tensor]] | None = None
        self.saving: Callable[[], Any] = nullcontext  # a context in which weights are saved
        self.sums: dict[str, Tensor] = {}  # of values since the last log, and their number
        # compute_loss has divided by the count of the whole step already.
        self.loss_is_scaled_for_ga = True

    def losses(self, model: Any, batch: Batch) -> Tensor:
        """The losses of a batch, whose sum is divided by the step's `count`."""
        raise NotImplementedError

    def measure(self, rows: Any) -> dict[str, float]:
        """`validation_loss` and, where there is one, `validation_accuracy`; on all ranks."""
        raise NotImplementedError

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

    def compute_loss(
        self, model: Any, inputs: Batch, num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """A pass's part of the step's mean loss; in the step's last pass the penalty too.

        Times the world size, because data-parallel training averages gradients over the ranks.
        """
        count = self.count(inputs) if num_items_in_batch is None else num_items_in_batch
        loss = self.losses(model, inputs).sum() / count * self.accelerator.num_processes
        if self.penalty and self.accelerator.sync_gradients:
            name, value = self.penalty[0], self.penalty[1]()
            self.add({name: value})
            loss = loss + value
        return loss

    @torch.no_grad()
    def add(self, columns: Mapping[str, Tensor]) -> None:
        """Add values to the means of the next row of train.jsonl."""
        for name, values in columns.items():
            part = torch.stack([values.sum(), values.new_tensor(values.numel())])
            self.sums[name] = self.sums.get(name, 0) + part

    def means(self) -> dict[str, float]:
        """Means of what was added since the last log, over all ranks."""
        names = list(self.sums)
        if not names:
            return {}
        sums = self.accelerator.reduce(torch.stack(list(self.sums.values())), "sum").tolist()
        self.sums = {}
        return {name: total / count for name, (total, count) in zip(names, sums, strict=True)}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step with its `means` and what validation measures after it."""
        if "loss" in logs:
            logs |= {**self.means(), **self.validated(self.state.global_step)}
        super().log(logs, start_time)

    def validated(self, step: int) -> dict[str, float]:
        """What `measure` returns, empty where no validation is due; keeps the best weights.

        NaN where a log-probability is not finite.
        """
        if self.held_out is None or not validates(self.config, step, self.state.max_steps):
            return {}
        measured = self.measure(self.held_out)
        finite = np.isfinite(list(measured.values())).all()
        better = self.best is None or _quality(measured) > _quality(self.best)
        if self.config.keep == "best" and finite and better:
            self.best = measured
            save_model(self, self.directory / BEST, step, measured)
        return measured

    def row_logps(self, rows: Any, **more: Any) -> np.ndarray:
        """`row_logps` by the model in training; to be called on all ranks."""
        accelerator, pad = self.accelerator, self.processing_class.pad_token_id
        ranks = accelerator.process_index, accelerator.num_processes
        share = row_logps(self.kind, self.model, rows, pad, self.config, score=self.score,
                          ranks=ranks, **more)  # fmt: skip
        shares = torch.from_numpy(share).to(accelerator.device)
        return accelerator.reduce(shares, "sum").cpu().numpy()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As Trainer does; raises BadInput where the disk refuses, and leaves no part behind."""
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            with writing(checkpoint):
                super()._save_checkpoint(model, trial)
        except BadInput:
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise


def _quality(measured: Mapping[str, float]) -> float:
    """What the best weights maximise."""
    return measured.get("validation_accuracy", -measured["validation_loss"])


class AnswerTrainer(StepTrainer):
    """Trains on answers; the loss is a mean over their tokens."""

    kind = "answers"

    def losses(self, model: Any, batch: Batch) -> Tensor:
        """Of each answer."""
        nll = -self.score(model, batch)
        nll = pad_sequence(nll.split(batch["answers"]), batch_first=True)  # (B, T), else 0
        return self.loss(nll, batch["decision"], batch["weighted"])

    def measure(self, rows: Any) -> dict[str, float]:
        """Mean loss of an answer's token, unweighted: class weights are part of training alone."""
        tokens = sum(map(len, rows["input_ids"])) - sum(rows["prompt_length"])
        return {"validation_loss": -self.row_logps(rows).sum() / tokens}


class PairTrainer(StepTrainer):
    """Trains on preference pairs; the loss is a mean over pairs.

    `references`: split → log-probabilities of the reference, (n, 2), see `set_references`.
    """

    kind = "pairs"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.references: Mapping[str, np.ndarray] = {}
        self.reference = torch.empty(0, 2, device=self.args.device)  # of the training pairs
        self.reference_gap: float | None = None  # see `_check_reference`

    def set_references(self, references: Mapping[str, np.ndarray]) -> None:
        """Set the reference's log-probabilities of every split, among them `train`."""
        self.references = references
        self.reference = torch.tensor(
            references["train"], dtype=torch.float32, device=self.args.device
        )

    def count(self, batch: Batch) -> int:
        """Number of pairs."""
        return len(batch["answers"]) // 2

    def losses(self, model: Any, batch: Batch) -> Tensor:
        """Of each pair; adds the loss's terms and the accuracy to the log."""
        policy = pair_scores(self.score, model, batch)
        lengths = torch.tensor(batch["answers"], device=policy.device).view(-1, 2)
        pairs = PairLogps(policy, self.reference[batch["row"]], lengths)
        if self.is_in_train and self.state.global_step == 0 and self.reference_gap is None:
            self._check_reference(pairs)
        losses = self.loss(pairs)
        columns = {"margin_loss": losses.margin_loss, **losses.terms}
        self.add(columns | {"train_accuracy": correct(pairs)})
        return losses.loss

    def measure(self, rows: Any) -> dict[str, float]:
        """Pairwise accuracy of implicit rewards, ties ½, and mean loss."""
        answers = zip(rows["chosen_ids"], rows["rejected_ids"], strict=True)
        lengths = torch.tensor([list(map(len, pair)) for pair in answers])
        logps, reference = self.row_logps(rows), self.references["validation"]
        pairs = PairLogps(torch.from_numpy(logps), torch.from_numpy(reference), lengths)
        return {
            "validation_accuracy": correct(pairs).mean().item(),
            "validation_loss": self.loss(pairs).loss.mean().item(),
        }

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


def correct(pairs: PairLogps) -> Tensor:
    """(B,): 1 where the chosen response's log-ratio is greater than the rejected one's, ties ½."""
    ratios = pairs.policy - pairs.reference
    return 0.5 + 0.5 * torch.sign(ratios[:, 0] - ratios[:, 1])


class ClassTrainer(StepTrainer):
    """Trains on rows with a class; the loss is a mean over rows, plus a penalty."""

    kind = "classes"

    def losses(self, model: Any, batch: Batch) -> Tensor:
        """Of each row; the loss in the log is without the penalty."""
        logits = class_logits(model, batch)
        losses = self.loss(logits, batch["labels"])
        right = logits.argmax(dim=1) == batch["labels"]
        self.add({"loss": losses, "train_accuracy": right.float()})
        return losses

    def measure(self, rows: Any) -> dict[str, float]:
        """Accuracy, and mean loss."""
        logps = torch.from_numpy(self.row_logps(rows)).float()
        labels = torch.tensor([row["label"] for row in rows])
        return {
            "validation_accuracy": (logps.argmax(dim=1) == labels).float().mean().item(),
            "validation_loss": -logps[torch.arange(len(labels)), labels].mean().item(),
        }


TRAINERS = {trainer.kind: trainer for trainer in (AnswerTrainer, PairTrainer, ClassTrainer)}
