"""The point that `evaluate.baseline` singles out among those that are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lib.tasks import PointResult


def find_baseline(
    points: Sequence[PointResult], settings: Any, fault: Callable[[PointResult], str | None]
) -> tuple[str | None, str | None]:
    """Name of the point that `settings.baseline` singles out, and why it cannot serve, if so.

    fault: what the point is or lacks that it cannot serve, such as "is missing"; None: nothing.
    """
    wanted = settings.baseline
    fits = [p for p in points if all(p.values.get(a) == v for a, v in wanted.items())]
    if len(fits) != 1:
        return None, f"evaluate.baseline fits {len(fits)} of these points, expected one"
    (one,) = fits
    why = fault(one)
    return one.name, why and f"the baseline {one.name} {why}"
