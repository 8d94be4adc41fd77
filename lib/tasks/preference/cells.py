"""Where each point of a preference study stands: its method, β, τ and seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lib.config.points import SEED, coordinates, grouped
from lib.config.tasks import PointResult
from lib.losses import OBJECTIVES, label_of


class Line(NamedTuple):
    """What points share that differ in β and seed alone: a line of the figures."""

    variant: str
    tau: float | None
    rest: tuple[tuple[str, Any], ...] = ()  # every other axis of the study

    @property
    def label(self) -> str:
        """How figures and tables name it: `TD-DPO τ 0.5`."""
        name = label_of(self.variant)
        name += "" if self.tau is None else f" τ {self.tau:g}"
        return ", ".join([name, *(f"{axis} {value}" for axis, value in self.rest)])


class Setting(NamedTuple):
    """What points share that differ in the seed alone."""

    line: Line
    beta: float

    @property
    def label(self) -> str:
        """How figures and tables name it: `TD-DPO τ 0.5, β 0.01`."""
        return f"{self.line.label}, β {self.beta:g}"


class Cell(NamedTuple):
    """One point."""

    setting: Setting
    objective: str
    seed: int


def cells(points: Sequence[PointResult]) -> dict[str, Cell]:
    """The cell of every point, by name, in order."""
    rest = coordinates(points, ("train.beta", "train.tau", SEED))
    found = {}
    for point in points:
        train = point.config.train
        line = Line(
            variant=str(point.values.get("variant", train.objective)),
            tau=float(train.tau) if OBJECTIVES[train.objective].reads("tau") else None,
            rest=rest[point.name],
        )
        setting = Setting(line, float(train.beta))
        found[point.name] = Cell(setting, train.objective, int(train.seed))
    return found


def settings_of(all_cells: Mapping[str, Cell]) -> dict[Setting, list[str]]:
    """Names of the points of each setting, both in grid order."""
    return grouped({name: cell.setting for name, cell in all_cells.items()})


def lines_of(settings: Mapping[Setting, Any]) -> dict[Line, list[Setting]]:
    """Settings of each line, β ascending; lines in grid order, those of one variant by τ."""
    found = defaultdict(list)
    for setting in settings:
        found[setting.line].append(setting)
    variants = list(dict.fromkeys(line.variant for line in found))
    order = sorted(found, key=lambda line: (variants.index(line.variant), line.tau or 0.0))
    return {line: sorted(found[line], key=lambda setting: setting.beta) for line in order}


def variant_of(all_cells: Mapping[str, Cell], objective: str) -> str | None:
    """The variant that stands for an objective: that of its name, else the first that uses it."""
    having = [c.setting.line.variant for c in all_cells.values() if c.objective == objective]
    return objective if objective in having else next(iter(having), None)
