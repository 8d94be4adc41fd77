"""Losses: hand-worked values, identities, and torch's autograd as the judge of gradients."""

import math

import pytest
import torch

from lib.losses import OBJECTIVES, token_nll, weighted_nll
from lib.schema import OBJECTIVE_KEYS, OBJECTIVE_KIND


def test_token_nll_by_hand():
    """Two tokens of a vocabulary of two: logits (0, log 3) give p = 1/4 and 3/4."""
    logits = torch.tensor([[[0.0, math.log(3.0)], [0.0, math.log(3.0)], [5.0, 5.0]]])
    labels = torch.tensor([[0, 1, -100]])
    expected = torch.tensor([[math.log(4.0), math.log(4.0 / 3.0), 0.0]])
    torch.testing.assert_close(token_nll(logits, labels), expected)


def test_token_nll_is_computed_in_fp32():
    logits = torch.randn(1, 5, 1000, generator=torch.Generator().manual_seed(0)).bfloat16() * 4
    labels = torch.arange(5)[None]
    exact = -torch.log_softmax(logits.double(), -1).gather(-1, labels[..., None])[..., 0]
    assert token_nll(logits, labels).dtype == torch.float32
    torch.testing.assert_close(token_nll(logits, labels).double(), exact, atol=1e-5, rtol=1e-6)


def batch():
    """Two answers of three tokens, the second token deciding; losses 1, 2, 3 and 4, 5, 6."""
    nll = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    decision = torch.tensor([[False, True, False], [False, True, False]])
    return nll, decision, torch.tensor([True, False])


def test_weighting_the_decision_by_hand():
    """γ = 4 on the deciding token of the first row alone: 1 + 4·2 + 3 = 12, and 4 + 5 + 6 = 15."""
    nll, decision, weighted = batch()
    per_row = weighted_nll(nll, decision, weighted, gamma=4.0, weighting="decision")
    assert per_row.tolist() == [12.0, 15.0]


def test_weighting_the_row_by_hand():
    """γ = 4 on all of the first row: 4·(1 + 2 + 3) = 24."""
    nll, decision, weighted = batch()
    per_row = weighted_nll(nll, decision, weighted, gamma=4.0, weighting="row")
    assert per_row.tolist() == [24.0, 15.0]


@pytest.mark.parametrize("weighting", ["decision", "row"])
def test_gamma_one_is_cross_entropy(weighting):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 6, 11, generator=generator)
    labels = torch.randint(0, 11, (4, 6), generator=generator)
    labels[0, :3] = -100
    decision = torch.rand(4, 6, generator=generator) < 0.5
    per_row = weighted_nll(
        token_nll(logits, labels), decision, torch.ones(4, dtype=bool), gamma=1.0,
        weighting=weighting,
    )  # fmt: skip
    count = (labels != -100).sum()
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(per_row.sum() / count, expected)


def test_gradient_of_a_weighted_row_is_gamma_times_the_plain_one():
    """d/dlogits = γ·(softmax − onehot) on the weighted row, autograd against the formula."""
    logits = torch.randn(2, 1, 5, generator=torch.Generator().manual_seed(2), requires_grad=True)
    labels = torch.tensor([[3], [1]])
    per_row = weighted_nll(
        token_nll(logits, labels), torch.ones(2, 1, dtype=bool), torch.tensor([True, False]),
        gamma=8.0, weighting="decision",
    )  # fmt: skip
    per_row.sum().backward()
    plain = logits.detach().softmax(-1) - torch.nn.functional.one_hot(labels, 5)
    torch.testing.assert_close(logits.grad[0], 8 * plain[0])
    torch.testing.assert_close(logits.grad[1], plain[1])


@pytest.mark.parametrize("gamma", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_optimum_moves_by_log_gamma_over_k(gamma, k):
    """One logit fitted to accepts and rejects at 1:k with weight γ ends at log(γ/k), as theory has.

    Weighted accept: −γ·n₊·log σ(z) − n₋·log(1 − σ(z)) is least at z = log(γ·n₊/n₋).
    """
    z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[1]] * 12 + [[0]] * 12 * k)
    optimiser = torch.optim.LBFGS([z], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-16)

    def loss():
        optimiser.zero_grad()
        logits = torch.stack([torch.zeros_like(z), z], -1).expand(len(labels), 1, 2)
        nll = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none"
        ).view(labels.shape)
        total = weighted_nll(
            nll, torch.ones_like(labels, dtype=bool), labels[:, 0] == 1, gamma=gamma,
            weighting="decision",
        ).sum() / len(labels)  # fmt: skip
        total.backward()
        return total

    optimiser.step(loss)
    assert z.item() == pytest.approx(math.log(gamma / k), abs=1e-6)


def test_every_objective_has_a_function_its_keys_and_its_kind():
    assert set(OBJECTIVES) == set(OBJECTIVE_KEYS) == set(OBJECTIVE_KIND)
