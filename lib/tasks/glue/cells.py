"""Where each point of a GLUE study stands: its method, task and seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lib.config.points import SEED, coordinates, grouped
from lib.config.tasks import PointResult
from lib.tasks.glue.table import NAMES

KINDS = {"full": "full", "lora": "LoRA", "adalora": "AdaLoRA", "iw_lora": "IW-LoRA"}
SYMBOLS = {"alpha": "α", "beta": "β", "normalise": "by"}


class Method(NamedTuple):
    """What points share that differ in task and seed alone."""

    variant: str
    rest: tuple[tuple[str, Any], ...] = ()  # the other axes in which the variant's points differ

    @property
    def label(self) -> str:
        """How figures and tables name it: `IW-LoRA α 0.0001`."""
        parts = [KINDS.get(self.variant, self.variant)]
        for axis, value in self.rest:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(f"{SYMBOLS.get(axis, axis)} {shown}")
        return " ".join(parts)


class Setting(NamedTuple):
    """What points share that differ in the seed alone."""

    method: Method
    task: str

    @property
    def label(self) -> str:
        """How tables name it: `LoRA, RTE`."""
        return f"{self.method.label}, {NAMES[self.task]}"


class Cell(NamedTuple):
    """One point."""

    setting: Setting
    kind: str  # of KINDS
    seed: int


def kind_of(train: Any) -> str:
    """full, lora, adalora or iw_lora: what a point is, whatever its variant is called."""
    if train.tuning in ("full", "adalora"):
        return train.tuning
    return "iw_lora" if train.importance.alpha > 0 else "lora"


def cells(points: Sequence[PointResult]) -> dict[str, Cell]:
    """The cell of every point, by name, in order.

    An axis that has one value in all points of a variant tells no two of its methods apart, and is
    left out.
    """
    others = coordinates(points, ("data.task", SEED))
    found, values = {}, defaultdict(set)
    for point in points:
        for axis, value in others[point.name]:
            values[_variant(point), axis].add(value)
    for point in points:
        variant = _variant(point)
        rest = tuple((a, v) for a, v in others[point.name] if len(values[variant, a]) > 1)
        setting = Setting(Method(variant, rest), point.config.data.task)
        train = point.config.train
        found[point.name] = Cell(setting, kind_of(train), int(train.seed))
    return found


def settings_of(all_cells: Mapping[str, Cell]) -> dict[Setting, list[str]]:
    """Names of the points of each setting, both in grid order."""
    return grouped({name: cell.setting for name, cell in all_cells.items()})


def methods_of(settings: Mapping[Setting, Any]) -> dict[Method, dict[str, Setting]]:
    """Settings of each method by task, in grid order."""
    found: dict[Method, dict[str, Setting]] = defaultdict(dict)
    for setting in settings:
        found[setting.method][setting.task] = setting
    return dict(found)


def _variant(point: PointResult) -> str:
    return str(point.values.get("variant", kind_of(point.config.train)))
