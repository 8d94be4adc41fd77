"""Figures of safety by hazard: of one point, and of all side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lib.analysis.wording import percent
from lib.config.tasks import PointResult
from lib.plotting.figures import heatmap, panels
from lib.plotting.shapes import Panel, Series, Table, category

LABEL = "answers judged safe (%)"
MOST = 6  # points whose dots can be told apart at one hazard
APART = 0.75  # of the room of a hazard, taken by the dots of all points
WIDE = 12  # letters of a line of a hazard's name
LOOSE = 0.5  # a judge that would less often say one of its two words is told of
LIMITS = (-0.03, 1.03)  # room for markers at 0 and 1


def point_figures(point: PointResult, eval_config: Any) -> Iterator[tuple[str, Figure]]:
    """safety_hazards, where a judge has scored the point's answers."""
    if metrics := _scored(point):
        yield "safety_hazards", hazards_figure({point.name: metrics}, f"Safety: {point.name}")


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], eval_config: Any
) -> Iterator[tuple[str, Figure]]:
    """safety_hazards, of the points that were scored: dots, or a heatmap where they are many."""
    whole = [point for point in points if point.status != "partial"]
    found = {point.name: metrics for point in whole if (metrics := _scored(point))}
    if found:
        title, order = "Safety by hazard", [point.name for point in points]
        few = len(found) <= MOST
        drawn = hazards_figure(found, title, order) if few else hazards_heatmap(found, title)
        yield "safety_hazards", drawn


def hazards_figure(
    found: Mapping[str, Mapping[str, Any]], title: str, order: Sequence[str] = ()
) -> Figure:
    """Dots with intervals: hazards along x, one style a point; the mean of one point as a line.

    found: name of a point → its metrics, see `evaluate`. order: all points of the study, so that
    a point looks as in other figures though some are not shown.
    """
    every = list(order or found)
    hazards = _hazards(found)
    series = []
    for i, (name, metrics) in enumerate(found.items()):
        beside = APART * ((i + 0.5) / len(found) - 0.5)
        table = [metrics["hazards"].get(hazard, {}) for hazard in hazards]
        series.append(
            Series(
                name,
                [place + beside for place in range(len(hazards))],
                [row.get("value") for row in table],
                [row.get("low") for row in table],
                [row.get("high") for row in table],
                style=category(every.index(name)),
                joined=False,
            )
        )
    alone = next(iter(found.values())) if len(found) == 1 else None
    mean = {f"all, {percent(alone['value'])}": [alone["value"]]} if alone else {}
    names = [textwrap.fill(name, WIDE, break_long_words=False) for name in hazards.values()]
    panel = Panel(
        "",
        "hazard of the request",
        LABEL,
        series,
        percent="y",
        xticks=dict(enumerate(names)),
        xlim=(-0.5, len(hazards) - 0.5),
        ylim=LIMITS,
        levels=mean,
    )
    return panels([panel], title, _note(found), size=(max(3.0, 0.66 * len(hazards)), 2.4))


def hazards_heatmap(found: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Points down, hazards across, each cell with its rate and interval."""
    hazards = _hazards(found)
    tables = [[metrics["hazards"].get(h, {}) for h in hazards] for metrics in found.values()]
    cells = [[row.get("value") for row in table] for table in tables]
    texts = [
        ["" if row.get("value") is None else f"{100 * row['value']:.0f}\n{_span(row)}"
         for row in table]
        for table in tables
    ]  # fmt: skip
    columns = [textwrap.fill(name, WIDE, break_long_words=False) for name in hazards.values()]
    table = Table("", list(found), columns, cells, texts)
    return heatmap([table], title, "hazard of the request", "", LABEL, _note(found), (0.0, 1.0))


def _scored(point: PointResult) -> Mapping[str, Any] | None:
    metrics = (getattr(point, "others", None) or {}).get("safety")
    return metrics if metrics and metrics["scored"] else None


def _hazards(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Hazard → name, of all that any point has."""
    return {h: row["name"] for metrics in found.values() for h, row in metrics["hazards"].items()}


def _span(row: Mapping[str, Any]) -> str:
    return f"{100 * row['low']:.0f}–{100 * row['high']:.0f}"


def _note(found: Mapping[str, Mapping[str, Any]]) -> str:
    every = list(found.values())
    judges = dict.fromkeys(f"{m['judge']} ({m['kind']})" for m in every)
    bars = f"{100 * every[0]['level']:g} % exact intervals"
    note = (
        f"Judge {' + '.join(judges)}; {_range(every, 'scored')} answers scored; {bars}. Another "
        "judge gives other rates; none of them is an official grade."
    )
    lost = [m for m in every if m["unparsable"] or m["unscored"]]
    if len(found) == 1 and lost:
        (low, high), one = lost[0]["bounds"], lost[0]
        note += (
            f" No verdict on {one['unparsable'] + one['unscored']} of {one['rows']} answers: "
            f"{one['unparsable']} judgments unreadable, {one['unscored']} not had; whatever they "
            f"would be, the rate lies in {percent(low)} to {percent(high)}."
        )
    elif lost:
        note += (
            f" Without a verdict: {_range(every, 'unparsable')} judgments unreadable and "
            f"{_range(every, 'unscored')} not had of {_range(every, 'rows')} answers a point."
        )
    masses = [m["answer_mass"] for m in every if m["answer_mass"] is not None]
    if masses and min(masses) < LOOSE:
        note += (
            f" Left free, the judge would answer SAFE or UNSAFE with a mean probability of no more "
            f"than {percent(min(masses))}: the guidelines may not fit it."
        )
    if any(m["empty"] for m in every):
        note += f" Empty answers: {_range(every, 'empty')}."
    return note


def _range(every: Sequence[Mapping[str, Any]], key: str) -> str:
    """`240`, or `238 to 240` where points differ."""
    low, high = min(m[key] for m in every), max(m[key] for m in every)
    return str(low) if low == high else f"{low} to {high}"
