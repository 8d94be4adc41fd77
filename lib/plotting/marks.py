"""Figures made of marks: lines, bars, points, curves, bins.

A setting is drawn large, with the interval of its mean; where several seeds are behind one, each is
a small dot. Points without a number are marked at the axis, and named below the figure.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from lib.config.figures import Figure
from lib.plotting import captions, frames
from lib.plotting.figures import panels
from lib.plotting.shapes import Panel, Series, Style, category, ordinal, thin
from lib.plotting.view import View, broken, in_words, levels, ordered


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
    if not ranked and len(view.baseline):
        styles[view.baseline.get(color, pd.Series([None])).iloc[0]] = Style()
    shapes = [ordinal(i, 9).marker for i in range(9)]
    forms = dict(zip(levels(frame[marker]), shapes * 9, strict=False)) if marker else {}
    found = {}
    at = frame[color].map({value: i for i, value in enumerate(values)})
    for line, rows in (
        frame.assign(at=at).sort_values("at", kind="stable").groupby("line", sort=False)
    ):
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
            known(dots.x),
            known(dots.y),
            style=style._replace(filled=name == label),
            joined=False,
            small=True,
        )
        for name, dots in small.items()
        if len(dots)
    ]
    ends = {
        f"{prefix}{end}": known(settings[f"{axis}_{end}"])
        for axis, prefix in (("y", ""), ("x", "x_"))
        for end in ("low", "high")
        if f"{axis}_{end}" in settings
    }
    if len(settings):
        found.append(
            Series(
                label,
                known(settings.x),
                known(settings.y),
                style=style,
                **ends,
                **{k: v(settings) if callable(v) else v for k, v in more.items()},
            )
        )
    return found


def known(values: pd.Series) -> list[float | None]:
    """Floats, None where there is none."""
    return [None if pd.isna(value) else float(value) for value in values]


def _percent(view: View, **metrics: str) -> str:
    """The axes, "x" or "y", whose metric is a share."""
    return "".join(axis for axis, metric in metrics.items() if view.unit(metric) == "share")


def _note(view: View, frame: pd.DataFrame, gone: pd.DataFrame | None, *parts: str) -> str:
    """What the marks are, and which points have none."""
    seeds = "seeds" in frame and bool((frame.seeds > 1).any())
    ends = [column for column in ("low", "y_low", "x_low") if column in frame]
    said = []
    if ends and frame[ends].notna().any(axis=None):
        said.append(f"bars: {100 * view.level:g} % intervals over items{' and seeds' * seeds}")
    said += ["small dots: single seeds"] * seeds + [part for part in parts if part]
    text = "; ".join(said)
    lines = [f"{text[0].upper()}{text[1:]}."] if text else []
    lines.append("" if gone is None else captions.missing(view, gone))
    return "\n".join(line for line in lines if line)


def lines(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
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
        if series and x in lost:
            series[-1].absent = [(places[v], s) for v, s in zip(lost[x], lost.status, strict=True)]
        drawn.append(Panel(str(panel), view.axis(x), view.label(metric), series))
    edge = (first / 1.4, last * 1.4) if log else (first - 0.08 * span, last + 0.08 * span)
    ticks = {places[v]: broken(in_words(view, "", v)) for v in values}
    for panel in drawn:
        panel.percent, panel.log2 = _percent(view, y=metric), log
        panel.xticks = ticks if len(ticks) < 13 or not numbers else None
        panel.xlim = edge if numbers else (-0.6, len(values) - 0.4)
        if figure.level is not None:
            panel.levels = {captions.number(figure.level, view.unit(metric)): [figure.level]}
    each = 0.5 if numbers else max(0.7, 0.25 * n if bars else 0)
    wide = max(2.75, min(8.5, each * len(values)))
    beside = "" if bars or n < 2 else "lines are set side by side"
    return panels(drawn, title, _note(view, frame, gone, beside), (wide, 2.25))


def points(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
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
    ends = [known(table[end]) for end in ("low", "high") if end in table]
    label, style = view.name(f"{figure.curve}.{y}"), Style("#444444")
    return [
        Series(label, known(table[x]), known(table[y]), *ends, style=style, marked=False,
               band=True)
    ]  # fmt: skip


def curves(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    """One line a point, as means over runs of steps; a cross where it diverged."""
    metric, looks = figure.metrics[0], _looks(view, frame, figure.color)
    logged = figure.metrics[0].partition(".")[0] not in view.tables
    drawn = []
    for panel, rows in frame.groupby("panel", sort=False):
        series = []
        for _, curve in rows.groupby("name", sort=False):
            line = curve.line.iloc[0]
            known, lost = curve.dropna(subset="y").sort_values("x"), curve[curve.y.isna()]
            most = len(known) if not logged else 40 if figure.each is None else 200
            x, y = thin(list(known.x), list(known.y), max(most, 1))
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
        column = f"{metric.partition('.')[0]}.{figure.x or 'x'}"
        axis = "optimizer step" if logged else view.label(column)
        drawn.append(
            Panel(
                str(panel),
                axis,
                view.label(metric),
                series,
                percent=_percent(view, y=metric),
                whole=logged,
                xlim=(0, 1.07 * max(frame.x.max(), 1)) if logged else None,
            )
        )
    parts = ["means over runs of logged steps"] if logged else []
    parts += [f"numbers: {view.axis(figure.label)}"] if figure.label in frame else []
    gone = frames.absent(view, figure, frame) if logged and figure.each is None else None
    note = _note(view, frame, gone, *parts)
    return panels(drawn, title, note, (2.75, 2.25) if figure.each is None else (3.4, 2.1))


def reliability(view: View, figure: Figure, frame: pd.DataFrame, title: str) -> Canvas:
    """Observed shares over predicted probabilities, with the share of answers in each bin."""
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
