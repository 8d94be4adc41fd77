"""A metric of a setting: its mean over seeds, with seeds and items resampled together.

`lib.analysis.estimates` says which interval a metric gets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.run import NOTHING, Run, bootstrapped
from lib.analysis.statistics import resample_counts
from lib.config.metrics import Metric

Runs = dict[str, dict[int, Run]]  # setting → seed → run


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


def of_setting(metric: Metric, runs: Mapping[int, Run], eval_config: Any) -> dict[str, Any]:
    """Columns of a setting in the estimates table. runs: seed → run."""
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
