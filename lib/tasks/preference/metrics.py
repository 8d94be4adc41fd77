"""What a policy does with preference pairs: pure functions on numpy arrays of one test set.

policy, reference   (n, 2) summed log-probabilities in nats, columns chosen, rejected
lengths             (n, 2) response tokens, end of turn included
"""

from __future__ import annotations

import numpy as np

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
RATES = (
    "accuracy",
    "ranking_sum",
    "ranking_mean",
    "reference_ranking_sum",
    "reference_ranking_mean",
    "longer_wins",
    "shorter_wins",
)


def wins(pairs: np.ndarray) -> np.ndarray:
    """(n,) from (n, 2): 1 where the first column is larger, 0 where the second is, ½ for a tie."""
    return (1 + np.sign(pairs[:, 0] - pairs[:, 1])) / 2


def log_ratios(policy: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n, 2) ℓ = log π − log π₀ of both responses, in nats; β·ℓ is the implicit reward."""
    return policy - reference


def outcomes(
    policy: np.ndarray, reference: np.ndarray, lengths: np.ndarray
) -> dict[str, np.ndarray]:
    """(n,) wins of the chosen response by each name of RATES.

    accuracy: ℓ⁺ > ℓ⁻, the order of the implicit rewards whatever β is (β > 0 multiplies both
    sides). ranking_sum, ranking_mean: the order of the policy's own log-probabilities, summed or a
    token; reference_…: the same of the model before training. longer_wins, shorter_wins: what
    somebody reaches who looks at nothing but the length. Source: Rafailov et al., arXiv 2305.18290;
    ranking accuracy: Chen et al., arXiv 2405.19534.
    """
    longer = wins(lengths)
    return {
        "accuracy": wins(log_ratios(policy, reference)),
        "ranking_sum": wins(policy),
        "ranking_mean": wins(policy / lengths),
        "reference_ranking_sum": wins(reference),
        "reference_ranking_mean": wins(reference / lengths),
        "longer_wins": longer,
        "shorter_wins": 1 - longer,
    }


def quantiles(values: np.ndarray) -> dict[str, float] | None:
    """{"0.05": …} for QUANTILES of `values` (n,), linear between order statistics; None for n = 0.

    Source: Hyndman & Fan 1996, type 7, numpy's default.
    """
    if not len(values):
        return None
    found = np.quantile(values, QUANTILES)
    return {f"{q:g}": float(value) for q, value in zip(QUANTILES, found, strict=True)}
