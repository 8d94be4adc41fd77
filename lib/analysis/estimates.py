"""Items → estimates: each metric of each point on each set and slice, and of settings over seeds.

One policy a question, for every task:

    rate of a point       Wilson's interval where every item is a unit of its own and its outcome 0
                          or 1; else, and where the denominator varies too (`among`), a bootstrap
                          by cluster. Where no resample differs: Wilson's, of as many units
    mean of a point       bootstrap by cluster; none where no resample differs, since nothing says
                          what other items would be
    statistic (AUC, F1)   bootstrap by cluster of the whole; a metric may bring an interval of its
                          own, as ECE does, whose resamples are biased
    exact                 no interval: other items would not change it
    a setting             the mean over its seeds, each the value of one point; sd over seeds.
                          Interval: `two-way`, seeds resampled together with items; of one seed
                          that of its point, which says nothing of other seeds
    partial point         in points.csv and with estimates of its own, on the items that it has; in
                          no setting and no contrast
    diverged, missing     in points.csv alone. A setting with some seeds missing is the mean of
                          those it has, and `seeds` says of how many
    what training used    Student's interval over seeds: there are no items

Sources: Wilson 1927; Efron & Tibshirani 1993, ch. 13; Field & Welsh 2007 (clusters); Owen 2007, The
pigeonhole bootstrap (two ways: conservative for what varies with seed and item together).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.analysis.items import TestSet
from lib.analysis.statistics import percentile_interval, resample_counts, wilson
from lib.analysis.tables import columns
from lib.config.metrics import TRAINING, Analysis, Metric

MEAN = "mean"  # name of the set that averages others
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


Runs = dict[str, dict[int, Run]]  # setting → seed → run


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


# -- over seeds ------------------------------------------------------------------------------------


def by_setting(runs: Mapping[str, Run], points: pd.DataFrame) -> Runs:
    """Setting → seed → run, of the points that are done. points: the points table."""
    found: Runs = {}
    done = points[points["status"] == "done"]
    for name, setting, seed in zip(done["point"], done["setting"], done["seed"], strict=True):
        if name in runs:
            found.setdefault(setting, {})[int(seed)] = runs[name]
    return found


def mean_of_sets(parts: Sequence[Runs]) -> Runs:
    """The mean over test sets, each weighing one, of settings and seeds that have all of them."""
    found: Runs = {}
    for setting, seeds in parts[0].items() if parts else ():
        for seed in seeds:
            every = [part.get(setting, {}).get(seed) for part in parts]
            if None not in every:
                found.setdefault(setting, {})[seed] = _mean_run(every)
    return found


def _mean_run(runs: Sequence[Run]) -> Run:
    total = sum(run.n for run in runs)
    items, clusters = None, np.empty(0, dtype=int)
    if all(run.items is not None for run in runs):
        items = np.concatenate([run.items * (total / (len(runs) * run.n)) for run in runs])
        own = [run.clusters for run in runs]  # numbers of one set mean nothing in another
        shifts = np.cumsum([0, *(int(c.max(initial=-1)) + 1 for c in own[:-1])])
        clusters = np.concatenate([c + shift for c, shift in zip(own, shifts, strict=True)])
    return Run(
        float(np.mean([run.value for run in runs])), np.mean([run.resampled for run in runs], 0),
        NOTHING, total, sum(run.units for run in runs), items, clusters,
    )  # fmt: skip


@lru_cache(maxsize=32)
def seed_draws(seeds: int, resamples: int, seed: int) -> np.ndarray:
    """(R, S) how often each of S seeds occurs in each resample, the same for all of one number."""
    return resample_counts(seeds, resamples, [seed, seeds]) / seeds


def two_way(resampled: np.ndarray, seed: int) -> np.ndarray:
    """(R,) means over S seeds of (S, R) values on resamples of the items, seeds resampled too.

    S seeds drawn from S vary less than new ones, by the factor (S − 1)/S of the variance: it is
    taken off. A resample of which one seed is undefined is undefined.
    """
    count, resamples = resampled.shape
    if count == 1:
        return resampled[0]
    mean = resampled.mean(axis=0)
    apart = (resampled - mean).T * seed_draws(count, resamples, seed)
    return mean + math.sqrt(count / (count - 1)) * apart.sum(axis=1)


def student(values: Sequence[float], level: float) -> tuple[float, float] | None:
    """Student's interval of a mean over seeds; None for fewer than two, or where all are equal."""
    if len(values) < 2 or np.ptp(values) == 0:
        return None
    from scipy.stats import t

    deviation = float(np.std(values, ddof=1))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _of_setting(metric: Metric, runs: Mapping[int, Run], eval_config: Any) -> dict[str, Any]:
    of_seeds = list(runs.values())
    values = np.array([run.value for run in of_seeds])
    value, units = float(values.mean()), of_seeds[0].units
    interval = of_seeds[0].interval
    if len(of_seeds) > 1 or interval is NOTHING:
        resampled = two_way(np.stack([run.resampled for run in of_seeds]), eval_config.seed)
        method = "two-way" if len(of_seeds) > 1 else "bootstrap"
        interval = NOTHING
        if metric.kind != "exact":
            interval = bootstrapped(metric, value, resampled, units, eval_config.level, method)
        if metric.interval and interval is not NOTHING:  # as of a point: resamples are biased
            low, high, _ = interval
            interval = max(0.0, 2 * value - high), 2 * value - low, method
        elif metric.kind == "rate" and interval[2]:  # seeds drawn apart may leave the range
            interval = max(0.0, interval[0]), min(1.0, interval[1]), interval[2]
    return {
        "value": value,
        **dict(zip(("low", "high", "method"), interval, strict=True)),
        "n": of_seeds[0].n,
        "units": units,
        "seeds": len(of_seeds),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
    }


# -- the table -------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """One metric on one set or slice: of points, and of settings."""

    task: str
    set: str
    slice: str
    metric: Metric
    runs: dict[str, Run]  # of points
    settings: Runs
    tests: TestSet | None  # None: of the set `mean`


def measured(
    tests: Iterable[TestSet], analysis: Analysis, points: pd.DataFrame, eval_config: Any
) -> list[Measured]:
    """Every metric of one task on each of its test sets, their slices, and the set `mean`."""
    found: list[Measured] = []
    metrics = analysis.metrics(eval_config)
    for one in tests:
        parts = {"": one} | {
            f"{column}={value}": one.subset(of_item == value, one.name)
            for column, of_item in one.slices.items()
            for value in sorted({v for v in of_item if v is not None})
        }
        for label, part in parts.items():
            for metric in metrics:
                if label and metric.secondary:
                    continue
                runs = measure(part, metric, eval_config.level)
                settings = by_setting(runs, points)
                found.append(Measured(one.task, one.name, label, metric, runs, settings, part))
    for metric in metrics if analysis.mean_of else ():
        parts = [m.settings for m in found
                 if m.metric is metric and not m.slice and m.set in analysis.mean_of]  # fmt: skip
        one = Measured(found[0].task, MEAN, "", metric, {}, mean_of_sets(parts), None)
        found.append(one)
    return found


def estimates(every: Iterable[Measured], points: pd.DataFrame, eval_config: Any) -> pd.DataFrame:
    """The estimates table."""
    rows = []
    for one in every:
        key = {"task": one.task, "set": one.set, "slice": one.slice, "metric": one.metric.name}
        for name, run in one.runs.items():
            low, high, method = run.interval
            rows.append({"of": "point", "name": name, **key, "value": run.value, "low": low,
                         "high": high, "method": method, "n": run.n, "units": run.units,
                         "seeds": 1, "sd": math.nan})  # fmt: skip
        for name, runs in one.settings.items():
            of_setting = _of_setting(one.metric, runs, eval_config)
            rows.append({"of": "setting", "name": name, **key, **of_setting})
    return pd.DataFrame(
        rows + _of_training(points, eval_config.level), columns=columns("estimates")
    )


def _of_training(points: pd.DataFrame, level: float) -> list[dict[str, Any]]:
    """Estimates of what training used or reached: columns of the points table."""
    rows = []
    for metric in TRAINING:
        known = points[points[metric.name].notna()]
        key = {"task": "training", "set": "", "slice": "", "metric": metric.name}
        for name, value in zip(known["point"], known[metric.name], strict=True):
            rows.append({"of": "point", "name": name, **key, "value": float(value), "seeds": 1})
        if metric.name not in ("trained", "complete"):  # which tell just who is not done
            known = known[known["status"] == "done"]
        for name, values in known.groupby("setting", sort=False)[metric.name]:
            of_seeds = values.astype(float).tolist()
            low, high = student(of_seeds, level) or (math.nan, math.nan)
            rows.append({"of": "setting", "name": name, **key, "value": float(np.mean(of_seeds)),
                         "low": low, "high": high, "method": None if math.isnan(low) else "student",
                         "seeds": len(of_seeds),
                         "sd": float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else math.nan,
                         })  # fmt: skip
    return rows
