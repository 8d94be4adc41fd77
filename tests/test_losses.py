"""Losses: hand-worked values, identities, and torch's autograd as the judge of gradients."""

import inspect
import math

import pytest
import torch

from lib.config.schema import Train
from lib.logps import token_nll
from lib.losses import (
    OBJECTIVES,
    LossKeys,
    PairLogps,
    class_nll,
    discopop,
    dpo,
    ipo,
    td_dpo,
    weighted_nll,
)


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


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_an_objective_declares_what_its_function_takes(objective):
    arguments = inspect.signature(objective.fn).parameters.values()
    assert {a.name for a in arguments if a.kind is a.KEYWORD_ONLY} == set(objective.keys)
    assert set(objective.keys) <= set(LossKeys.model_fields)
    assert set(objective.trainer_keys) <= set(Train.model_fields)
    assert {*objective.positive, objective.margin_key or "beta"} <= {*objective.keys, "beta"}


TD = {"beta": 0.5, "tau": 2.0, "margin": "policy", "reduce": "sum", "regulariser": "none"}


def pairs_of(policy, reference=None, lengths=None, dtype=torch.float32):
    policy = torch.as_tensor(policy, dtype=dtype)
    reference = torch.zeros_like(policy) if reference is None else torch.as_tensor(reference)
    lengths = torch.ones(policy.shape) if lengths is None else torch.as_tensor(lengths)
    return PairLogps(policy, reference.to(dtype), lengths)


def with_rho(values, dtype=torch.float32):
    """Pairs of given ρ, split over all four log-probabilities."""
    rho = torch.as_tensor(values, dtype=dtype)
    policy = torch.stack([rho / 2, -rho / 4], dim=1)
    reference = torch.stack([-rho / 8, rho / 8], dim=1)
    return PairLogps(policy, reference, torch.ones_like(policy))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_dpo_by_hand():
    """ρ = (−1 − −4) − (−2 − −3) = 2, at β = ½: −log σ(1)."""
    found = dpo(pairs_of([[-1.0, -4.0]], [[-2.0, -3.0]]), beta=0.5)
    assert found.loss.tolist() == pytest.approx([-math.log(sigmoid(1))])
    assert torch.equal(found.loss, found.margin_loss)
    assert not found.terms


def test_dpo_of_a_tie_is_log_two():
    assert dpo(with_rho([0.0]), beta=3.0).loss.item() == pytest.approx(math.log(2))


def test_td_dpo_by_hand():
    """Δ = 3 and ℓ = (1, −1), at τ = 2, β = ½: −log σ(1.5) + ½·½·(1 + 1)."""
    pairs = pairs_of([[-1.0, -4.0]], [[-2.0, -3.0]])
    found = td_dpo(pairs, **TD | {"regulariser": "squared_logratio"})
    assert found.margin_loss.tolist() == pytest.approx([-math.log(sigmoid(1.5))])
    assert found.terms["regulariser"].tolist() == [1.0]
    assert found.loss.tolist() == pytest.approx([-math.log(sigmoid(1.5)) + 0.5])
    assert torch.equal(td_dpo(pairs, **TD).loss, found.margin_loss)
    assert not td_dpo(pairs, **TD).terms


def test_td_dpo_with_means_by_hand():
    """Two and four tokens: Δ = −½ − −1 = ½, ℓ = (½, −¼)."""
    pairs = pairs_of([[-1.0, -4.0]], [[-2.0, -3.0]], [[2, 4]])
    found = td_dpo(pairs, **TD | {"reduce": "mean", "regulariser": "squared_logratio"})
    assert found.margin_loss.tolist() == pytest.approx([-math.log(sigmoid(0.25))])
    assert found.terms["regulariser"].tolist() == pytest.approx([0.5 * (1 / 4 + 1 / 16)])


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.5, 2.5])
def test_td_dpo_can_be_dpo(beta):
    """Log-ratio margin, τ = 1/β, no regulariser."""
    pairs = PairLogps(*torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(3)) * 50,
                      torch.ones(9, 2))  # fmt: skip
    found = td_dpo(pairs, **TD | {"margin": "logratio", "tau": 1 / beta}).loss
    torch.testing.assert_close(found, dpo(pairs, beta=beta).loss, rtol=1e-5, atol=1e-6)


def test_beta_zero_leaves_the_margin_alone():
    pairs = pairs_of([[-1.0, -4.0]], [[-2.0, -3.0]])
    found = td_dpo(pairs, **TD | {"beta": 0.0, "regulariser": "squared_logratio"})
    assert torch.equal(found.loss, found.margin_loss)
    assert found.terms["regulariser"].item() == 1


def test_near_a_tie_only_the_product_of_tau_and_beta_counts():
    """The slope of the margin's term over the weight of the other: 1/(2τβ) at Δ = ℓ = 0."""
    for tau, beta in ((1.0, 0.4), (2.0, 0.2), (0.5, 0.8)):
        policy = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        kinds = {"beta": beta, "tau": tau, "regulariser": "squared_logratio"}
        found = td_dpo(pairs_of(policy, dtype=torch.float64), **TD | kinds)
        (slope,) = torch.autograd.grad(found.margin_loss.sum(), policy)
        assert slope[0, 0].item() / beta == pytest.approx(-1 / (2 * 0.4))


def test_ipo_by_hand():
    """ℓ = (1, −1) over two and four tokens: ρ̄ = ½ + ¼. The target is 1 at β = ½, and ¾ at β = ⅔."""
    pairs = pairs_of([[-1.0, -4.0]], [[-2.0, -3.0]], [[2, 4]])
    assert ipo(pairs, beta=0.5).loss.tolist() == pytest.approx([1 / 16])
    assert ipo(pairs, beta=2 / 3).loss.tolist() == pytest.approx([0.0])


def discopop_at(x):
    return discopop(with_rho(x, torch.float64), beta=1.0, modulation=0.05).loss


def test_discopop_by_hand():
    """½·log 2 + ½ at 0; and at x = 0.1, where σ(2) = 0.881, from the paper's formula."""
    assert discopop_at([0.0]).item() == pytest.approx(0.847, abs=5e-4)
    share = sigmoid(2)
    expected = (1 - share) * math.log(1 + math.exp(-0.1)) + share * math.exp(-0.1)
    assert discopop_at([0.1]).item() == pytest.approx(expected)


def test_discopop_has_the_papers_extrema():
    x = torch.linspace(-0.3, 0.3, 60001, dtype=torch.float64)
    loss = discopop_at(x)
    low, high = loss[x < 0].argmin(), loss[(x > -0.119)].argmax()
    assert x[x < 0][low].item() == pytest.approx(-0.119, abs=5e-4)
    assert x[x > -0.119][high].item() == pytest.approx(0.072, abs=5e-4)


def test_discopop_scales_with_beta():
    pairs = with_rho([-3.0, 0.2, 5.0])
    one = discopop(pairs, beta=0.05, modulation=0.05).loss
    torch.testing.assert_close(one, discopop(with_rho([-0.15, 0.01, 0.25]), beta=1.0,
                                             modulation=0.05).loss)  # fmt: skip


SETTINGS = {
    "dpo": {"beta": 1.0},
    "discopop": {"beta": 1.0, "modulation": 0.05},
    "ipo": {"beta": 1.0},
    "td_dpo": TD | {"tau": 1.0, "regulariser": "squared_logratio"},
    "td_dpo mean": TD | {"margin": "logratio", "reduce": "mean", "regulariser": "squared_logratio"},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("x", [-500.0, -88.5, -1.0, 0.0, 1.0, 88.5, 500.0])
def test_pair_losses_are_safe_far_out(name, x):
    """fp32: finite values and gradients, equal to those in fp64."""

    def both(dtype):
        policy = torch.tensor([[x / 2, -x / 2]], dtype=dtype, requires_grad=True)
        loss = OBJECTIVES[name.split()[0]].fn(pairs_of(policy, dtype=dtype), **SETTINGS[name]).loss
        return loss, *torch.autograd.grad(loss.sum(), policy)

    for one, other in zip(both(torch.float32), both(torch.float64), strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_of_pair_losses(name):
    generator = torch.Generator().manual_seed(4)
    policy, reference = torch.randn(2, 6, 2, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, 9, (6, 2), generator=generator)

    def loss(given):
        pairs = PairLogps(given, reference, lengths)
        return OBJECTIVES[name.split()[0]].fn(pairs, **SETTINGS[name]).loss

    assert torch.autograd.gradcheck(loss, policy.requires_grad_())


def test_class_nll_of_even_odds():
    """Two equal logits: log 2 each; log-odds of log 3: log 4/3 and log 4."""
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [math.log(3), 0.0]]).bfloat16().float()
    found = class_nll(logits, torch.tensor([1, 0, 1]))
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([math.log(2), math.log(4 / 3), math.log(4)], rel=5e-3)
