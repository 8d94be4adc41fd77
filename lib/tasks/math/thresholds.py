"""What each variant should reach at least: `evaluate.thresholds`, variant → metric → rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import FAIL, PASS, UNDECIDED, UNKNOWN
from lib.config.errors import BadInput, listed, nearest

METRICS = ("accuracy", "accuracy_strict", "safety")


def check_thresholds(thresholds: Mapping[str, Mapping[str, float]]) -> None:
    """Raise BadInput for a metric that no point has."""
    for variant, given in thresholds.items():
        for metric in given:
            if metric not in METRICS:
                raise BadInput(
                    f"evaluate.thresholds.{variant}: unknown metric {metric!r}, expected one of "
                    f"{listed(METRICS)}{nearest(metric, METRICS)}"
                )


def verdict(found: Mapping[str, Any] | None, threshold: float) -> str:
    """pass or fail where the whole interval lies on one side of the threshold, else undecided.

    found: {"value", "low", "high"}. A lower bound on the threshold passes. Without an interval
    nothing can be said.
    """
    if not found or found["low"] is None:
        return UNKNOWN
    if found["low"] >= threshold:
        return PASS
    return FAIL if found["high"] < threshold else UNDECIDED
