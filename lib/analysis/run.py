"""One metric of one point on a test set: its value, its resamples, its interval.

`lib.analysis.estimates` says which interval a metric gets.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lib.analysis.items import TestSet
from lib.analysis.statistics import percentile_interval, wilson
from lib.config.metrics import Metric

NOTHING = (math.nan, math.nan, None)


class Run(NamedTuple):
    """One metric of one point, or of one seed of a setting."""

    value: float
    resampled: np.ndarray  # (R,), nan where undefined
    interval: tuple[float, float, str | None]  # low, high, method
    n: int
    units: int
    items: np.ndarray | None  # (n,) values of the items, nan where not counted; None: no mean
    clusters: np.ndarray  # (n,)
    place: int = -1  # of the point in the test set; −1 of a mean over sets


def measure(tests: TestSet, metric: Metric, level: float) -> dict[str, Run]:
    """Point → its run, of the points that have the metric."""
    if metric.fn is not None:
        return _statistics(tests, metric, level)
    values, known = item_values(tests, metric)
    resampled = resampled_means(tests, values, known)
    found = {}
    for place in np.flatnonzero(known.any(axis=1)):
        of_point = values[place][known[place]]
        units = tests.units(known[place])
        value = float(of_point.mean())
        run = Run(value, resampled[place], NOTHING, len(of_point), units,
                  None if metric.among else values[place], tests.clusters, int(place))  # fmt: skip
        found[tests.points[place]] = run._replace(interval=_of_mean(metric, run, level, of_point))
    return found


def item_values(tests: TestSet, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """(P, n) values whose mean is the metric, and which of them count."""
    values = tests.outcomes[metric.needs[0]]
    known = tests.answered & ~np.isnan(values)
    if metric.among:
        known = known & (tests.outcomes[metric.among] == 1)
    return values, known


def resampled_means(tests: TestSet, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(P, R) means of the known values (P, n) of all points on the resamples of the set."""
    found = np.full((len(values), tests.draw.resamples), np.nan)
    for group in tests.groups():
        counts = tests.counts(group[0])
        if len(counts):
            found[group] = means(counts, values[group], known[group])
    return found


def means(counts: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(P, R) means of the known values (P, n) on resamples (R, n), by matrix products."""
    top = counts @ np.where(known, values, 0).T.astype(counts.dtype)
    if (known == known[0]).all():  # one denominator for all
        bottom = (counts @ known[0].astype(counts.dtype))[:, None]
    else:
        bottom = counts @ known.T.astype(counts.dtype)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (top.astype(float) / bottom).T


def _statistics(tests: TestSet, metric: Metric, level: float) -> dict[str, Run]:
    found = {}
    needed = np.stack([tests.outcomes[name] for name in metric.needs])  # (outcomes, P, n)
    known = tests.answered & ~np.isnan(needed).any(axis=0)
    for place in np.flatnonzero(known.any(axis=1)):
        some = known[place]
        counts = tests.counts(place)
        own = {name: tests.outcomes[name][place][some] for name in metric.needs}
        value = metric.fn(own, None)
        if value is None:
            continue
        resampled = np.full(tests.draw.resamples, np.nan)
        if len(counts):
            resampled = metric.fn(own, counts if some.all() else counts[:, some])
        if metric.interval:
            interval = metric.interval(value, resampled, own, level)
        else:
            interval = percentile_interval(resampled, level)
        units = tests.units(some)
        found[tests.points[place]] = Run(
            value, resampled, (*interval, "bootstrap") if interval else NOTHING, int(some.sum()),
            units, None, tests.clusters, int(place),
        )  # fmt: skip
    return found


def _of_mean(
    metric: Metric, run: Run, level: float, values: np.ndarray
) -> tuple[float, float, str | None]:
    if metric.kind == "exact":
        return NOTHING
    if metric.kind == "rate":
        independent = run.units == len(values) and np.isin(values, (0, 1)).all()
        if independent and not metric.among:
            return (*wilson(int(values.sum()), len(values), level), "wilson")
    return bootstrapped(metric, run.value, run.resampled, run.units, level)


def bootstrapped(
    metric: Metric, value: float, resampled: np.ndarray, units: int, level: float,
    method: str = "bootstrap",
) -> tuple[float, float, str | None]:  # fmt: skip
    """Percentile interval (low, high, method); of a rate that no resample changes Wilson's."""
    interval = percentile_interval(resampled, level)
    if interval is not None:
        return (*interval, method)
    if metric.kind == "rate" and not metric.fn:
        return (*wilson(min(max(value, 0.0), 1.0) * units, units, level), "wilson")
    return NOTHING
