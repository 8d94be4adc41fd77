"""The matrices that adapters change: named, measured, and cut to their ranks by AdaLoRA."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import TrainerCallback

from lib.config.errors import BadInput
from lib.training.checkpointing import writing

ADAPTER = "default"  # PEFT's name of the one adapter that a point trains
STATE = "adalora.pt"  # in a checkpoint
SMOOTHED = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # RankAllocator's state, by parameter


@dataclass(frozen=True)
class Matrix:
    """One base matrix W (out, in) with its adapter, in the order of the model."""

    name: str  # as in the model without adapters: bert.encoder.layer.0.attention.self.query
    layer: int | None  # 0
    module: str  # attention.self.query
    adapter: Any  # PEFT's module around the base layer

    @property
    def base(self) -> nn.Linear:
        """The frozen layer."""
        return self.adapter.get_base_layer()

    @property
    def factors(self) -> tuple[Tensor, Tensor, float]:
        """(A, B, s) with Δ = s·BA: (r, in), (out, r). AdaLoRA's singular values are put into A."""
        a, b = self.adapter.lora_A[ADAPTER], self.adapter.lora_B[ADAPTER]
        scaling = self.adapter.scaling[ADAPTER]
        if isinstance(a, nn.Linear):
            return a.weight, b.weight, scaling
        ranks = self.adapter.ranknum[ADAPTER].item() + 1e-5  # as PEFT's own forward divides
        return a * self.adapter.lora_E[ADAPTER], b, scaling / ranks


def adapted_matrices(model: Any) -> list[Matrix]:
    """The matrices that a PEFT model adapts. Raises BadInput for an adapted module of another kind.

    A module that a model applies several times, as DeBERTa does its projections, is one matrix.
    """
    matrices = []
    for path, module in model.named_modules():
        if not isinstance(module, LoraLayer):
            continue
        name = path.removeprefix("base_model.model.")
        if not isinstance(module.get_base_layer(), nn.Linear):
            raise BadInput(
                f"train.lora.target_modules: {name} is a {type(module.get_base_layer()).__name__}, "
                f"expected linear layers only"
            )
        place = re.search(r"\.(\d+)\.(.+)", name)
        layer, inner = (int(place[1]), place[2]) if place else (None, name)
        matrices.append(Matrix(name, layer, inner, module))
    return matrices


@torch.no_grad()
def rank_use(matrix: Matrix) -> dict[str, Any]:
    """‖Δ‖_F, effective rank and allocated rank of a trained adapter.

    Effective rank is e^H of the singular values' shares (Roy & Vetterli, EUSIPCO 2007), None where
    Δ is 0. Allocated: triplets that AdaLoRA has not masked; else r. Singular values come exactly
    from the R factors of a QR decomposition of A and B, without forming Δ.
    """
    a, b, scaling = matrix.factors
    rank = a.shape[0]
    if hasattr(matrix.adapter, "lora_E"):
        rank = int((matrix.adapter.lora_E[ADAPTER] != 0).sum())
    _, right = torch.linalg.qr(a.double().T)
    _, left = torch.linalg.qr(b.double())
    values = torch.linalg.svdvals(left @ right.T) * scaling
    norm = values.square().sum().sqrt().item()
    shares = values / values.sum() if norm > 0 else values[:0]
    shares = shares[shares > 0]
    entropy = -(shares * shares.log()).sum().item()
    return {
        "name": matrix.name,
        "layer": matrix.layer,
        "module": matrix.module,
        "norm": norm,
        "effective_rank": torch.tensor(entropy).exp().item() if len(shares) else None,
        "rank": rank,
    }


class Allocation(TrainerCallback):
    """Lets AdaLoRA cut ranks after each optimizer step, while the gradients exist.

    PEFT keeps the allocation in the model's config, and saving cuts adapters to it. A checkpoint
    needs every triplet, masked ones too, since ranks come back while the budget shrinks and the
    optimizer's state has their shapes. So the config has the allocation only within `published`.
    checkpoint: where the run resumes from, None for a new one.
    """

    def __init__(self, model: Any, checkpoint: Path | None) -> None:
        self.tuner = model.base_model
        self.config = model.peft_config[ADAPTER]
        self.checkpoint = checkpoint
        self.pattern: dict[str, list[bool]] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the checkpoint's allocation, on the model's device."""
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
        """Add the state of the allocator to the checkpoint."""
        if state.is_world_process_zero:
            kept = {name: getattr(self.tuner.rankallocator, name) for name in SMOOTHED}
            path = Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE
            with writing(path.parent):
                torch.save({"pattern": self.pattern, **kept}, path)

    @contextmanager
    def published(self) -> Iterator[None]:
        """The model's config has the allocation within the block, so that saving cuts to it."""
        self.config.rank_pattern = self.pattern and dict(self.pattern)
        try:
            yield
        finally:
            self.config.rank_pattern = None
