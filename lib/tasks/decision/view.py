"""What the figures of a comparison share: points with their cells, styles, panels and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.config.tasks import PointResult
from lib.plotting.shapes import Panel, Series, Style, category, ordinal
from lib.tasks.decision.comparison import entries, measured
from lib.tasks.decision.criteria import absent
from lib.tasks.decision.theory import Cell, cells, lines

NAMES = {
    "accuracy": "accuracy",
    "acceptance_rate": "acceptance rate",
    "f1": "F1",
    "precision": "precision of accepts",
    "recall": "recall of accepts",
}


BOTH = "bootstrap (at 0 and 100 % Wilson)"


SQUARE = (2.9, 2.9)


WHOLE = (-0.02, 1.02)  # limits of a rate whose points may lie at 0 and 1


class View:
    """The points of a study with their cells, and the styles that its figures share."""

    def __init__(self, points: Sequence[PointResult], tables: Mapping[str, Any]) -> None:
        self.points = {point.name: point for point in points}
        self.tables = tables
        self.present = [point for point in points if measured(point)]
        self.cells = cells(points)
        self.lines = lines(self.cells)
        self.baseline = tables["baseline"]["name"]
        self.level = f"{100 * tables['level']:g} %"
        ratios = {(cell.k, cell.ratio): None for cell in self.cells.values()}
        self.ratios = [ratio for _, ratio in sorted(ratios)]
        self.gammas = sorted({cell.gamma for cell in self.cells.values()})
        self.seeds = max((len(group["points"]) for group in tables["seeds"]), default=1)
        # Panel → names of its points; unweighted points are γ = 1 of the lines that they start.
        self.panels: dict[str, list[str]] = {}
        for names in self.lines.values():
            weighted = next(name for name in names if self.cells[name].weighted_class)
            of_panel = self.panels.setdefault(self.panel(self.cells[weighted]), [])
            of_panel += [name for name in names if name not in of_panel]
        self.panels = self.panels or {"unweighted": list(self.points)}

    def panel(self, cell: Cell) -> str:
        """The panel of a cell: its variant, and the axes that are not γ, ratio or seed."""
        return ", ".join([cell.variant, *(f"{axis} {value}" for axis, value in cell.rest)])

    def ratio_style(self, ratio: str) -> Style:
        """Ratios are ordered: dark to light."""
        return ordinal(self.ratios.index(ratio), len(self.ratios))

    def cloud(
        self,
        title: str,
        xlabel: str,
        ylabel: str,
        places: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
        **panel: Any,
    ) -> Panel:
        """A scatter; places: name → (x, y), each {"value", "low", "high"}; γ beside each point.

        Colour and filling tell the variant, the marker the ratio; unweighted points are black.
        """
        groups: dict[str, list[str]] = {}
        for name, (x, y) in places.items():
            if x["value"] is not None and y["value"] is not None:
                label = f"{self.panel(self.cells[name])} {self.cells[name].ratio}"
                groups.setdefault(label, []).append(name)
        series = []
        for label, names in groups.items():
            cell = self.cells[names[0]]
            style = Style()
            if cell.weighted_class:
                style = category(list(self.panels).index(self.panel(cell)))
            style = style._replace(marker=self.ratio_style(cell.ratio).marker)
            x, y = ([places[name][i] for name in names] for i in (0, 1))
            column = {
                "x": [v["value"] for v in x],
                "y": [v["value"] for v in y],
                "x_low": [v["low"] for v in x],
                "x_high": [v["high"] for v in x],
                "low": [v["low"] for v in y],
                "high": [v["high"] for v in y],
                "texts": [self.gamma(name) for name in names],
            }
            series.append(Series(label, **column, style=style, joined=False))
        return Panel(title, xlabel, ylabel, series, **panel)

    def gamma(self, name: str) -> str:
        """What stands beside a point: nothing where no class is weighted."""
        cell = self.cells[name]
        return f"{cell.gamma:g}" if cell.weighted_class else ""

    def table(self, key: str, others: bool = False) -> dict[str, Any]:
        """See `comparison.entries`."""
        return entries(self.tables, key, others)

    def note(self, *parts: str) -> str:
        """What the numbers are, and which points have none."""
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else ""
        kept = [part for part in (f"{self.tables['rows']:,} test papers", *parts, seeds) if part]
        text = "; ".join(kept) + "."
        rest = absent(self.points.values())
        return f"{text}\nNo value: {rest}." if rest else text


def value_of(point: PointResult, name: str) -> dict[str, Any]:
    """A metric of a point: {"value", "low", "high", "method"}."""
    return point.metrics["metrics"][name]


def exact(value: float | None) -> dict[str, Any]:
    """A number without an interval."""
    return {"value": value, "low": None, "high": None}


def bounds(found: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """y, low and high of a Series from {"value", "low", "high"}."""
    keys = {"y": "value", "low": "low", "high": "high"}
    return {column: [entry.get(key) for entry in found] for column, key in keys.items()}
