"""Points by their coordinates in the grid: settings, and the baseline.

A *setting* is what points share that differ only in the seed. The axis of the seed is the one that
the study declares for `train.seed`, never guessed from values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lib.config.yaml import get_attribute

if TYPE_CHECKING:
    from lib.config.tasks import PointResult

SEED = "train.seed"  # key of the axis that is not part of a setting

Coordinates = tuple[tuple[str, Any], ...]  # (axis, value) in the order of the study's axes
Setting = TypeVar("Setting", bound=Hashable)


def coordinates(points: Sequence[PointResult], without: Sequence[str]) -> dict[str, Coordinates]:
    """Name of a point → its coordinates, without the variant and the axes of the keys `without`.

    Axes that no point of its variant lists are left out. Where only others of its variant list an
    axis, the value is that of its config.
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
    """Setting → names of its points, from point → setting; both in grid order."""
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
    """Name of the point that `evaluate.baseline` selects, and why it is unusable, if it is.

    fault: why a point is unusable, such as "is missing", or None.
    """
    fits = [point for point in points if matches(point.values, eval_config.baseline)]
    if len(fits) != 1:
        return None, f"evaluate.baseline matches {len(fits)} of these points, expected one"
    (one,) = fits
    why = fault(one)
    return one.name, why and f"the baseline {one.name} {why}"
