"""Intervals of a mean difference and of a mean of test items, for what tasks compute themselves.

Resamples draw units: the items, or the clusters that they come in. Where all units are alike they
have no width, as if 4 items that agree were certain. Then

    difference    of two rates gets Tango's score interval: 0 ± z²/(n + z²) where both sides agree
                  on n units, from (n − z²)/(n + z²) to 1 where one side alone is right on all
    mean          gets none: low and high are null, since nothing bounds what other items would be

`lib.analysis.estimates` has the policy for metrics. Sources: Wilson 1927; Tango 1998, eq. 9.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from lib.analysis.metrics import weighted_mean
from lib.analysis.statistics import Interval, percentile_interval, wilson


def mean(values: np.ndarray, counts: np.ndarray, level: float) -> dict[str, Any]:
    """{"value", "low", "high", "method"} of a mean (n,), by the bootstrap with `counts` (R, n)."""
    if not len(values):
        return unknown()
    interval = percentile_interval(weighted_mean(values, counts), level)
    if interval is None:
        return unknown() | {"value": float(values.mean())}
    return {"value": float(values.mean()), **interval._asdict(), "method": "bootstrap"}


def difference(
    values: np.ndarray, counts: np.ndarray, units: int, level: float
) -> dict[str, float | None]:
    """{"value", "low", "high"} of the mean of differences (n,) in [−1, 1], one an item."""
    if not len(values):
        return {"value": None, "low": None, "high": None}
    value, resampled = float(values.mean()), weighted_mean(values, counts)
    return {"value": value, **difference_interval(value, resampled, units, level)._asdict()}


def difference_interval(
    value: float, resampled: np.ndarray, units: int, level: float, span: float = 1.0
) -> Interval:
    """Interval of a mean difference from its resamples (R,). span: the most an item can differ.

    One unit cannot be resampled: what it tells is Wilson's, of the two sides as a coin.
    """
    if (interval := percentile_interval(resampled, level)) is not None:
        return interval
    if abs(value) < 1e-9:
        z = NormalDist().inv_cdf((1 + level) / 2)
        half = span * z * z / (units + z * z)
        return Interval(-half, half)
    ahead = min(max((1 + value / span) / 2, 0.0), 1.0)  # from [−span, span] to [0, 1]
    low, high = wilson(ahead * units, units, level)
    return Interval(span * (2 * low - 1), span * (2 * high - 1))


def unknown() -> dict[str, Any]:
    """A number that is unknown."""
    return dict.fromkeys(("value", "low", "high", "method"))
