"""The matrices that adapters change: found, named, and what a run has made of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from lib.config.errors import BadInput

ADAPTER = "default"  # PEFT's name of the one adapter that a point trains


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

    A module that a model uses several times, as DeBERTa its projections, is one matrix.
    """
    found = []
    for path, module in model.named_modules():
        if not isinstance(module, LoraLayer):
            continue
        name = path.removeprefix("base_model.model.")
        if not isinstance(module.get_base_layer(), nn.Linear):
            raise BadInput(
                f"train.lora.target_modules: {name} is a {type(module.get_base_layer()).__name__}, "
                f"expected linear layers alone"
            )
        place = re.search(r"\.(\d+)\.(.+)", name)
        layer, inner = (int(place[1]), place[2]) if place else (None, name)
        found.append(Matrix(name, layer, inner, module))
    return found


@torch.no_grad()
def rank_use(matrix: Matrix) -> dict[str, Any]:
    """‖Δ‖_F, effective rank and allocated rank of what an adapter has learnt.

    Effective rank is e^H of the singular values' shares (Roy & Vetterli, EUSIPCO 2007), None where
    Δ is 0. Allocated: triplets that AdaLoRA has not masked; else r. Singular values come from the
    factors' R of QR, exactly, so that Δ is not made.
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
