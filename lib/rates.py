"""Rates and means of one point on one test set, each with its interval, as in metrics.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from lib.metrics import weighted_mean
from lib.statistics import percentile_interval, wilson


def rate(values: np.ndarray, counts: np.ndarray, prompts: int, level: float) -> dict[str, Any]:
    """{"value", "low", "high", "method"} of the mean of wins (n,) on so many distinct prompts.

    wins: 1 or 0, a tie ½; prompts: clusters of rows that are not independent of each other.

    Wilson's interval where every row has a prompt of its own and no tie makes the wins other than 0
    and 1; else the bootstrap with `counts` (R, n), which must be drawn by prompt. Where all prompts
    win alike every resample does too, so Wilson's interval stands in, as of one row a prompt: wins
    in {0, ½, 1} vary at most as much as 0 and 1 of the same mean, so it is not too narrow for ties.
    """
    if not len(values):
        return unknown()
    value = float(values.mean())
    ties = bool((values == 0.5).any())
    interval, method = None, "bootstrap"
    if ties or prompts < len(values):
        interval = percentile_interval(weighted_mean(values, counts), level)
    if interval is None or interval.low == interval.high:
        won = float(values.sum()) * prompts / len(values)
        interval, method = wilson(won, prompts, level), "wilson"
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
