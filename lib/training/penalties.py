"""Penalties on adapters: pure functions of their weights, added to the loss once a step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def grams(factors: Sequence[Tensor]) -> Tensor:
    """F·Fᵀ of n factors of one shape (r, d), (n, r, r): one batched product, in fp32 or wider."""
    stacked = torch.stack(list(factors))
    if stacked.dtype in (torch.bfloat16, torch.float16):
        stacked = stacked.float()
    with torch.autocast(stacked.device.type, enabled=False):
        return stacked @ stacked.mT


def product_norms(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """‖B·A‖²_F of n products, (n,), as tr((BᵀB)(AAᵀ)): nothing larger than r × r is made.

    a: n of one shape (r, in); b: n of one shape (out, r). It is not ‖A‖² + ‖B‖², which is at least
    2‖BA‖_* and shrinks both factors whatever they come to together.
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
    found = []
    for group in factors:
        products = grams(group)
        unit = torch.eye(products.shape[-1], device=products.device, dtype=products.dtype)
        found.append(torch.linalg.matrix_norm(products - unit))
    return torch.cat(found).mean()
