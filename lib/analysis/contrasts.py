"""Contrasts: one setting against another, matched by seed and by item.

One policy for every task:

    which            every setting against the baseline's, what the task pairs up, and what claims
                     compare; Holm's adjustment within a family, task and metric, over all its sets
    seeds            same seed with same seed, of those that both have. Where they have none in
                     common: the means over the seeds of each side, `seeds` is 0
    items            those that both have and know; a setting's partial and diverged points are out
    difference       mean over seeds of the mean over items; low, high: seeds and items resampled;
                     low_items, high_items: items alone; low_seeds, high_seeds: Student's over seeds
    p                two-sided sign-flip test of the items (clusters), each averaged over seeds
                     first: another test set would draw items anew, not items and seeds. Exact where
                     outcomes come in steps, else normal. No p of what is no mean of items
    no resample      Tango's score interval where the span of a difference is known (±z²/(n + z²)
    differs          where both sides agree on n units); else none

Sources: Fisher 1935 §21; Tango 1998 eq. 9; Holm 1979; Miller, arXiv 2411.00640.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.estimates import Measured
from lib.analysis.evidence import FAMILY
from lib.analysis.rates import difference_interval
from lib.analysis.run import Run, means
from lib.analysis.seeds import student, two_way
from lib.analysis.statistics import Interval, holm, percentile_interval, sign_flip
from lib.analysis.tables import columns
from lib.config.metrics import Metric, Pair

POWER = 0.8  # at which an effect counts as detectable


def contrasts(every: Iterable[Measured], pairs: Sequence[Pair], eval_config: Any) -> pd.DataFrame:
    """The contrasts table: each pair on every set and metric that both sides have."""
    rows = []
    for one in every:
        if one.slice or one.metric.kind == "exact":
            continue
        for pair in dict.fromkeys(pairs):
            if one.metric.secondary and pair.family != FAMILY:
                continue
            a, b = (one.settings.get(label) for label in pair[1:])
            if a and b:
                key = {"family": pair.family, "task": one.task, "set": one.set,
                       "metric": one.metric.name, "a": pair.a, "b": pair.b}  # fmt: skip
                rows.append(key | contrast(one, a, b, eval_config))
    table = pd.DataFrame(rows, columns=columns("contrasts"))
    table["p_holm"] = math.nan
    for _, family in table.groupby(["family", "task", "metric"], sort=False):
        known = family["p"].dropna()
        table.loc[known.index, "p_holm"] = pd.Series(holm(known.to_dict()))
    return table


def baseline_pairs(points: pd.DataFrame) -> list[Pair]:
    """Every setting against the baseline's."""
    labels = list(dict.fromkeys(points["setting"]))
    baseline = points.loc[points["baseline"] == "yes", "setting"]
    if baseline.empty:
        return []
    return [Pair("baseline", label, baseline.iloc[0]) for label in labels
            if label != baseline.iloc[0]]  # fmt: skip


def contrast(
    one: Measured, a: dict[int, Run], b: dict[int, Run], eval_config: Any
) -> dict[str, Any]:
    """The numbers of one row of the table."""
    metric, level = one.metric, eval_config.level
    shared = [seed for seed in a if seed in b]
    if shared:
        matched = [difference(one, a[seed], b[seed]) for seed in shared]
        values, resampled, items = (list(column) for column in zip(*matched, strict=True))
        both = two_way(np.stack(resampled), eval_config.seed)
    else:
        sides = [_over_seeds(one, list(side.values())) for side in (a, b)]
        values = [sides[0].value - sides[1].value]
        value, of_items, of_item = difference(one, *sides)
        values, resampled, items = [value], [of_items], [of_item]
        both = (
            of_items
            + _apart(list(a.values()), eval_config.seed, 1)
            - _apart(list(b.values()), eval_config.seed, 2)
        )
    value, alone = float(np.mean(values)), np.mean(resampled, axis=0)
    clusters, units, n = next(iter(a.values())).clusters, next(iter(a.values())).units, 0
    p = None
    if items[0] is not None:
        of_seeds = np.stack(items)
        times = (~np.isnan(of_seeds)).sum(axis=0)  # seeds that know an item
        known = times > 0
        of_items = np.nansum(of_seeds, axis=0) / np.maximum(times, 1)
        n, units = int(known.sum()), len(np.unique(clusters[known]))
        parts = math.lcm(*set(times[known].tolist())) if shared else math.lcm(len(a), len(b))
        p = sign_flips(of_items[known], metric, parts, clusters[known], one.set == "mean")
    else:
        n = min(run.n for run in (*a.values(), *b.values()))
    return {
        "difference": value,
        **_bounds("", both, metric, value, units, level),
        **_bounds("_items", alone, metric, value, units, level),
        **dict(zip(("low_seeds", "high_seeds"), student(values, level) or (math.nan, math.nan),
                   strict=True)),
        "p": math.nan if p is None else p,
        "n": n,
        "units": units,
        "seeds": len(shared),
        "mde": detectable(both, level),
    }  # fmt: skip


def difference(one: Measured, a: Run, b: Run) -> tuple[float, np.ndarray, np.ndarray | None]:
    """a − b: its value, the same of every resample (R,), and of every item (n,), nan where unknown.

    Items that one side alone knows are left out of both.
    """
    if a.items is None or b.items is None:
        return a.value - b.value, a.resampled - b.resampled, None
    apart = a.items - b.items
    known = ~np.isnan(apart)
    if one.tests is None or (known.sum() == a.n == b.n):
        return a.value - b.value, a.resampled - b.resampled, apart
    if not known.any():
        return math.nan, np.full_like(a.resampled, math.nan), apart
    counts = one.tests.counts(a.place)
    resampled = np.full_like(a.resampled, math.nan)
    if len(counts):
        resampled = means(counts, apart[None], known[None])[0]
    return float(apart[known].mean()), resampled, apart


def _over_seeds(one: Measured, runs: Sequence[Run]) -> Run:
    """The mean of all seeds of one side, as if it were one run."""
    first = runs[0]
    items = None
    if first.items is not None:
        items = np.mean([run.items for run in runs], axis=0)
    return first._replace(
        value=float(np.mean([run.value for run in runs])),
        resampled=np.mean([run.resampled for run in runs], axis=0),
        items=items,
    )


def _apart(runs: Sequence[Run], seed: int, side: int) -> np.ndarray | float:
    """(R,) what resampling the seeds of one side adds to its mean; sides are drawn apart."""
    if len(runs) == 1:
        return 0.0
    stack = np.stack([run.resampled for run in runs])
    return two_way(stack, seed + 1000003 * side) - stack.mean(axis=0)


def _bounds(
    which: str, resampled: np.ndarray, metric: Metric, value: float, units: int, level: float
) -> dict[str, float]:
    interval = percentile_interval(resampled, level)
    if interval is None and metric.span is not None and metric.kind in ("rate", "mean"):
        interval = difference_interval(value, resampled, units, level, metric.span)
    low, high = interval or Interval(math.nan, math.nan)
    return {f"low{which}": low, f"high{which}": high}


def sign_flips(
    apart: np.ndarray, metric: Metric, parts: int, clusters: np.ndarray, weighted: bool
) -> float | None:
    """p-value of differences of items (n,), each the mean of `parts` seeds; see above."""
    if metric.step is not None and not weighted:
        alone = len(np.unique(clusters)) == len(clusters)
        return sign_flip(apart, metric.step / parts, None if alone else clusters)
    sums = np.bincount(clusters, apart)
    deviation = math.sqrt(float((sums**2).sum()))
    if not len(apart):
        return None
    return math.erfc(abs(float(sums.sum())) / deviation / math.sqrt(2)) if deviation else 1.0


def detectable(resampled: np.ndarray, level: float) -> float:
    """Effect that a test at this level finds with probability POWER, the variance as it is here.

    nan where nothing varies, which says nothing of other items or seeds.
    """
    known = resampled[~np.isnan(resampled)]
    if len(known) < 2 or np.ptp(known) == 0:
        return math.nan
    normal = NormalDist()
    return (normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(POWER)) * float(known.std(ddof=1))
