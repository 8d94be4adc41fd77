"""Trends over an ordered axis: Page's test."""

from __future__ import annotations

import math
from itertools import permutations
from typing import NamedTuple

import numpy as np

# Page's test is exact up to here (rows that differ between levels, levels), normal above.
EXACT_ROWS, EXACT_LEVELS = 100, 7


class Trend(NamedTuple):
    """Page's L, its one-sided p-value, "exact" or "normal"; or three None and the reason."""

    statistic: float | None
    p_value: float | None
    method: str | None
    reason: str | None = None


def page_trend(scores: np.ndarray) -> Trend:
    """Page's test that scores rise along the levels, one-sided.

    scores: (rows, levels), levels in the order in which they should rise (γ = 1, 2, 4, 8), at least
    three; rows are independent (test examples, or seeds). A falling trend is `page_trend(-scores)`.
    L = Σ_j j·Σ_i rank_ij, mean ranks for ties. One row is the exact one-sided Spearman test.

    The null permutes each row's own values. Up to EXACT_ROWS rows that differ between levels its
    distribution is convolved exactly; above, L is normal with variance
    Σ_i [levels(levels+1)/12]·Σ_j (rank_ij − mean)². scipy's `page_trend_test` gives the same L, and
    the same p without ties, but ignores ties in the variance: for 0/1 decisions, most of which
    agree at all γ, its p-values are far too large.
    Source: Page 1963; ties: van de Wiel & Di Bucchianico 2001. ValueError on nan or a wrong shape.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2:
        raise ValueError(f"scores: shape {scores.shape}, expected (rows, levels)")
    if np.isnan(scores).any():
        raise ValueError("scores: holds nan")
    rows, levels = scores.shape
    if levels < 3:
        return Trend(None, None, None, f"{levels} levels: Page's test needs at least 3")
    if rows == 0:
        return Trend(None, None, None, "no rows")
    below = (scores[:, :, None] > scores[:, None, :]).sum(axis=2)
    equal = (scores[:, :, None] == scores[:, None, :]).sum(axis=2)
    ranks = below + (equal + 1) / 2  # mean ranks for ties
    statistic = float(ranks.sum(axis=0) @ np.arange(1, levels + 1))
    differing = ranks[np.ptp(ranks, axis=1) > 0]  # the others add a constant to L
    if len(differing) == 0:  # every permutation has the observed L
        return Trend(statistic, 1.0, "exact")
    if len(differing) <= EXACT_ROWS and levels <= EXACT_LEVELS:
        return Trend(statistic, _page_exact(differing), "exact")
    squares = ((differing - (levels + 1) / 2) ** 2).sum()
    sd = math.sqrt(levels * (levels + 1) / 12 * squares)
    z = (statistic - rows * levels * (levels + 1) ** 2 / 4) / sd
    return Trend(statistic, 0.5 * math.erfc(z / math.sqrt(2)), "normal")


def _page_exact(ranks: np.ndarray) -> float:
    """P(L ≥ observed) when each row of ranks (rows, levels) is permuted on its own."""
    doubled = np.rint(2 * ranks).astype(int)  # mean ranks are multiples of a half
    position = np.arange(1, ranks.shape[1] + 1)
    observed = int((doubled @ position).sum())
    total, lowest = np.ones(1), 0  # distribution of the sum so far, and the value of its first cell
    patterns, times = np.unique(np.sort(doubled, axis=1), axis=0, return_counts=True)
    for pattern, repeats in zip(patterns, times, strict=True):
        sums = np.array(list(permutations(pattern.tolist()))) @ position
        row = np.bincount(sums - sums.min()) / len(sums)
        for _ in range(repeats):
            total = np.convolve(total, row)
        lowest += int(repeats) * int(sums.min())
    return float(min(1.0, total[max(0, observed - lowest) :].sum()))
