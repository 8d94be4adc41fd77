"""Figures of a search: its history, slices by key, and importances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import LogLocator, MaxNLocator

from lib.config.search_space import Dimension
from lib.plotting.figures import panels, save
from lib.plotting.shapes import Panel, Series, category

LOST = "pruned or diverged"


def draw(
    rows: Sequence[Mapping[str, Any]],
    importance: Mapping[str, float],
    space: Mapping[str, Dimension],
    metric: str,
    directory: Path,
    name: str,
) -> list[str]:
    """Write history, slices and importance as PDF and PNG; rows: of `lib.search.best.history`."""
    complete = [row for row in rows if row["state"] == "complete"]
    lost = len(rows) - len(complete)
    note = f"{len(rows)} trials, {lost} of them pruned, diverged or failed"
    made = {
        "history": panels([_history(rows, metric)], f"{name}: history of the search", note),
        "slices": panels(
            [_slice(key, d, rows, metric) for key, d in space.items()],
            f"{name}: effect of each key", f"{note}; each key over all values of the others",
        ),
    }  # fmt: skip
    if importance:
        made["importance"] = panels([_importance(importance)], f"{name}: importance",
                                    "PED-ANOVA over complete trials")  # fmt: skip
    for topic, figure in made.items():
        save(figure, directory / topic)
    return list(made)


def _history(rows: Sequence[Mapping[str, Any]], metric: str) -> Panel:
    places = list(range(1, len(rows) + 1))
    series = [_cloud(rows, metric, places), _cloud(rows, metric, places, lost=True)]
    # A step at each better trial: between two trials nothing improves.
    best = [row["best"] for row in rows]
    series.append(
        Series("best so far", [*places[:1], *repeat_each(places[1:])],
               [*repeat_each(best[:-1]), *best[-1:]], style=category(2), marked=False)
    )  # fmt: skip
    whole = MaxNLocator(6, integer=True).tick_values(1, len(rows))
    ticks = {x: f"{x:.0f}" for x in whole if 1 <= x <= len(rows)}
    return Panel("", "finished trials", metric, [s for s in series if s.x], xticks=ticks)


def _slice(key: str, dimension: Dimension, rows: Sequence[Mapping[str, Any]], metric: str) -> Panel:
    """Set the axis to a key's values, on its scale; categorical values side by side."""
    if dimension.kind == "categorical":
        places = [dimension.values.index(row[key]) for row in rows]
        ticks = dict(enumerate(map(str, dimension.values)))
    else:
        places = [dimension.place(row[key]) for row in rows]
        ticks = {dimension.place(value): f"{value:g}" for value in marks(dimension)}
    series = [_cloud(rows, metric, places), _cloud(rows, metric, places, lost=True)]
    scale = " (log scale)" if dimension.log else ""
    return Panel("", f"{key}{scale}", metric, [s for s in series if s.x], xticks=ticks)


def repeat_each(values: Sequence[Any]) -> list[Any]:
    """Each value twice in a row."""
    return [value for value in values for _ in range(2)]


def marks(dimension: Dimension) -> list[float]:
    """Round values within a numeric dimension, to label its axis by."""
    low, high = float(dimension.low), float(dimension.high)
    locator = LogLocator(subs=(1.0, 3.0)) if dimension.log else MaxNLocator(4)
    inside = [float(value) for value in locator.tick_values(low, high) if low <= value <= high]
    return inside if len(inside) > 1 else [low, high]


def _cloud(
    rows: Sequence[Mapping[str, Any]], metric: str, places: Sequence[float], lost: bool = False
) -> Series:
    some = [(x, row[metric]) for x, row in zip(places, rows, strict=True)
            if row[metric] is not None and (row["state"] != "complete") == lost]  # fmt: skip
    return Series(LOST if lost else "trial", [x for x, _ in some], [y for _, y in some],
                  style=category(int(lost)), joined=False)  # fmt: skip


def _importance(importance: Mapping[str, float]) -> Panel:
    places = range(len(importance))
    bars = [(x - 0.35, 0.7, share) for x, share in zip(places, importance.values(), strict=True)]
    points = Series("share of a key", list(places), list(importance.values()), style=category(0),
                    joined=False)  # fmt: skip
    ticks = {x: key.removeprefix("train.").replace(".", ".\n") for x, key in enumerate(importance)}
    return Panel("", "", "share (%)", [points], percent="y", xticks=ticks, bars=bars,
                 bars_label="share of a key", xlim=(-0.6, len(importance) - 0.4))  # fmt: skip
