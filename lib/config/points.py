"""Where points stand on the axes that a study declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SEED = "train.seed"  # the key of the axis that a setting leaves out
STUDY = "study"  # axis of points of other studies in a comparison: the directory of theirs


def matches(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a point with these axis values has all the `wanted` ones."""
    return all(values.get(axis) == value for axis, value in wanted.items())
