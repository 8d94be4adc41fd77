"""Metrics of decisions, scores and probabilities: pure functions on numpy arrays of one test set.

Every metric takes `weights`. None: the rows as they are, and the answer is a float, or None where
the metric is undefined (never 0 in its place). A matrix (R, n) of row multiplicities, as
`statistics.resample_counts` draws it: the answer has shape (R,), nan where undefined, and a row of
weights [2, 0, 1] means exactly the rows [0, 0, 2]. All sums over resamples are matrix products.

Arguments, n rows each:
    y      labels, 1 = positive (accept), 0 = negative
    pred   decisions 1, 0, or −1 = unknown (no parsable answer)
    score  anything that ranks rows, higher = more positive
    p      probability of the positive class, in [0, 1]

ValueError names the argument whose shape or values are wrong; nan is wrong everywhere. No rows and
one class are legitimate outcomes. float32 weights are summed in float32, others in float64.
"""

from typing import NamedTuple

import numpy as np

from lib.analysis import columns
from lib.analysis.columns import Metric
from lib.analysis.statistics import wilson


class MovedThreshold(NamedTuple):
    """Rows with score > threshold are accepted: a share `achieved` of those it was set on."""

    threshold: float
    achieved: float


def decision_rates(
    y: np.ndarray, pred: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, Metric]:
    """Rates of binary decisions, each in [0, 1].

    accuracy                pred = y; an unknown is wrong
    precision               share of positives among accepted rows; undefined when none is accepted
    recall                  share of accepted rows among positives, an unknown is missed;
                            undefined without positives
    f1                      2·tp / (accepted + positives); undefined when both are 0. It is 0, not
                            undefined, when there are positives and none is accepted
    acceptance_rate         accepted / all rows; an unknown is not accepted
    actual_acceptance_rate  positives / all rows

    Source: sklearn.metrics, labels {0, 1}, `zero_division=nan`.
    """
    y, pred = columns.labels(y), columns.predictions(pred, len(y))
    right, accepted, positive = pred == y, pred == 1, y == 1
    counted = [np.ones(len(y)), right, accepted, positive, accepted & positive]
    rows, right, accepted, positive, hits = columns.sums(counted, len(y), weights).T
    rates = {
        "accuracy": columns.ratio(right, rows),
        "precision": columns.ratio(hits, accepted),
        "recall": columns.ratio(hits, positive),
        "f1": columns.ratio(2 * hits, accepted + positive),
        "acceptance_rate": columns.ratio(accepted, rows),
        "actual_acceptance_rate": columns.ratio(positive, rows),
    }
    return {name: columns.answer(value, weights) for name, value in rates.items()}


def weighted_mean(values: np.ndarray, weights: np.ndarray | None = None) -> Metric:
    """Mean of per-row values (n,): any rate or score that is an average over rows."""
    values = columns.column("values", values)
    total, rows = columns.sums([values, np.ones(len(values))], len(values), weights).T
    return columns.answer(columns.ratio(total, rows), weights)


def auc(y: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None) -> Metric:
    """Area under the ROC curve: P(score of a positive > of a negative) + ½ P(equal), exactly.

    Undefined unless both classes have weight.
    Source: Mann–Whitney form, Hanley & McNeil 1982; sklearn roc_auc_score(sample_weight=…).
    """
    y = columns.labels(y)
    score = columns.column("score", score, len(y))
    matrix = columns.matrix(weights, len(y))
    wins, pairs = np.empty(len(matrix)), np.empty(len(matrix))
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    negative = negative[np.argsort(score[negative], kind="stable")]
    # Negatives strictly below and not above each positive: two places in one cumulative sum.
    below = np.searchsorted(score[negative], score[positive], side="left")
    up_to = np.searchsorted(score[negative], score[positive], side="right")
    for start in range(0, len(matrix), 64):  # blocks that stay in the cache
        block = matrix[start : start + 64]
        of_positive, of_negative = block[:, positive], block[:, negative]
        running = np.zeros((len(block), len(negative) + 1), dtype=block.dtype)
        np.cumsum(of_negative, axis=1, out=running[:, 1:])
        half = 0.5 * (running[:, below] + running[:, up_to])
        wins[start : start + 64] = (of_positive * half).sum(axis=1)
        pairs[start : start + 64] = of_positive.sum(axis=1) * running[:, -1]
    return columns.answer(columns.ratio(wins, pairs), weights)


def ece(
    y: np.ndarray, p: np.ndarray, weights: np.ndarray | None = None, *, bins: int = 15
) -> Metric:
    """Expected calibration error of p as the probability of the positive class, in [0, 1].

    Σ_b n_b/n · |observed rate_b − mean p_b| over `bins` bins of equal width, (low, high], the first
    one closed. This is binary reliability (do 30 % of rows with p = 0.3 turn out positive?), not
    confidence max(p, 1 − p) against accuracy.

    The absolute value biases it upwards: read it beside `ece_by_chance`.
    Source: Naeini et al. 2015; bins as in Guo et al. 2017 and sklearn calibration_curve.
    """
    y, p = columns.labels(y), columns.probabilities(p, len(y))
    which = _bin_of(p, bins)
    gaps = np.where(which[:, None] == np.arange(bins), (p - y)[:, None], 0.0)  # (n, bins)
    sums = columns.sums([*gaps.T, np.ones(len(y))], len(y), weights)
    return columns.answer(columns.ratio(np.abs(sums[:, :-1]).sum(axis=1), sums[:, -1]), weights)


def ece_by_chance(p: np.ndarray, bins: int = 15) -> tuple[float, float] | None:
    """Mean and standard deviation of the ECE that p shows on these rows if it is exactly right.

    Labels drawn from p leave each bin a gap that is about half-normal with σ² = Σ p(1 − p), derived
    here. On 2,024 rows the mean is near 0.03, on 100 rows near 0.12. None for no rows.
    """
    p = columns.probabilities(p)
    if len(p) == 0:
        return None
    variance = np.bincount(_bin_of(p, bins), weights=p * (1 - p), minlength=bins)
    mean = np.sqrt(2 / np.pi * variance).sum() / len(p)
    return float(mean), float(np.sqrt((1 - 2 / np.pi) * variance.sum()) / len(p))


def reliability_table(
    y: np.ndarray, p: np.ndarray, bins: int = 15, level: float = 0.95
) -> list[dict[str, float | int | None]]:
    """One row for each of the bins of `ece`, low to high, empty ones included.

    low, high: edges; n: rows; mean_p: mean probability; observed: share of positives; observed_low,
    observed_high: its Wilson interval. The last four are None in an empty bin.
    """
    y, p = columns.labels(y), columns.probabilities(p, len(y))
    which = _bin_of(p, bins)
    table = []
    for b in range(bins):
        inside = which == b
        n = int(inside.sum())
        row = {"low": b / bins, "high": (b + 1) / bins, "n": n}
        row |= dict.fromkeys(("mean_p", "observed", "observed_low", "observed_high"))
        if n:
            low, high = wilson(int(y[inside].sum()), n, level)
            row["mean_p"], row["observed"] = float(p[inside].mean()), float(y[inside].mean())
            row["observed_low"], row["observed_high"] = low, high
        table.append(row)
    return table


def threshold_at_rate(score: np.ndarray, rate: float) -> MovedThreshold | None:
    """The threshold at which a share `rate` of rows (n,) has score > threshold; None for no rows.

    Equal scores are accepted or rejected together, so the achieved rate is the nearest one that
    ties allow, the lower of two equally near. The threshold is the highest rejected score (just
    below the lowest score when all are accepted), so no rounding moves a row across it.
    """
    score = columns.column("score", score)
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: {rate} does not lie in 0..1")
    if len(score) == 0:
        return None
    values, times = np.unique(score, return_counts=True)
    # Candidates, fewest accepted first: reject up to the highest value, …, the lowest, none.
    thresholds = np.append(values[::-1], np.nextafter(values[0], -np.inf))
    accepted = np.concatenate([[0], np.cumsum(times[::-1])])
    best = int(np.argmin(np.abs(accepted - rate * len(score))))
    return MovedThreshold(float(thresholds[best]), float(accepted[best] / len(score)))


def expected_acceptance(z: np.ndarray, offset: float | np.ndarray) -> Metric:
    """mean(1[z + offset > 0]): the acceptance rate that one baseline's scores predict.

    z: (n,) log-odds of accept under the baseline. offset: a number, or an array, whose shape the
    answer has. None for no rows. Accept weight γ at ratio 1:k shifts z by log(γ/k) from balanced
    training, reject weight γ by −log(γ·k).
    Source: Elkan 2001; Menon et al., arXiv 2007.07314.
    """
    z, offset = np.sort(columns.column("z", z)), np.asarray(offset, dtype=float)
    if np.isnan(offset).any():
        raise ValueError("offset: holds nan")
    if len(z) == 0:
        return None
    rate = (len(z) - np.searchsorted(z, -offset, side="right")) / len(z)
    return float(rate) if offset.ndim == 0 else rate


def _bin_of(p: np.ndarray, bins: int) -> np.ndarray:
    """(n,) bin of each probability, bins (low, high] of equal width, 0 in the first."""
    if bins < 1:
        raise ValueError(f"bins: {bins}, expected at least 1")
    return np.searchsorted(np.arange(1, bins) / bins, p, side="left")
