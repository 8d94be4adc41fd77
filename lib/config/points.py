"""Where points stand on the axes that a study declares: settings, and the baseline among them.

A *setting* is what points share that differ in the seed alone. Which axis is the seed follows from
the key that the study declares for it, never from values: two axes may rise together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lib.config.yaml import get_attribute

if TYPE_CHECKING:
    from lib.config.tasks import PointResult

SEED = "train.seed"  # the key of the axis that a setting leaves out

Coordinates = tuple[tuple[str, Any], ...]  # (axis, value) of each axis, in the order of the study
Setting = TypeVar("Setting", bound=Hashable)


def coordinates(points: Sequence[PointResult], without: Sequence[str]) -> dict[str, Coordinates]:
    """Name of a point → its values of all axes but the variant and those of the keys `without`.

    Axes that no point of the variant lists are left out too. A point that leaves out an axis which
    others of its variant list has the value of its config.
    """
    listed = defaultdict(set)
    for point in points:
        listed[point.values.get("variant")] |= set(point.values)
    return {
        point.name: tuple(
            (axis, point.values[axis] if axis in point.values else get_attribute(point.config, key))
            for axis, key in point.axes.items()
            if axis in listed[point.values.get("variant")] and key not in without
        )
        for point in points
    }


def grouped(settings: Mapping[str, Setting]) -> dict[Setting, list[str]]:
    """Point → its setting, turned round: names of the points of each, both in grid order."""
    members = defaultdict(list)
    for name, setting in settings.items():
        members[setting].append(name)
    return dict(members)


def matches(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a point with these axis values has all the `wanted` ones."""
    return all(values.get(axis) == value for axis, value in wanted.items())


def find_baseline(
    points: Sequence[PointResult],
    eval_config: Any,
    fault: Callable[[PointResult], str | None],
) -> tuple[str | None, str | None]:
    """Name of the point that `evaluate.baseline` singles out, and why it cannot serve, if so.

    fault: why a point cannot serve, such as "is missing"; None where it can.
    """
    fits = [point for point in points if matches(point.values, eval_config.baseline)]
    if len(fits) != 1:
        return None, f"evaluate.baseline fits {len(fits)} of these points, expected one"
    (one,) = fits
    why = fault(one)
    return one.name, why and f"the baseline {one.name} {why}"
