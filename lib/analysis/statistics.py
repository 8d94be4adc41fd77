"""Intervals and paired tests: pure functions on numpy arrays.

One test set, one set of resamples: `resample_counts` draws it once, and every metric of every point
is evaluated on the same multiplicities, so a paired bootstrap costs nothing extra.

    counts = resample_counts(len(y), resamples=2000, seed=0)           # (R, n)
    percentile_interval(auc(y, score, counts))                         # Interval(low, high)
    paired_bootstrap_difference(lambda w: auc(y, a, w), lambda w: auc(y, b, w), counts)

What cannot be estimated is None, never 0. scipy is imported where it is called: `import
scipy.stats` takes longer than all intervals of a point.

Left out on purpose: p-values from bootstrap intervals, t-tests, anything that reads files.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

# A metric on resamples: None gives the value on the rows as they are (float or None), counts (R, n)
# give (R,) values with nan where the metric is undefined.
Statistic = Callable[[np.ndarray | None], "float | np.ndarray | None"]

FLAT = 1e-6  # width, relative to the ends, below which resamples are all alike but for rounding


class Interval(NamedTuple):
    """A two-sided confidence interval, in the units of the metric."""

    low: float
    high: float


class Difference(NamedTuple):
    """metric(a) − metric(b) with its interval; None where it cannot be estimated."""

    value: float | None
    low: float | None
    high: float | None


def wilson(successes: float, n: int, level: float = 0.95) -> Interval | None:
    """Score interval of a rate `successes / n`, in [0, 1]; None for n = 0. Ties may count ½.

    Rows must be independent: for clustered rows use `bootstrap` on clustered counts.
    Source: Wilson 1927; scipy `binomtest(...).proportion_ci(level, "wilson")`, no continuity
    correction. ValueError unless 0 ≤ successes ≤ n and 0 < level < 1.
    """
    _check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"successes: {successes} does not lie in 0..{n}")
    if n == 0:
        return None
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, shrink = successes / n, 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At rates 0 and 1 the bound is exact; rounding must not leave it at 1e-17.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high)


def resample_counts(
    n: int,
    resamples: int = 2000,
    seed: int | Sequence[int] = 0,
    clusters: Sequence | np.ndarray | None = None,
) -> np.ndarray:
    """(R, n) float32: how often each of `n` rows occurs in each bootstrap resample.

    Without `clusters`, each resample draws n rows with replacement. With `clusters` (n labels, ints
    or strings), it draws as many clusters as there are and takes all rows of each, so the total
    differs between resamples. The same arguments give the same counts (of one numpy version).

    Fewer than two rows (or clusters) cannot be resampled: the answer then has shape (0, n) and
    every interval made from it is None. Memory: 4·R·n bytes (16 MB for 2,000 × 2,024).
    Source: Efron & Tibshirani 1993, ch. 6; clusters: Field & Welsh 2007. float32, because metrics
    are matrix products with it; counts and their sums are exact up to 2²⁴.
    """
    if n < 0 or resamples < 0:
        raise ValueError(f"n, resamples: {n}, {resamples}; neither can be negative")
    units, member = n, None
    if clusters is not None:
        labels = np.asarray(clusters)
        if labels.shape != (n,):
            raise ValueError(f"clusters: shape {labels.shape}, expected ({n},)")
        distinct, member = np.unique(labels, return_inverse=True)
        units = len(distinct)
    if units < 2:
        return np.empty((0, n), dtype=np.float32)
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, units), dtype=np.float32)
    for row in counts:  # row by row: a block of R·n int64 draws would be 4 times the result
        row[:] = np.bincount(rng.integers(0, units, units), minlength=units)
    return counts if member is None else np.take(counts, member, axis=1)


def percentile_interval(
    values: np.ndarray, level: float = 0.95, flat: bool = False
) -> Interval | None:
    """Interval between the (1 ± level)/2 quantiles of `values` (R,), one value a resample.

    nan marks a resample in which the metric is undefined (precision with nothing accepted); such
    resamples are left out, and None comes back when they are more than half, or when R is 0. None
    also for an interval without width, unless `flat`: rows that are all alike tell nothing of how
    others vary. `lib.analysis.rates` says what rates and their differences get then.
    Source: percentile bootstrap, Efron & Tibshirani 1993, ch. 13. On few rows it is too narrow.
    """
    _check_level(level)
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"values: shape {values.shape}, expected one value a resample")
    defined = values[~np.isnan(values)]
    if len(defined) == 0 or 2 * len(defined) < len(values):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    if not flat and high - low <= FLAT * max(abs(low), abs(high)) + 1e-12:
        return None
    return Interval(float(low), float(high))


def reflected_interval(value: float, values: np.ndarray, level: float = 0.95) -> Interval | None:
    """Interval (2·value − high, 2·value − low) of the percentile interval (low, high) of `values`.

    For a metric that noise pushes one way, such as ECE: resamples add the bias once more, so the
    percentile interval is off by it twice; this one takes it off. None as in `percentile_interval`.
    Source: basic bootstrap, Davison & Hinkley 1997, sec. 5.2.1.
    """
    interval = percentile_interval(values, level)
    return interval and Interval(2 * value - interval.high, 2 * value - interval.low)


def paired_bootstrap_difference(
    statistic_a: Statistic, statistic_b: Statistic, counts: np.ndarray, level: float = 0.95
) -> Difference:
    """metric(a) − metric(b) of two points on one test set, with a percentile interval.

    Both are evaluated on the same resamples (R, n), so what the rows share cancels. A resample in
    which either is undefined is left out, as in `percentile_interval`. Where a point's (R,) values
    are at hand already, `percentile_interval(values_a - values_b)` is the same interval.
    Source: Efron & Tibshirani 1993, ch. 16; Berg-Kirkpatrick et al. 2012.
    """
    a, b = statistic_a(None), statistic_b(None)
    value = None if a is None or b is None else float(a - b)
    if value is None:
        return Difference(None, None, None)
    interval = percentile_interval(statistic_a(counts) - statistic_b(counts), level)
    return Difference(value, *(interval or (None, None)))


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Holm-adjusted p-values of one family of comparisons, same keys and order.

    The i-th smallest of m becomes max over j ≤ i of (m − j + 1)·p_j, at most 1. A comparison
    without a p-value (None) stays None and does not count towards m.
    Source: Holm 1979; statsmodels `multipletests(method="holm")`. ValueError outside [0, 1].
    """
    present = {name: p for name, p in p_values.items() if p is not None}
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    largest = 0.0
    for rank, name in enumerate(sorted(present, key=present.__getitem__)):
        if not 0 <= present[name] <= 1:  # nan fails this too
            raise ValueError(f"p_values: {name} has {present[name]}, not in [0, 1]")
        largest = max(largest, min(1.0, (len(present) - rank) * present[name]))
        adjusted[name] = largest
    return adjusted


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: {level} does not lie between 0 and 1")


SMALLEST = 1e-12  # smallest p-value above rounding: the transform's sums are good to some 1e-15


def sign_flip(
    differences: np.ndarray, unit: float, clusters: np.ndarray | None = None
) -> float | None:
    """Two-sided p-value that paired differences (n,) are as often against as in favour.

    Under the null, the sign of each row's difference is a coin, so their sum is one of 2ⁿ equally
    likely ones; the p-value is the share of sums at least as far from 0 as the observed one. It is
    exact for differences that are whole multiples of `unit`; others are rounded to it. One below
    SMALLEST is given as SMALLEST. With `clusters` (n labels), all rows of one label share a coin.
    For differences of −1, 0 and 1 this is McNemar's exact test. None without rows; 1 where no row
    differs.

    The sum's distribution comes from its characteristic function Π cos(aθ), a the sizes in units.
    Source: Fisher 1935, §21; Pagano & Tritchler 1983 (the transform). ValueError on nan, unit ≤ 0.
    """
    differences = np.asarray(differences, dtype=float)
    if differences.ndim != 1 or np.isnan(differences).any():
        raise ValueError(f"differences: expected (n,) without nan, shape {differences.shape}")
    if not unit > 0:
        raise ValueError(f"unit: {unit}, expected more than 0")
    if not len(differences):
        return None
    steps = np.rint(differences / unit)
    if clusters is not None:
        _, member = np.unique(np.asarray(clusters), return_inverse=True)
        steps = np.bincount(member, steps)
    sizes, times = np.unique(np.abs(steps[steps != 0]).astype(int), return_counts=True)
    if not len(sizes):
        return 1.0
    divisor = int(np.gcd.reduce(sizes))
    sizes, observed = sizes // divisor, abs(int(steps.sum())) // divisor
    total = int(sizes @ times)
    length = 1 << (2 * total + 1).bit_length()  # long enough for every sum from −total to total
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    transform = np.ones_like(angles)
    for size, count in zip(sizes, times, strict=True):
        transform *= np.cos(size * angles) ** count
    shares = np.fft.irfft(transform, length)[: total + 1]  # of sum 0, 1, …; negative ones mirror
    tail = 2 * shares[observed:].sum() - (shares[0] if observed == 0 else 0)
    return float(min(1.0, max(tail, SMALLEST)))
