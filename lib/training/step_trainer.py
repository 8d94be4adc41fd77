"""The Trainer of every kind of batch: a loss over all that an optimizer step holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from lib.config.errors import BadInput
from lib.config.schema import Train
from lib.training.checkpointing import writing


class StepTrainer(Trainer):
    """A Trainer whose `compute_loss` divides by the `counted` of the whole step, over all ranks.

    So the loss does not depend on how a step is cut into passes and ranks.
    """

    def __init__(
        self,
        *args: Any,
        settings: Train,
        validate: Callable[[int], dict[str, float | None]] | None = None,
        **kwargs: Any,
    ) -> None:
        """`settings`: the point's; `validate`: what to log beside the loss.

        The latter is asked at every logged step, on all ranks.
        """
        super().__init__(*args, **kwargs)
        self.settings = settings
        self.validate = validate
        # compute_loss has divided by the count of the whole step already.
        self.loss_is_scaled_for_ga = True

    def counted(self, batch: dict[str, Tensor]) -> int | Tensor:
        """How much of what the loss is a mean over is in a micro-batch."""
        return len(batch["labels"])

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list, Tensor]:
        """The micro-batches of one optimizer step, and what they count together on all ranks."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        # A sum of tensors is not waited for, as one of their values would be.
        count = torch.as_tensor(sum(map(self.counted, batches)), device=device)
        return batches, self.accelerator.reduce(count, "sum")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As Trainer does; raises BadInput where the disk refuses, and leaves no part behind."""
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            with writing(checkpoint):
                super()._save_checkpoint(model, trial)
        except BadInput:
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise
