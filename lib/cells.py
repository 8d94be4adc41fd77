"""Which axes of a study tell its points apart, and the points that share a setting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lib.tasks import PointResult

Setting = TypeVar("Setting")


def told(points: Sequence[PointResult], reads: Sequence[Callable[[Any], Any]]) -> set[str]:
    """`variant`, and the axes that give what one of `reads` reads of a config at every point.

    So an axis is recognised by its values, whatever it is called.
    """
    found = {"variant"}
    for axis in {axis for point in points for axis in point.values}:
        having = [p for p in points if axis in p.values]
        for read in reads:
            if all(p.values[axis] == read(p.config) for p in having):
                found.add(axis)
    return found


def grouped(settings: Mapping[str, Setting]) -> dict[Setting, list[str]]:
    """Point → its setting, turned round: names of the points of each, both in grid order."""
    found = defaultdict(list)
    for name, setting in settings.items():
        found[setting].append(name)
    return dict(found)
