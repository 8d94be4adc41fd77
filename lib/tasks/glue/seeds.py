"""Numbers of a few training runs that differ in the seed alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any


def over_seeds(
    values: Sequence[float | None],
    level: float | None = None,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> dict[str, Any]:
    """{"values", "mean", "sd"}, with a level also "low" and "high": Student's interval of the mean.

    values: one a seed, None where a seed has none; these are in no mean. Sample deviation (n − 1);
    it and the interval are None for fewer than two values, the latter also where all are equal. The
    interval is of other training runs, and wide for few: ± 2.5 sd for three seeds at 95 %; it ends
    where the range of the values (`within`) does. Source: Student 1908; scipy.stats.t.
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    found: dict[str, Any] = {
        "values": list(values),
        "mean": fmean(known) if known else None,
        "sd": stdev(known) if len(known) > 1 else None,
    }
    if level is None:
        return found
    found["low"] = found["high"] = None
    if len(known) > 1 and max(known) > min(known):
        from scipy.stats import t

        half = float(t.ppf((1 + level) / 2, len(known) - 1)) * found["sd"] / math.sqrt(len(known))
        found["low"] = max(found["mean"] - half, within[0])
        found["high"] = min(found["mean"] + half, within[1])
    return found
