"""Specs of figures over the tidy tables: each kind as panels or cells, with a caption.

    for drawn in draw(view, figure): save(drawn.figure, path)

Settings are drawn large, with the interval of their mean; where several seeds are behind one, each
is a small dot. Points without a number are marked at the axis, and named below the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from lib.config.figures import Figure
from lib.plotting import captions, frames
from lib.plotting.figures import heatmap, intervals, panels
from lib.plotting.shapes import Panel, Series, Style, Table, category, ordinal, thin
from lib.plotting.view import View, in_words, levels, ordered


@dataclass(frozen=True)
class Drawn:
    """A figure as it is saved: what its file is called, what it says, what it shows in words."""

    name: str
    figure: Canvas
    title: str
    caption: str


def draw(view: View, figure: Figure, point: str | None = None) -> Iterator[Drawn]:
    """The figure of a spec; `point`: of this one alone, none where it has nothing to show."""
    if point is not None:
        tables = {
            name: frame[frame.point == point] if "point" in frame else frame
            for name, frame in view.tables.items()
        }
        view = replace(view, tables=tables)
    rows, picture, caption = KINDS[figure.kind]
    frame = rows(view, figure)
    title = captions.title_of(view, figure) + (f": {point}" if point else "")
    if len(frame):
        canvas = picture(view, figure, frame, title)
        yield Drawn(figure.name, canvas, title, caption(view, figure, frame))
    elif point is None:
        blank = Panel("", "", view.label(figure.metrics[-1]), remark="no point has this number")
        canvas = panels([blank], title, captions.EMPTY, size=(3.4, 1.4))
        yield Drawn(figure.name, canvas, title, captions.EMPTY)


# -- what kinds share ------------------------------------------------------------------------------


def _looks(view: View, frame: pd.DataFrame, *axes: str | None) -> dict[str, Style]:
    """Line → its style: colour by the first axis, marker by the second.

    Dark to light where the values of an axis have an order; the baseline is black.
    """
    lines = list(dict.fromkeys(frame.line))
    color, marker = (axis if axis in frame else None for axis in (*axes, None, None)[:2])
    if color is None or (marker is None and len(lines) > frame[color].nunique()):
        return {line: category(i) for i, line in enumerate(lines)}
    values = levels(frame[color])
    ranked = len(values) > 1 and ordered(values)
    styles = {v: ordinal(i, len(values)) if ranked else category(i) for i, v in enumerate(values)}
    if not ranked and color in view.baseline:
        styles[view.baseline[color]] = Style()
    shapes = [ordinal(i, 9).marker for i in range(9)]
    forms = dict(zip(levels(frame[marker]), shapes * 9, strict=False)) if marker else {}
    found = {}
    at = frame[color].map({value: i for i, value in enumerate(values)})
    for line, rows in frame.assign(at=at).sort_values("at").groupby("line", sort=False):
        style = styles.get(rows[color].iloc[0], Style("#6f6f6f"))
        form = forms.get(rows[marker].iloc[0]) if marker else None
        found[line] = style._replace(marker=form or style.marker)
    return dict(sorted(found.items(), key=lambda one: one[1] == Style()))  # the baseline on top


def _series(rows: pd.DataFrame, label: str, style: Style, **more: Any) -> list[Series]:
    """The dots of seeds and of partial points, and over them the settings; rows: x, y, y_low …"""
    settings, points = rows[rows.of == "setting"], rows[rows.of == "point"]
    many = settings[settings.seeds > 1].setting
    small = {
        label: points[points.setting.isin(many) & (points.status != "partial")],
        "partial: fewer test rows": points[points.status == "partial"],
    }
    found = [
        Series(
            name,
            _known(dots.x),
            _known(dots.y),
            style=style._replace(filled=name == label),
            joined=False,
            small=True,
        )
        for name, dots in small.items()
        if len(dots)
    ]
    ends = {
        f"{prefix}{end}": _known(settings[f"{axis}_{end}"])
        for axis, prefix in (("y", ""), ("x", "x_"))
        for end in ("low", "high")
        if f"{axis}_{end}" in settings
    }
    if len(settings):
        found.append(
            Series(
                label,
                _known(settings.x),
                _known(settings.y),
                style=style,
                **ends,
                **{k: v(settings) if callable(v) else v for k, v in more.items()},
            )
        )
    return found


def _known(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else float(value) for value in values]


def _percent(view: View, **metrics: str) -> str:
    """The axes, "x" or "y", whose metric is a share."""
    return "".join(axis for axis, metric in metrics.items() if view.unit(metric) == "share")


def _note(view: View, frame: pd.DataFrame, gone: pd.DataFrame | None, *parts: str) -> str:
    """What the marks are, and which points have none."""
    seeds = "seeds" in frame and bool((frame.seeds > 1).any())
    ends = [column for column in ("low", "y_low") if column in frame]
    said = []
    if ends and frame[ends].notna().any(axis=None):
        said.append(f"bars: {100 * view.level:g} % intervals over items{' and seeds' * seeds}")
    said += ["small dots: single seeds"] * seeds + [part for part in parts if part]
    text = "; ".join(said)
    lines = [f"{text[0].upper()}{text[1:]}."] if text else []
    lines.append("" if gone is None else captions.missing(gone))
    return "\n".join(line for line in lines if line)


# -- kinds -----------------------------------------------------------------------------------------


def _lines(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    """A metric over an axis, one line a colour; as bars, side by side in each group."""
    bars, x, metric = figure.kind == "bars", str(figure.x), figure.metrics[0]
    gone, looks = frames.absent(view, figure, frame), _looks(view, frame, figure.color)
    values = levels(frame[x])
    numbers = not bars and all(isinstance(value, (int, float)) for value in values)
    log = numbers and min(values) > 0 and max(values) >= 4 * min(values)
    places = {v: float(v) if numbers else float(i) for i, v in enumerate(values)}
    first, last = min(places.values()), max(places.values())
    span, n = last - first or 1.0, len(looks)

    def at(value: Any, i: int) -> float:
        """Where the i-th line has a value of x: lines stand side by side."""
        beside = i - (n - 1) / 2
        if log:
            return places[value] * 2 ** (min(0.09, 0.5 / n) * beside)
        return places[value] + beside * (0.8 / n if bars else 0.015 * span)

    frame = frame.rename(columns={"value": "y", "low": "y_low", "high": "y_high", "x": "x_"})
    drawn = []
    for panel, rows in frame.groupby("panel", sort=False):
        series: list[Series] = []
        for i, (line, style) in enumerate(looks.items()):
            own = rows[rows.line == line].sort_values(x)
            own = own.assign(x=[at(value, i) for value in own[x]])
            more = {"bar": 0.8 / n} if bars else {"joined": numbers or ordered(values)}
            series += _series(own, line or view.name(metric), style, **more)
        lost = gone[(gone.panel == panel) & gone[x].isin(values)] if x in gone else gone[:0]
        if series:
            series[-1].absent = [(places[v], s) for v, s in zip(lost[x], lost.status, strict=True)]
        drawn.append(Panel(str(panel), view.axis(x), view.label(metric), series))
    edge = (first / 1.4, last * 1.4) if log else (first - 0.08 * span, last + 0.08 * span)
    ticks = {places[v]: _broken(in_words(view, "", v)) for v in values}
    for panel in drawn:
        panel.percent, panel.log2 = _percent(view, y=metric), log
        panel.xticks = ticks if len(ticks) < 13 or not numbers else None
        panel.xlim = edge if numbers else (-0.6, len(values) - 0.4)
        if figure.level is not None:
            panel.levels = {captions.number(figure.level, view.unit(metric)): [figure.level]}
    wide = max(2.75, min(8.5, (0.25 * n if bars else 0.5) * len(values)))
    beside = "" if bars or n < 2 else "lines are set side by side"
    return panels(drawn, title, _note(view, frame, gone, beside), (wide, 2.25))


def _broken(text: str) -> str:
    """A name of a tick in lines of about ten letters."""
    lines = [""]
    for word in text.replace("_", " ").split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > 10:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _points(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    """One metric over another, one mark a setting."""
    x, y = figure.metrics
    looks = _looks(view, frame, figure.color, figure.marker)

    def texts(rows: pd.DataFrame) -> list[str]:
        return [in_words(view, "", value) for value in rows.get(figure.label or "", ())]

    drawn = []
    for panel, rows in frame.groupby("panel", sort=False):
        series = _behind(view, figure)
        for line, style in looks.items():
            own = rows[rows.line == line]
            series += _series(own, line or "each setting", style, joined=False, texts=texts)
        drawn.append(
            Panel(
                str(panel),
                view.label(x),
                view.label(y),
                series,
                percent=_percent(view, x=x, y=y),
                identity=figure.identity,
            )
        )
    beside = f"numbers: {view.axis(figure.label)}" if figure.label in frame else ""
    note = _note(view, frame, frames.absent(view, figure, frame), beside)
    square = len(drawn) > 1 or figure.identity
    return panels(drawn, title, note, (2.9, 2.9) if square else (4.4, 3.1))


def _behind(view: View, figure: Figure) -> list[Series]:
    """The further table `curve` as a line with a band: its first two columns, low and high."""
    table = view.tables.get(figure.curve or "")
    if table is None:
        return []
    x, y = list(table)[:2]
    ends = [_known(table[end]) for end in ("low", "high") if end in table]
    label, style = str(figure.curve).replace("_", " "), Style("#444444")
    return [
        Series(label, _known(table[x]), _known(table[y]), *ends, style=style, marked=False,
               band=True)
    ]  # fmt: skip


def _heatmap(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    """The mean over seeds in each cell; beneath it their deviation, or the interval of one seed."""
    metric, x, y = figure.metrics[0], str(figure.x), str(figure.y)
    unit, gone = view.unit(metric), frames.absent(view, figure, frame)
    cells = frame[frame.of == "setting"]
    names = {
        axis: levels(pd.concat([cells[axis], gone.get(axis, cells[axis][:0])])) for axis in (x, y)
    }
    tables = []
    for panel, rows in cells.groupby("panel", sort=False):
        lost = gone[gone.panel == panel]
        found = [
            [_cell(rows, lost, {x: column, y: row}, unit) for column in names[x]]
            for row in names[y]
        ]
        words = {axis: [in_words(view, "", value) for value in names[axis]] for axis in names}
        tables.append(
            Table(
                str(panel),
                words[y],
                words[x],
                [[v for v, _ in row] for row in found],
                [[text for _, text in row] for row in found],
            )
        )
    note = (
        f"Beneath: ± standard deviation over seeds, or the {100 * view.level:g} % interval of "
        f"one seed; –: not in the grid.\n{captions.missing(gone)}"
    )
    return heatmap(
        tables,
        title,
        view.axis(x),
        view.axis(y),
        view.label(metric),
        note.strip(),
        limits=limits(cells.value, unit),
        percent=unit == "share",
    )


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


def _cell(
    cells: pd.DataFrame, lost: pd.DataFrame, at: Mapping[str, Any], unit: str
) -> tuple[float | str | None, str]:
    """(value | status | None, text) of one cell, the mean of the settings that are in it."""
    here = cells[frames.matching(cells, at)]
    if here.empty:
        held = {axis: value for axis, value in at.items() if axis in lost}
        status = lost[frames.matching(lost, held)].status
        return (None if status.empty else str(status.iloc[0])), ""
    row, value = here.iloc[0], float(here.value.mean())
    scale, digits = (100, ".1f") if unit == "share" else (1, ".3g")
    text = f"{scale * value:{digits}}"
    if len(here) > 1:
        text += f"\nof {len(here)}"
    elif pd.notna(row.get("sd")):
        text += f"\n± {scale * row.sd:{digits}}"
    elif pd.notna(row.low):
        digits = ".0f" if unit == "share" and row.high - row.low > 0.02 else digits
        text += f"\n[{scale * row.low:{digits}}, {scale * row.high:{digits}}]"
    elif "n" in here and pd.notna(row.n):
        text += f"\n(n {row.n:,.0f})"
    return value, text


def _forest(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    unit = view.unit(figure.metrics[0])
    share = unit == "share"
    clear = (frame.p_holm < 1 - view.level).sum()
    note = (
        f"Bars: {100 * view.level:g} % intervals of paired differences; filled: without 0; "
        f"{clear} of {frame.p_holm.notna().sum()} clear after Holm's adjustment."
    )
    columns = (_known(frame[column]) for column in ("difference", "low", "high"))
    label = f"difference ({'percentage points' if share else unit})"
    return intervals(
        list(frame.name), *columns, list(frame.status), title, label, note, percent=share
    )


def _curves(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    """One line a point, as means over runs of steps; a cross where it diverged."""
    metric, looks = figure.metrics[0], _looks(view, frame, figure.color)
    logged = figure.metrics[0].partition(".")[0] not in view.tables
    drawn = []
    for panel, rows in frame.groupby("panel", sort=False):
        series = []
        for _, curve in rows.groupby("name", sort=False):
            line = curve.line.iloc[0]
            known, lost = curve.dropna(subset="y").sort_values("x"), curve[curve.y.isna()]
            x, y = thin(list(known.x), list(known.y), 40 if figure.each is None else 200)
            text = in_words(view, "", curve[figure.label].iloc[0]) if figure.label in curve else ""
            series.append(
                Series(
                    line or view.name(metric),
                    x,
                    y,
                    style=looks[line],
                    marked=len(x) == 1,
                    texts=[""] * (len(x) - 1) + [text],
                    absent=[(float(at), "diverged") for at in lost.x[:1]],
                )
            )
        axis = "optimizer step" if logged else view.axis(figure.x or "x")
        drawn.append(
            Panel(
                str(panel),
                axis,
                view.label(metric),
                series,
                percent=_percent(view, y=metric),
                xlim=(0, 1.07 * max(frame.x.max(), 1)) if logged else None,
            )
        )
    parts = ["means over runs of logged steps"] if logged else []
    parts += [f"numbers: {view.axis(figure.label)}"] if figure.label in frame else []
    gone = frames.absent(view, figure, frame) if logged and figure.each is None else None
    note = _note(view, frame, gone, *parts)
    return panels(drawn, title, note, (2.75, 2.25) if figure.each is None else (3.4, 2.1))


def _reliability(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    drawn = []
    for panel, rows in frame.groupby("panel", sort=False):
        full = rows[rows.n > 0].assign(of="setting", seeds=1, setting="", status="done")
        bars = list(zip(rows.left, rows.width, rows.share, strict=True))
        drawn.append(
            Panel(
                str(panel),
                "predicted probability (%)",
                "observed share (%)",
                _series(full, "observed", category(0)),
                percent="xy",
                xlim=(0, 1),
                ylim=(0, 1),
                identity=True,
                bars=bars,
                bars_label="share of answers in the bin (%)",
            )
        )
    note = f"Bars: {100 * view.level:g} % Wilson intervals; {frame.n.sum():,} answers."
    return panels(drawn, title, note, (2.7, 2.5))


# Kind → its rows, its picture, its caption.
KINDS: dict[str, tuple[Callable[..., pd.DataFrame], Callable[..., Canvas], Callable[..., str]]] = {
    "lines": (frames.of_metrics, _lines, captions.of_lines),
    "bars": (frames.of_metrics, _lines, captions.of_cells),
    "points": (frames.of_pairs, _points, captions.of_points),
    "heatmap": (frames.of_metrics, _heatmap, captions.of_cells),
    "forest": (frames.of_contrasts, _forest, captions.of_forest),
    "curves": (frames.of_curves, _curves, captions.of_curves),
    "reliability": (frames.of_bins, _reliability, captions.of_bins),
}
