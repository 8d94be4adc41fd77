"""Panels and tables onto matplotlib's axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from lib.plotting.shapes import BARS, COLORS, HATCHES, MARKERS, MUTED, Panel, Series, Table

AROUND = ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))  # of a point


def draw_panel(ax: Axes, panel: Panel) -> None:
    """Everything of a panel but its legend."""
    for left, width, height in panel.bars:
        ax.bar(left, height, width, align="edge", color=BARS, edgecolor="white", zorder=1)
    for dash, levels in zip(level_dashes(), panel.levels.values(), strict=False):
        for level in levels:
            ax.axhline(level, color=MUTED, linewidth=0.8, linestyle=dash, zorder=1.5)
    for series in panel.series:
        _draw_series(ax, series)
    ax.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
    if panel.log2:
        ax.set_xscale("log", base=2)
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=panel.whole))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    for axis, letter in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        if letter in panel.percent:
            axis.set_major_formatter(FuncFormatter(as_percent))
    if panel.xticks is not None:
        ax.xaxis.set_major_locator(FixedLocator(list(panel.xticks)))
        ax.xaxis.set_major_formatter(FixedFormatter(list(panel.xticks.values())))
    ax.set(xlim=panel.xlim, ylim=panel.ylim)
    if panel.identity:
        low = min(ax.get_xlim()[0], ax.get_ylim()[0])
        high = max(ax.get_xlim()[1], ax.get_ylim()[1])
        ax.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=1.5)
        ax.set(xlim=panel.xlim or (low, high), ylim=panel.ylim or (low, high))
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    if not (panel.series or panel.bars):
        ax.set(xticks=[], yticks=[])
    if panel.remark:
        where = {"transform": ax.transAxes, "va": "top", "zorder": 5, "bbox": box}
        ax.text(0.03, 0.97, panel.remark, fontsize=7, linespacing=1.3, **where)


def _draw_series(ax: Axes, series: Series) -> None:
    color = series.style.color
    alpha, order = (0.55, 2.5) if series.small else (1.0, 3)
    bars = {"color": color, "linewidth": 0.9, "alpha": 0.6 * alpha, "zorder": order - 0.5}
    spans = _spans(series.x, series.low, series.high)
    if series.band and spans:
        ax.fill_between(*zip(*spans, strict=True), color=color, alpha=0.18, linewidth=0)
    elif spans:
        dark = {"color": "black", "alpha": 0.8} if series.bar else {}
        ax.vlines(*zip(*spans, strict=True), **bars | dark)
    if across := _spans(series.y, series.x_low, series.x_high):
        ax.hlines(*zip(*across, strict=True), **bars)
    y = [math.nan if value is None else value for value in series.y]
    if series.bar:
        ax.bar(series.x, y, series.bar, **bar_look(series), zorder=1.2)
    else:
        ax.plot(series.x, y, **look_of(series), alpha=alpha, zorder=order)
    foot = ax.get_xaxis_transform()  # on the axis: a place that cannot be read as a value
    for place, status in series.absent:
        look = absent_look(status, MUTED)
        ax.plot([place], [0], **look, transform=foot, clip_on=False, zorder=4)


def _spans(
    at: Sequence[float | None],
    low: Sequence[float | None] | None,
    high: Sequence[float | None] | None,
) -> list[tuple[float, float, float]]:
    """(place, low, high) of the points that have both a place and an interval."""
    return [
        (place, a, b)
        for place, a, b in zip(at, low or at, high or at, strict=True)
        if low and high and None not in (place, a, b)
    ]


def look_of(series: Series) -> dict[str, Any]:
    """Line and marker of a series, as matplotlib's keywords."""
    color, marker, dash, filled = series.style
    return {
        "color": color,
        "linestyle": dash if series.joined else "none",
        "marker": marker if series.marked else "none",
        "markerfacecolor": color if filled else "white",
        "markeredgecolor": "white" if filled else color,
        "markeredgewidth": 0.5 if filled else 1.1,
        **({"markersize": 2.6} if series.small else {}),
    }


def bar_look(series: Series) -> dict[str, Any]:
    """Colour and hatch of bars, as keywords."""
    color, marker, *_ = series.style
    hatch = HATCHES[MARKERS.find(marker) % len(HATCHES)]
    return {"facecolor": color, "alpha": 0.75, "edgecolor": "white", "hatch": hatch}


def absent_look(status: str, color: Any) -> dict[str, Any]:
    """Marker of a point without a value, as keywords: a cross where it diverged."""
    marker = "x" if status == "diverged" else "o"
    edge = {"markeredgecolor": color, "markeredgewidth": 1.2, "markersize": 5}
    return {"linestyle": "none", "marker": marker, "markerfacecolor": "white", **edge}


def level_dashes() -> Iterator[Any]:
    """Dashes of horizontal lines, one after the other."""
    yield from ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))


def as_percent(value: float, _: int | None = None) -> str:
    """A rate in percent, as a tick is labelled: 0.125 → 12.5."""
    return f"{round(100 * value, 6):g}".replace("-", "−")


def draw_table(ax: Axes, table: Table, norm: Normalize) -> None:
    """Cells of a heatmap with their numbers, coloured by `norm`."""
    centred = {"ha": "center", "va": "center", "linespacing": 1.3}
    plain = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    for i, row in enumerate(table.cells):
        for j, cell in enumerate(row):
            square = {"xy": (j - 0.5, i - 0.5), "width": 1, "height": 1}
            if cell is None:
                ax.text(j, i, "–", color=MUTED, **centred)
            elif isinstance(cell, str):
                look = {"facecolor": "white", "edgecolor": "#b0b0b0", "hatch": "////"}
                ax.add_patch(Rectangle(**square, **look, linewidth=0))
                ax.text(j, i, cell, fontsize=6.5, bbox=plain, **centred)
            else:
                face = colormaps[COLORS](norm(cell))
                ax.add_patch(Rectangle(**square, facecolor=face, edgecolor="white", linewidth=1))
                text = table.texts[i][j] if table.texts else as_percent(round(cell, 3))
                ink = "black" if _luminance(face) > 0.5 else "white"
                ax.text(j, i, text, fontsize=7, color=ink, **centred)
    ax.set(xlim=(-0.5, len(table.columns) - 0.5), ylim=(len(table.rows) - 0.5, -0.5))
    ax.set_xticks(range(len(table.columns)), table.columns)
    ax.set_yticks(range(len(table.rows)), table.rows)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _luminance(color: Any) -> float:
    red, green, blue = to_rgb(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def place_texts(ax: Axes, panel: Panel) -> None:
    """Write texts beside their points, each where it covers least of what is there already."""
    texts = [
        ((x, y), text, series.joined)
        for series in panel.series
        for x, y, text in zip(series.x, series.y, series.texts, strict=False)
        if text and y is not None
    ]
    if len(texts) > 100:  # they would cover the points
        return
    unit = 72 / ax.figure.dpi  # work in points: pixels differ between PDF and PNG
    places = [unit * ax.transData.transform(at) for at, *_ in texts]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    for series in panel.series:
        spans = [((x, a), (x, b)) for x, a, b in _spans(series.x, series.low, series.high)]
        spans += [((a, y), (b, y)) for y, a, b in _spans(series.y, series.x_low, series.x_high)]
        for ends in spans if series.texts else ():
            (left, low), (right, high) = unit * ax.transData.transform(ends)
            taken.append((left - 1, low - 1, right + 1, high + 1))
    frame = unit * ax.get_window_extent().extents
    for (at, text, joined), (x, y) in zip(texts, places, strict=True):
        wide, high = 3.6 * len(text) + 1, 7
        options = []
        for reach in (5, 8, 12):
            for right, up in AROUND:
                dx = right * (reach + wide / 2)
                dy = up * (0.6 * reach if right else reach)
                box = (x + dx - wide / 2, y + dy - high / 2, x + dx + wide / 2, y + dy + high / 2)
                outside = wide * high - _overlap(box, frame)
                cost = sum(_overlap(box, other) for other in taken) + 5 * outside + 0.05 * reach
                if joined and right < 1:  # the line comes from the left, beneath the text
                    cost += 0.2 * wide * high
                options.append((cost, (dx, dy), box))
        cost, offset, box = min(options)
        if cost > 0.3 * wide * high:
            continue
        taken.append(box)
        middle = {"ha": "center", "va": "center", "color": "#333333", "zorder": 5}
        ax.annotate(text, at, offset, textcoords="offset points", fontsize=6, **middle)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)
