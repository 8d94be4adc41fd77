"""Means over test items with their intervals, where items come in clusters and may hold shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from lib.metrics import weighted_mean
from lib.statistics import percentile_interval, wilson


def rate(values: np.ndarray, counts: np.ndarray, units: int, level: float) -> dict[str, Any]:
    """{"value", "low", "high", "method"} of the mean of outcomes (n,) in [0, 1], of `units` units.

    units: how many things were drawn independently: the items, or the clusters that they come in.
    Wilson's interval where every item is a unit and all outcomes are 0 or 1; else the bootstrap
    with `counts` (R, n), which must be drawn by unit. Where that gives no width, since all units
    are alike, Wilson's interval stands in, as of one item a unit: outcomes between 0 and 1 vary at
    most as much as those of the same mean that are 0 and 1, so it is not too narrow for them.
    """
    if not len(values):
        return unknown()
    value = float(values.mean())
    interval, method = None, "bootstrap"
    if units < len(values) or not np.isin(values, (0, 1)).all():
        interval = percentile_interval(weighted_mean(values, counts), level)
    if interval is None or interval.low == interval.high:
        won = min(value, 1.0) * units
        interval, method = wilson(won, units, level), "wilson"
    return {"value": value, **interval._asdict(), "method": method}


def mean(values: np.ndarray, counts: np.ndarray, level: float) -> dict[str, Any]:
    """{"value", "low", "high", "method"} of a mean (n,), by the bootstrap with `counts` (R, n)."""
    if not len(values):
        return unknown()
    interval = percentile_interval(weighted_mean(values, counts), level)
    if interval is None:
        return unknown() | {"value": float(values.mean())}
    return {"value": float(values.mean()), **interval._asdict(), "method": "bootstrap"}


def unknown() -> dict[str, Any]:
    """A number that cannot be had."""
    return dict.fromkeys(("value", "low", "high", "method"))
