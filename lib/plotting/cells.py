"""Figures made of cells or rows: heatmaps, and differences with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from lib.config.figures import Figure
from lib.plotting import captions, frames
from lib.plotting.figures import heatmap as heatmaps
from lib.plotting.figures import intervals
from lib.plotting.marks import known
from lib.plotting.shapes import Table
from lib.plotting.view import View, broken, in_words, levels, ordered


def heatmap(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    """The mean over seeds in each cell; beneath it their deviation, or the interval of one seed."""
    metric, x, y = figure.metrics[0], str(figure.x), str(figure.y)
    unit, gone = view.unit(metric), frames.absent(view, figure, frame)
    cells = frame[frame.of == "setting"] if "setting" in set(frame.of) else frame
    columns = [x, *frames.leftover(view, cells, [x, y, figure.panel])]
    if len(columns) > 1 and not ordered(levels(cells[x])):
        cells, gone, frame = (
            one.assign(**{x: _joined(view, one, columns)}) if x in one else one
            for one in (cells, gone, frame)
        )
    partial = frame[(frame.of == "point") & (frame.status == "partial")]
    lost = pd.concat([gone, partial]) if len(cells) < len(frame) else gone
    names = {
        axis: levels(pd.concat([cells[axis], lost.get(axis, cells[axis][:0])])) for axis in (x, y)
    }
    tables = []
    for panel, rows in cells.groupby("panel", sort=False):
        own, without = _records(rows, y, x), _records(lost[lost.panel == panel], y, x)
        found = [
            [_cell(own.get((row, column), ()), without, (row, column), unit) for column in names[x]]
            for row in names[y]
        ]
        words = {axis: [in_words(view, "", value) for value in names[axis]] for axis in names}
        words[x] = [broken(text) for text in words[x]]
        tables.append(
            Table(
                str(panel),
                words[y],
                words[x],
                [[v for v, _ in row] for row in found],
                [[text for _, text in row] for row in found],
            )
        )
    texts = "".join(text for table in tables for row in table.texts or () for text in row)
    blank = any(cell is None for table in tables for row in table.cells for cell in row)
    beneath = {
        "±": "±: standard deviation over seeds",
        "[": f"[ ]: {100 * view.level:g} % interval of one seed",
        "(n": "n: rows",
        "of ": "of: settings in a mean",
    }
    said = [words for mark, words in beneath.items() if mark in texts]
    said += ["–: not in the grid"] * blank
    lines = ["; ".join(said) + "." if said else "", captions.missing(view, gone)]
    return heatmaps(
        tables,
        title,
        view.axis(x),
        view.axis(y),
        view.label(metric),
        "\n".join(filter(None, lines)),
        limits=limits(cells.value, unit),
        percent=unit == "share",
    )


def _joined(view: View, frame: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    """What tells the columns of a heatmap apart, in words, one axis a line: `TD-DPO`, `τ 0.5`."""
    rows = frame[list(axes)].to_dict("records")
    return ["\n".join(filter(None, (in_words(view, a, row[a]) for a in axes))) for row in rows]


def limits(numbers: Sequence[float] | pd.Series, unit: str) -> tuple[float, float]:
    """Ends of a colour scale: those of the numbers, but never closer than ten percentage points.

    Of other units, never closer than a tenth of the largest: small differences look small.
    """
    low, high = float(np.min(numbers)), float(np.max(numbers))
    least = 0.10 if unit == "share" else 0.1 * max(abs(low), abs(high), 1e-9)
    if high - low >= least:
        return low, high
    low = (low + high - least) / 2
    if unit == "share":
        low = min(max(low, 0.0), 1 - least)
    return low, low + least


def _records(frame: pd.DataFrame, *axes: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Values of these axes, None where a row has none → rows."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in frame.to_dict("records"):
        at = tuple(row[a] if pd.notna(row.get(a)) else None for a in axes)
        found.setdefault(at, []).append(row)
    return found


def _cell(
    here: Sequence[Mapping[str, Any]],
    lost: Mapping[tuple[Any, ...], Sequence[Mapping[str, Any]]],
    at: tuple[Any, Any],
    unit: str,
) -> tuple[float | str | None, str]:
    """(value | status | None, text) of one cell, the mean of the settings that are in it.

    lost: points without a value, by where they are; None: in each row, or in each column.
    """
    if not here:
        places = product(*((one, None) for one in at))
        status = [row["status"] for place in places for row in lost.get(place, ())]
        return next(iter(status), None), ""
    row, value = here[0], float(np.mean([one["value"] for one in here]))
    put = _percent if unit == "share" else _digits
    text = put(value)
    if len(here) > 1:
        text += f"\nof {len(here)}"
    elif pd.notna(row.get("sd")):
        text += f"\n± {put(row['sd'])}"
    elif pd.notna(row["low"]):
        wide = row["high"] - row["low"] > 0.02 or unit != "share"
        text += f"\n[{put(row['low'], wide)}, {put(row['high'], wide)}]"
    elif pd.notna(row.get("n")):
        text += f"\n(n {row['n']:,.0f})"
    return value, text


def _percent(share: float, rough: bool = False) -> str:
    return f"{100 * share:.{0 if rough else 1}f}"


def _digits(value: float, rough: bool = False) -> str:
    """Three digits, or two, those that are 0 too, so that a column of cells is even."""
    digits = 2 if rough else 3
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def forest(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    """Differences from one setting, a row each."""
    unit = view.unit(figure.metrics[0])
    share = unit == "share"
    clear = (frame.p_holm < 1 - view.level).sum()
    note = (
        f"Bars: {100 * view.level:g} % intervals of paired differences; filled: without 0; "
        f"{clear} of {frame.p_holm.notna().sum()} clear after Holm's adjustment."
    )
    columns = (known(frame[column]) for column in ("difference", "low", "high"))
    label = f"difference ({'percentage points' if share else unit})"
    return intervals(
        list(frame.name), *columns, list(frame.status), title, label, note, percent=share
    )
