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
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.analysis.items import TestSet
from lib.analysis.run import Run, measure
from lib.analysis.seeds import Runs, by_setting, mean_of_sets, of_setting, student
from lib.analysis.tables import columns
from lib.config.metrics import TRAINING, Analysis, Metric

MEAN = "mean"  # name of the set that averages others


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
            rows.append({"of": "setting", "name": name, **key,
                         **of_setting(one.metric, runs, eval_config)})  # fmt: skip
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
