"""Which axes of a study tell its points apart, and the points that share a setting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from lib.settings import get_attribute
from lib.tasks import PointResult

SEED = "train.seed"  # the key of the axis that a setting leaves out

Setting = TypeVar("Setting")


def rest_of(
    points: Sequence[PointResult], known: Sequence[str]
) -> dict[str, tuple[tuple[str, Any], ...]]:
    """Name of a point → its values of all axes that land on none of the `known` keys, by axis.

    Which axis is which follows from the keys that the study declares, never from the values: two
    axes may rise together. The variant is left out, and so are axes that no point of the variant
    lists; a point that leaves out an axis which others of its variant list has the value of its
    config.
    """
    listed = defaultdict(set)
    for point in points:
        listed[point.values.get("variant")] |= set(point.values)
    return {
        point.name: tuple(
            (axis, point.values[axis] if axis in point.values else get_attribute(point.config, key))
            for axis, key in point.axes.items()
            if axis in listed[point.values.get("variant")] and key not in known
        )
        for point in points
    }


def grouped(settings: Mapping[str, Setting]) -> dict[Setting, list[str]]:
    """Point → its setting, turned round: names of the points of each, both in grid order."""
    found = defaultdict(list)
    for name, setting in settings.items():
        found[setting].append(name)
    return dict(found)
