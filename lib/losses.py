"""Training objectives: pure functions that return one value an example.

Normalisation is the caller's: it divides the sum of these values by a count over the *whole*
optimizer step, so that micro-batch, accumulation and world size change nothing.

A new objective is one function here, one line in `OBJECTIVES`, and its keys in `lib.schema`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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
