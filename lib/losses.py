"""Training objectives: pure functions that return one value an example.

Normalisation is the caller's: it divides the sum of these values by a count over the *whole*
optimizer step, so that micro-batch, accumulation and world size change nothing.

A new objective is one function here, one line in `OBJECTIVES` or `PAIR_OBJECTIVES`, and its keys in
`lib.schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def token_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of each labelled token, 0 where the label is −100.

    logits: (B, T, V), any float type; labels: (B, T) token ids. Returns (B, T), fp32: the
    log-softmax of a bf16 logit row is off by up to 0.03 nats.
    """
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none"
    ).view(labels.shape)


def weighted_nll(
    nll: Tensor, decision: Tensor, weighted: Tensor, *, gamma: float, weighting: str
) -> Tensor:
    """Class-weighted negative log-likelihood, −Σ w·log p of each example.

    nll: (B, T), 0 at unlabelled tokens; decision: (B, T) bool, the tokens in which the two answers
    differ; weighted: (B,) bool, whether the example is of the class that γ multiplies. Returns
    (B,), nats. `weighting`: "decision" puts γ on the decision tokens alone, "row" on every token
    of the answer. At the optimum the log-odds of the weighted class move by log γ (Elkan, IJCAI
    2001, theorem 1; Menon et al., arXiv 2007.07314, §3), provided that the caller divides by a
    count that does not hold the weights: Σ w would cancel γ wherever it spans one class.
    """
    where = decision if weighting == "decision" else torch.ones_like(decision)
    weights = torch.where(where & weighted[:, None], gamma, 1.0)
    return (weights * nll).sum(dim=1)


OBJECTIVES: dict[str, Callable[..., Tensor]] = {"weighted_nll": weighted_nll}


class PairLogps(NamedTuple):
    """Log-probabilities of both responses of B pairs, nats, summed over a response's tokens.

    Each (B, 2), columns chosen and rejected; `lengths`: tokens of the responses.
    """

    policy: Tensor
    reference: Tensor
    lengths: Tensor


class PairLoss(NamedTuple):
    """Values of B pairs, each (B,): the loss, and the two terms that it is the sum of.

    `regulariser` is not yet multiplied by its weight, so that runs with different weights can be
    compared; None where the loss has none.
    """

    loss: Tensor
    margin_loss: Tensor
    regulariser: Tensor | None


def sequence_logps(logits: Tensor, labels: Tensor, where: Tensor) -> Tensor:
    """Log-probability of each sequence's labelled tokens, summed.

    logits: (N, V), any float type, of the N positions that `where`, (S, L) bool, picks, row by row;
    labels: (N,) token ids. Returns (S,), fp32: 0 for a sequence without a label.
    """
    return scattered(label_logps(logits, labels), where).sum(dim=1)


def label_logps(logits: Tensor, labels: Tensor) -> Tensor:
    """log p of each label, (N,), fp32; logits: (N, V), any float type; labels: (N,)."""
    return -torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")


def scattered(logps: Tensor, where: Tensor) -> Tensor:
    """The values (N,) where `where`, (S, L) bool, is true, row by row; (S, L), 0 elsewhere.

    Sums of rows are taken from it: adding into them directly has no fixed order on a GPU.
    """
    return logps.new_zeros(where.shape).masked_scatter(where, logps)


def logratio_margin(pairs: PairLogps) -> Tensor:
    """ρ = (log π⁺ − log π⁻) − (log π₀⁺ − log π₀⁻), (B,)."""
    return _margin(pairs.policy - pairs.reference)


def _margin(logps: Tensor) -> Tensor:
    return logps[:, 0] - logps[:, 1]


def dpo(pairs: PairLogps, *, beta: float) -> PairLoss:
    """−log σ(βρ), direct preference optimisation (Rafailov et al., arXiv 2305.18290, eq. 7)."""
    loss = -logsigmoid(beta * logratio_margin(pairs))
    return PairLoss(loss, loss, None)


def discopop(pairs: PairLogps, *, beta: float, modulation: float) -> PairLoss:
    """(1 − σ(x/τ))·softplus(−x) + σ(x/τ)·e^−x at x = βρ, τ = `modulation`.

    The log-ratio modulated loss (Lu et al., arXiv 2406.08414, eq. 5), which is not convex: least at
    x = −0.119, greatest between at x = 0.072 (τ = 0.05). σ(x/τ)·e^−x is one exponential, since e^−x
    alone overflows in fp32 below x = −88 and leaves 0·inf.
    """
    x = beta * logratio_margin(pairs)
    logistic = torch.sigmoid(-x / modulation) * -logsigmoid(x)
    exponential = torch.exp(logsigmoid(x / modulation) - x)
    loss = logistic + exponential
    return PairLoss(loss, loss, None)


def td_dpo(
    pairs: PairLogps, *, beta: float, tau: float, margin: str, reduce: str, regulariser: str
) -> PairLoss:
    """−log σ(Δ/τ) + β·½[(ℓ⁺)² + (ℓ⁻)²], ℓ = log π − log π₀: temperature-decoupled DPO.

    `margin`: Δ is the policy's log π⁺ − log π⁻ ("policy", its authors' text) or ρ ("logratio": with
    τ = 1/β and no regulariser this is DPO). `reduce`: log-probabilities, in Δ and in ℓ, are sums
    over a response's tokens or means. `regulariser` "none" leaves the second term out. ½ℓ²
    estimates a divergence from the reference on the policy's own samples alone, which these
    responses are not; with sums it grows with the square of the length.
    """
    policy, reference = pairs.policy, pairs.reference
    if reduce == "mean":
        policy, reference = policy / pairs.lengths, reference / pairs.lengths
    logratios = policy - reference
    margin_loss = -logsigmoid(_margin(policy if margin == "policy" else logratios) / tau)
    if regulariser == "none":
        return PairLoss(margin_loss, margin_loss, None)
    drift = 0.5 * logratios.square().sum(dim=1)
    return PairLoss(margin_loss + beta * drift, margin_loss, drift)


PAIR_OBJECTIVES: dict[str, Callable[..., PairLoss]] = {
    "dpo": dpo,
    "discopop": discopop,
    "td_dpo": td_dpo,
}


def class_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of the class of each row. logits: (B, C), any float type; labels: (B,). Returns (B,).

    In fp32, as `token_nll`.
    """
    return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")


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
