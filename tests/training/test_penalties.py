"""Penalties on adapters: by hand, and against the plain formula by autograd."""

import math

import pytest
import torch

from lib.training.penalties import importance_penalty, orthogonality, product_norms


def factors(shapes, seed=0, dtype=torch.float64):
    """Pairs (a, b) of factors (r, in), (out, r) that take gradients."""
    made = torch.Generator().manual_seed(seed)
    return [
        tuple(
            torch.randn(*shape, generator=made, dtype=dtype, requires_grad=True)
            for shape in ((r, inner), (outer, r))
        )
        for outer, r, inner in shapes
    ]


def test_norm_of_a_product_by_hand():
    """B = (1, 2)ᵀ, A = (3, 4): BA = [[3, 4], [6, 8]], ‖BA‖² = 9 + 16 + 36 + 64 = 125; ‖A‖² + ‖B‖²
    would be 30."""
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [2.0]])
    assert product_norms([a, a], [b, -b]).tolist() == [125.0, 125.0]


def test_penalty_and_gradients_are_those_of_the_plain_formula():
    """α Σ (1 − w)^β ‖s·BA‖²_F with Δ made, over matrices of two shapes, by autograd."""
    pairs = factors([(6, 2, 5), (6, 2, 5), (9, 2, 5), (6, 2, 5)])
    weights, alpha, beta, scaling = [0.1, 0.5, 0.3, 0.1], 3e-2, 2.0, 4.0
    plain = alpha * sum(
        (1 - w) ** beta * (scaling * b @ a).square().sum()
        for w, (a, b) in zip(weights, pairs, strict=True)
    )
    c = [alpha * (1 - w) ** beta * scaling**2 for w in weights]
    groups = [
        ([pairs[i][0] for i in places], [pairs[i][1] for i in places],
         torch.tensor([c[i] for i in places], dtype=torch.float64))
        for places in ([0, 1, 3], [2])
    ]  # fmt: skip
    found = importance_penalty(groups)
    torch.testing.assert_close(found, plain)
    every = [part for pair in pairs for part in pair]
    for one, other in zip(
        torch.autograd.grad(found, every), torch.autograd.grad(plain, every), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_penalty_is_zero_and_flat_where_b_is():
    ((a, b),) = factors([(4, 2, 3)])
    b.data.zero_()
    found = importance_penalty([([a], [b], torch.ones(1, dtype=torch.float64))])
    gradients = torch.autograd.grad(found, (a, b))
    assert found.item() == 0
    assert not any(gradient.any() for gradient in gradients)


def test_penalty_is_in_fp32_under_autocast():
    pairs = factors([(64, 8, 64)] * 3, dtype=torch.float32)
    groups = [([a for a, _ in pairs], [b for _, b in pairs], torch.ones(3))]
    with torch.autocast("cpu", torch.bfloat16):
        found = importance_penalty(groups)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, importance_penalty(groups), rtol=0, atol=0)


def test_orthogonality_is_zero_for_orthonormal_rows():
    """Rows of I: 0. Rows of 2I, r = 2: ‖4I − I‖_F = 3√2. Their mean: 3√2 / 2."""
    unit = torch.eye(2, 5)
    assert orthogonality([[unit, unit], [torch.eye(3)]]).item() == 0
    assert orthogonality([[unit, 2 * unit]]).item() == pytest.approx(3 * math.sqrt(2) / 2)
