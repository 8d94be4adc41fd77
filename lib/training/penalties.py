"""Penalties on adapters, added to the loss once a step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lib.training.adapters import ADAPTER, Matrix


def grams(factors: Sequence[Tensor]) -> Tensor:
    """F·Fᵀ of n factors of one shape (r, d), (n, r, r): one batched product, in fp32 or wider."""
    stacked = torch.stack(list(factors))
    if stacked.dtype in (torch.bfloat16, torch.float16):
        stacked = stacked.float()
    with torch.autocast(stacked.device.type, enabled=False):
        return stacked @ stacked.mT


def product_norms(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """‖B·A‖²_F of n products, (n,), as tr((BᵀB)(AAᵀ)), which needs no matrix larger than r × r.

    a: n of one shape (r, in); b: n of one shape (out, r). Not ‖A‖² + ‖B‖², which is at least
    2‖BA‖_* and shrinks both factors whatever their product.
    """
    return (grams([one.mT for one in b]) * grams(a)).sum(dim=(1, 2))


def importance_penalty(
    groups: Iterable[tuple[Sequence[Tensor], Sequence[Tensor], Tensor]],
) -> Tensor:
    """Σ_k c_k ‖B_k·A_k‖²_F, a scalar; `groups`: (a, b, c) of the matrices of each shape.

    a, b: as in `product_norms`; c: (n,) what multiplies each, α(1 − w_k)^β s² where Δ = s·BA. One
    sum over all matrices.
    """
    return torch.cat([c * product_norms(a, b) for a, b, c in groups]).sum()


def orthogonality(factors: Iterable[Sequence[Tensor]]) -> Tensor:
    """Mean of ‖F·Fᵀ − I‖_F over the factors, a scalar: PEFT's form of AdaLoRA's regulariser.

    factors: groups of one shape (r, d) each, right factors and transposed left ones alike
    (arXiv 2303.10512, eq. 4, which squares the norms and adds them up).
    """
    norms = []
    for group in factors:
        products = grams(group)
        unit = torch.eye(products.shape[-1], device=products.device, dtype=products.dtype)
        norms.append(torch.linalg.matrix_norm(products - unit))
    return torch.cat(norms).mean()


class ImportancePenalty:
    """α Σ_k (1 − w_k)^β ‖s·B_kA_k‖²_F of a model's adapters at their current values.

    Differentiable, in fp32, one kernel call a shape. Decoupled weight decay of A and B would be
    another penalty: it shrinks the factors rather than their product.
    """

    def __init__(
        self, matrices: Sequence[Matrix], weights: Sequence[float], alpha: float, beta: float
    ) -> None:
        groups: dict[tuple, tuple[list[Tensor], list[Tensor], list[float]]] = {}
        for matrix, weight in zip(matrices, weights, strict=True):
            a, b, scaling = matrix.factors
            of_shape = groups.setdefault((a.shape, b.shape), ([], [], []))
            for part, value in zip(
                of_shape, (a, b, alpha * (1 - weight) ** beta * scaling**2), strict=True
            ):
                part.append(value)
        device = matrices[0].base.weight.device
        self.groups = [
            (a, b, torch.tensor(c, dtype=torch.float32, device=device))
            for a, b, c in groups.values()
        ]

    def __call__(self) -> Tensor:
        """The penalty, a scalar."""
        return importance_penalty(self.groups)


class OrthogonalityPenalty:
    """AdaLoRA's regulariser, times its weight, at the factors' current values."""

    def __init__(self, model: Any, matrices: list[Matrix]) -> None:
        groups: dict[torch.Size, list[tuple[Any, bool]]] = {}
        for matrix in matrices:
            a, b = matrix.adapter.lora_A[ADAPTER], matrix.adapter.lora_B[ADAPTER]
            groups.setdefault(a.shape, []).append((a, False))
            groups.setdefault(b.T.shape, []).append((b, True))
        self.groups = list(groups.values())
        self.weight = model.peft_config[ADAPTER].orth_reg_weight

    def __call__(self) -> Tensor:
        """The penalty, a scalar."""
        factors = [[f.mT if turned else f for f, turned in group] for group in self.groups]
        return self.weight * orthogonality(factors)
