"""AdaLoRA's schedule driven from the training loop, and its regulariser.

PEFT keeps the allocation in the model's config, by which saving cuts the adapters to their ranks.
A checkpoint has to hold every triplet, the masked ones too: ranks come back while the budget
shrinks, and the optimizer's state has their shapes. So the config holds the allocation only while
weights are saved for use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from lib.training.adapters import ADAPTER, Matrix
from lib.training.checkpointing import writing
from lib.training.penalties import orthogonality

STATE = "adalora.pt"  # in a checkpoint
SMOOTHED = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # RankAllocator's state, by parameter


class Allocation(TrainerCallback):
    """Cuts ranks after each optimizer step, while its gradients are there.

    `checkpoint`: where the run resumes from, None for a new one.
    """

    def __init__(self, model: Any, checkpoint: Path | None) -> None:
        self.tuner = model.base_model
        self.config = model.peft_config[ADAPTER]
        self.checkpoint = checkpoint
        self.pattern: dict[str, list[bool]] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take up the allocation of the checkpoint, on the device where the model is now."""
        if self.checkpoint:
            path = self.checkpoint / STATE
            kept = torch.load(path, map_location=args.device, weights_only=True)
            self.pattern = kept["pattern"]
            for name in SMOOTHED:
                setattr(self.tuner.rankallocator, name, kept[name])

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Between the step and `zero_grad`. Steps count from 1, or tfinal 0 would never be cut."""
        with self.published():
            self.tuner.update_and_allocate(state.global_step + 1)
            self.pattern = self.config.rank_pattern

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add to the checkpoint what the next cut depends on."""
        if state.is_world_process_zero:
            kept = {name: getattr(self.tuner.rankallocator, name) for name in SMOOTHED}
            path = Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE
            with writing(path.parent):
                torch.save({"pattern": self.pattern, **kept}, path)

    @contextmanager
    def published(self) -> Iterator[None]:
        """The model's config holds the allocation within the block: saving cuts to it."""
        self.config.rank_pattern = self.pattern and dict(self.pattern)
        try:
            yield
        finally:
            self.config.rank_pattern = None


class Orthogonality:
    """AdaLoRA's regulariser with its weight, as a function of the factors' present values."""

    def __init__(self, model: Any, matrices: list[Matrix]) -> None:
        groups: dict[torch.Size, list[tuple[Any, bool]]] = {}
        for matrix in matrices:
            a, b = matrix.adapter.lora_A[ADAPTER], matrix.adapter.lora_B[ADAPTER]
            groups.setdefault(a.shape, []).append((a, False))
            groups.setdefault(b.T.shape, []).append((b, True))
        self.groups = list(groups.values())
        self.weight = model.peft_config[ADAPTER].orth_reg_weight

    def __call__(self) -> Tensor:
        """The term, a scalar."""
        factors = [[f.mT if turned else f for f, turned in group] for group in self.groups]
        return self.weight * orthogonality(factors)
