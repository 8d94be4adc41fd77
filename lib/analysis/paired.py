"""Settings against each other on the same test items, each the mean of its seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lib.analysis.rates import difference_interval
from lib.analysis.statistics import percentile_interval, sign_flip, wilson


class Measure(NamedTuple):
    """One number an item of each point: right or wrong, a win of a pair, a rating of a judge."""

    values: dict[str, np.ndarray]  # point → (n,), nan where unknown
    counts: np.ndarray  # (R, n) multiplicities, drawn by cluster
    clusters: tuple[str, ...]  # (n,) what items share that are not independent
    unit: float  # values are whole multiples of it
    # The most by which two values of an item differ: 1 of shares, 9 of ratings; None: no bound.
    span: float | None = None


def averages(measure: Measure, names: Sequence[str]) -> tuple[float, np.ndarray] | None:
    """Mean over the points' means, and the same of every resample (R,); None without a point."""
    known = [measure.values[name] for name in names if name in measure.values]
    if not known:
        return None
    means = [_mean(values, measure.counts) for values in known]
    return float(np.mean([m for m, _ in means])), np.mean([r for _, r in means], axis=0)


def spread(
    found: tuple[float, np.ndarray] | None, level: float, flat: bool = False
) -> dict[str, float | None]:
    """{"value", "low", "high"} of a value and its resamples (R,); see `percentile_interval`."""
    if found is None or math.isnan(found[0]):
        return {"value": None, "low": None, "high": None}
    low, high = percentile_interval(found[1], level, flat) or (None, None)
    return {"value": float(found[0]), "low": low, "high": high}


def average(measure: Measure | None, names: Sequence[str], level: float) -> dict[str, float | None]:
    """{"value", "low", "high"} of the mean of the points' means, of shares as `rates.rate`."""
    found = spread(averages(measure, names) if measure else None, level)
    if found["value"] is not None and found["low"] is None and measure.span == 1:
        units = len(set(measure.clusters))
        found["low"], found["high"] = wilson(min(found["value"], 1.0) * units, units, level)
    return found


def paired(
    measure: Measure, a: Sequence[str], b: Sequence[str], level: float
) -> dict[str, Any] | None:
    """Points `a` against points `b` (each one setting, its seeds), on the items that both know.

    {"difference": a − b, "rate": (a − b)/b, each {"value", "low", "high"}, "standard_error",
     "items": n, "independent": clusters in them, "p_value"}; None where either has no values.

    Each item is averaged over the seeds first, and the test flips signs of whole clusters: the
    item, not the item-and-seed, is what another test set would draw anew. McNemar's test on
    items × seeds would count every pair three times and call chance significant. With one seed and
    no ties the two are the same test. Intervals and p-values speak of other test items, not of
    other training runs.
    """
    a, b = ([n for n in names if n in measure.values] for names in (a, b))
    if not a or not b:
        return None
    (ours, parts), (theirs, more_parts) = (_over_seeds(measure, names) for names in (a, b))
    at = ~np.isnan(ours) & ~np.isnan(theirs)
    if not at.any():
        return None
    ours, theirs = ours[at], theirs[at]
    counts = measure.counts if at.all() else measure.counts[:, at]
    clusters = [c for c, both in zip(measure.clusters, at, strict=True) if both]
    independent = len(set(clusters))
    difference = _mean(ours - theirs, counts)
    base = _mean(theirs, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = np.where(base[1] > 0, difference[1] / base[1], math.nan)
    rate = (difference[0] / base[0], resampled) if base[0] > 0 else None
    flipped = clusters if independent < len(clusters) else None
    unit = measure.unit / math.lcm(parts, more_parts)
    bounds = spread(difference, level)
    varied = bounds["low"] is not None
    if not varied and measure.span is not None:
        value, resampled = difference
        interval = difference_interval(value, resampled, independent, level, measure.span)
        bounds |= interval._asdict()
    return {
        "difference": bounds,
        "rate": spread(rate, level),
        "standard_error": float(np.nanstd(difference[1], ddof=1)) if varied else None,
        "items": int(at.sum()),
        "independent": independent,
        "p_value": sign_flip(ours - theirs, unit, flipped),
    }


def _over_seeds(measure: Measure, names: Sequence[str]) -> tuple[np.ndarray, int]:
    """(n,) mean over the seeds that know an item, nan where none does; in how many parts of the
    measure's unit these means come.
    """
    stack = np.array([measure.values[name] for name in names])
    known = ~np.isnan(stack)
    total, seeds = np.where(known, stack, 0).sum(axis=0), known.sum(axis=0)
    parts = math.lcm(*(count for count in set(seeds.tolist()) if count))
    return np.where(seeds > 0, total / np.maximum(seeds, 1), math.nan), parts


def _mean(values: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of the known values (n,), and of each resample (R,); nan where none is known."""
    known = ~np.isnan(values)
    if not known.any():
        return math.nan, np.full(len(counts), math.nan)
    weights = counts if known.all() else counts[:, known]
    sums = (weights @ values[known].astype(weights.dtype)).astype(float)
    with np.errstate(invalid="ignore"):
        return float(values[known].mean()), sums / weights.sum(axis=1)
