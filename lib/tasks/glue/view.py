"""What the figures of a comparison share: methods, their styles, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.analysis.wording import absent
from lib.config.tasks import PointResult
from lib.plotting.shapes import DASHES, MARKERS, Style, category, ordinal
from lib.tasks.glue.findings import standing
from lib.tasks.glue.table import NAMES

KINDS = ("full", "lora", "adalora", "iw_lora")


class View:
    """The methods and settings of a study, and the styles that its figures share."""

    def __init__(self, points: Sequence[PointResult], tables: Mapping[str, Any]) -> None:
        self.points = points
        self.tables = tables
        self.level = f"{100 * tables['level']:g} %"
        self.seeds = max((len(one["points"]) for one in tables["settings"]), default=1)
        self.methods = [method["label"] for method in tables["methods"]]
        self.standing = [method["label"] for method in standing(tables)]
        self.tasks = list(dict.fromkeys(one["task"] for one in tables["sets"]))
        self.of_kind: dict[str, list[str]] = {}
        for method in tables["methods"]:
            self.of_kind.setdefault(method["kind"], []).append(method["label"])

    def style(self, label: str) -> Style:
        """A hue a kind of method; several of one kind go dark to light."""
        kind, members = next((k, m) for k, m in self.of_kind.items() if label in m)
        place = KINDS.index(kind)
        if len(members) == 1:
            return category(place)
        color = ordinal(members.index(label), len(members)).color
        return Style(color, MARKERS[self.methods.index(label) % len(MARKERS)], DASHES[place])

    def settings(self, task: str, labels: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Settings of a task, in grid order; `labels`: of these methods alone."""
        return [
            s
            for s in self.tables["settings"]
            if s["task"] == task and (labels is None or s["method"] in labels)
        ]

    def note(self, *parts: str) -> str:
        """What the numbers are, and which points have none."""
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else "one seed"
        text = "; ".join(part for part in (*parts, seeds) if part) + "."
        rest = absent(self.tables)
        return f"{text[0].upper()}{text[1:]}" + (f"\nNo value: {rest}." if rest else "")

    def chosen(self) -> str:
        """Which settings are shown where only some are."""
        if len(self.standing) == len(self.methods):
            return ""
        return "of several settings of a method the one chosen on the validation rows"


def rows_note(tables: Mapping[str, Any]) -> str:
    """`dev rows: MNLI 9,815 and 9,832, RTE 277`."""
    counts: dict[str, list[str]] = {}
    for one in tables["sets"]:
        counts.setdefault(NAMES[one["task"]], []).append(f"{one['rows']:,}")
    return "dev rows: " + ", ".join(f"{name} {' and '.join(n)}" for name, n in counts.items())
