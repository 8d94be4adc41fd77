"""Figure of one point: its mean rating in each category, by turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from lib.config.tasks import PointResult
from lib.plotting.figures import panels
from lib.plotting.shapes import Panel, Series, category

APART = 0.13  # of the two turns from the middle of their category, in categories
WRAPPED = {"humanities": "human-\nities", "extraction": "extrac-\ntion"}


def point_figures(point: PointResult, eval_config: Any) -> Iterator[tuple[str, Figure]]:
    """mt_bench_categories, where a judge has rated the point."""
    metrics = (getattr(point, "others", None) or {}).get("mt_bench")
    if metrics and metrics["n_judged"]:
        yield "mt_bench_categories", categories_figure(point.name, metrics)


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], eval_config: Any
) -> Iterator[tuple[str, Any]]:
    """None of its own: the first task compares the points, ratings included."""
    return iter(())


def categories_figure(name: str, metrics: Mapping[str, Any]) -> Figure:
    """Dots with intervals: categories along x, one colour a turn, a line at the overall mean."""
    table = metrics["categories"]
    series = []
    for i, (turn, label) in enumerate((("turn1", "turn 1"), ("turn2", "turn 2"))):
        spans = [row["intervals"][turn] or (None, None) for row in table.values()]
        series.append(
            Series(
                label,
                [place + APART * (2 * i - 1) for place in range(len(table))],
                [row[turn] for row in table.values()],
                [low for low, _ in spans],
                [high for _, high in spans],
                style=category(i),
                joined=False,
            )
        )
    panel = Panel(
        "",
        "category",
        "mean rating (1 to 10)",
        series,
        xticks={place: WRAPPED.get(c, c) for place, c in enumerate(table)},
        xlim=(-0.5, len(table) - 0.5),
        ylim=(0.7, 10.3),
        levels={f"mean of all, {metrics['mean']:.2f}": [metrics["mean"]]},
    )
    return panels([panel], f"MT-Bench: {name}", _note(metrics), size=(4.6, 2.3))


def _note(metrics: Mapping[str, Any]) -> str:
    note = (
        f"Judge {metrics['judge']}, {metrics['rows']} questions; bars: "
        f"{100 * metrics['level']:g} % bootstrap intervals over questions."
    )
    lost = metrics["parse_failures"] + metrics["unjudged"]
    if lost:
        low, high = metrics["bounds"]
        note += (
            f" No rating for {lost} of {2 * metrics['rows']} turns: "
            f"{metrics['parse_failures']} judgments without one, {metrics['unjudged']} not had; "
            f"whatever they would be, the mean lies in {low:.2f} to {high:.2f}."
        )
    return note
