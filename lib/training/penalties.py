"""Penalties on adapters, added to the loss once a step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
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


def adapters_penalty(
    matrices: Sequence[Matrix], weights: Sequence[float], alpha: float, beta: float
) -> Callable[[], Tensor]:
    """α Σ_k (1 − w_k)^β ‖s·B_kA_k‖²_F of a model's adapters, at their values when it is called.

    Differentiable, in fp32, one kernel call a shape. Decoupled weight decay of A and B would be
    another penalty: it shrinks the factors rather than their product.
    """
    groups: defaultdict[Any, list[Any]] = defaultdict(list)
    for matrix, weight in zip(matrices, weights, strict=True):
        a, b, scaling = matrix.factors
        groups[a.shape, b.shape].append((a, b, alpha * (1 - weight) ** beta * scaling**2))
    device = matrices[0].base.weight.device
    of_shapes = [
        (a, b, torch.tensor(c, dtype=torch.float32, device=device))
        for a, b, c in (zip(*group, strict=True) for group in groups.values())
    ]
    return partial(importance_penalty, of_shapes)


def orthogonality_penalty(model: Any, matrices: Sequence[Matrix]) -> Callable[[], Tensor]:
    """AdaLoRA's regulariser, times its weight, at the factors' values when it is called."""
    groups: defaultdict[Any, list[Any]] = defaultdict(list)
    for matrix in matrices:
        a, b = matrix.adapter.lora_A[ADAPTER], matrix.adapter.lora_B[ADAPTER]
        groups[a.shape].append((a, False))
        groups[b.mT.shape].append((b, True))
    weight = model.peft_config[ADAPTER].orth_reg_weight

    def penalty() -> Tensor:
        factors = [[f.mT if turned else f for f, turned in group] for group in groups.values()]
        return weight * orthogonality(factors)

    return penalty
