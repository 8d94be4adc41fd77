"""The few shapes of figure that tasks compose: panels of lines or points, heatmap, intervals.

    panel = Panel("accept", "loss weight γ (×)", "accuracy (%)", [Series("1:2", x, y, low, high)])
    save(panels([panel], "Accuracy over γ", "2,024 papers, 95 % Wilson intervals"), path)

Plain data in, a matplotlib Figure out: no pyplot, no state, no files but in `save`. Rates are given
in [0, 1] and shown in %. All lengths are in inches and fixed beforehand, since matplotlib's own
layout engines draw every figure twice. Every style differs in lightness, marker and dash, so that a
figure reads in grey.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from lib.runs import replacing

RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.titley": 1.02,  # given, so that matplotlib need not look for it
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "text.usetex": False,
    "pdf.fonttype": 3,  # 42 takes three times as long
}
COLORS = "cividis"  # rises in lightness, and is the same to colour-blind eyes
CATEGORIES = ("#0072B2", "#E69F00", "#882255", "#56B4E9", "#117733", "#CC79A7")
MARKERS = "os^DvPX*<>"
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.2, 1.2)), (0, (8, 2)))
MUTED = "#6f6f6f"
BARS = "#dcdcdc"
AROUND = ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))  # of a point


class Style(NamedTuple):
    """How one series looks."""

    color: Any = "black"
    marker: str = "o"
    dash: Any = "-"
    filled: bool = True


@dataclass
class Series:
    """One line, curve or cloud of points; None in y leaves a gap."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None  # interval of y
    high: Sequence[float | None] | None = None
    x_low: Sequence[float | None] | None = None  # interval of x
    x_high: Sequence[float | None] | None = None
    style: Style = Style()
    joined: bool = True  # a line through the points
    marked: bool = True  # a marker at each point
    band: bool = False  # the interval as a band, not as bars
    faint: bool = False
    box: float = 0.0  # width of a box around all points with one x: quartiles and extremes
    texts: Sequence[str] = ()  # beside each point; left out where it would only add clutter
    absent: Sequence[tuple[float, str]] = ()  # (x, status) of points without a value


@dataclass
class Panel:
    """One pair of axes. `percent`: the axes whose numbers are rates, shown in %."""

    title: str
    xlabel: str
    ylabel: str
    series: list[Series] = field(default_factory=list)
    percent: str = ""  # "", "x", "y" or "xy"
    log2: bool = False
    xticks: Mapping[float, str] | None = None  # place → name
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None
    levels: Mapping[str, Sequence[float]] = field(default_factory=dict)  # horizontal lines, by name
    identity: bool = False  # the line y = x
    bars: Sequence[tuple[float, float, float]] = ()  # (left, width, height) in the background
    bars_label: str = ""
    remark: str = ""  # text in the upper left corner


@dataclass
class Table:
    """Cells of a heatmap: a number, a status such as "diverged", or None where no point is."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[float | str | None]]
    texts: Sequence[Sequence[str]] | None = None  # in place of the plain numbers


def ordinal(i: int, n: int) -> Style:
    """Style i of n ordered things, dark to light."""
    color = colormaps[COLORS](0.82 * i / max(1, n - 1))
    return Style(color, MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])


def category(i: int) -> Style:
    """Style of the i-th of a few unordered things; every other one has open markers."""
    color = CATEGORIES[i % len(CATEGORIES)]
    return Style(color, MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)], i % 2 == 0)


def dodge(i: int, n: int) -> float:
    """Factor on x that sets the i-th of n series beside the others on a log2 axis."""
    return 2 ** (min(0.09, 0.5 / n) * (i - (n - 1) / 2))


def thin(x: Sequence[float], y: Sequence[float], most: int) -> tuple[list[float], list[float]]:
    """Means over equal runs of points, so that a curve has at most `most` of them."""
    width = math.ceil(len(x) / most) or 1
    groups = [slice(start, start + width) for start in range(0, len(x), width)]
    return [sum(x[g]) / len(x[g]) for g in groups], [sum(y[g]) / len(y[g]) for g in groups]


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    @wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(RC):
            return draw(*args, **kwargs)

    return styled


@_styled
def panels(
    drawn: Sequence[Panel],
    title: str,
    note: str = "",
    size: tuple[float, float] = (2.75, 2.25),
    columns: int = 3,
) -> Figure:
    """Panels side by side, at most `columns` in a row, with one legend and one note below.

    size: inches of one panel's axes. Panels with the same label of y (and no limits of their own)
    share its limits, so that heights can be compared.
    """
    titles = [panel.title for panel in drawn]
    lines = max(name.count("\n") for p in drawn for name in (p.xticks or {0: ""}).values())
    figure, axes = _canvas(titles, size, title, note, _legend_handles(drawn), columns, lines=lines)
    for ax, panel in zip(axes, drawn, strict=True):
        _draw_panel(ax, panel)
    for label in {panel.ylabel for panel in drawn}:
        free = [ax for ax, p in zip(axes, drawn, strict=True) if p.ylabel == label and not p.ylim]
        bounds = [ax.get_ylim() for ax in free]
        for ax in free:
            ax.set_ylim(min(low for low, _ in bounds), max(high for _, high in bounds))
    for ax, panel in zip(axes, drawn, strict=True):
        _place_texts(ax, panel)
    return figure


@_styled
def heatmap(
    tables: Sequence[Table],
    title: str,
    xlabel: str,
    ylabel: str,
    unit: str = "",
    note: str = "",
    limits: tuple[float, float] | None = None,
    columns: int = 3,
    percent: bool = True,
) -> Figure:
    """Tables of rates in [0, 1] as coloured cells, with their numbers in %; one colour scale.

    A cell that holds a status is hatched and named; one that holds None is blank, with a dash.
    unit: label of the colour bar; without one there is no bar. percent: off where the numbers are
    no rates; then tables bring their texts.
    """
    cells = [cell for table in tables for row in table.cells for cell in row]
    numbers = [cell for cell in cells if isinstance(cell, (int, float))] or [0.0, 1.0]
    low, high = limits or (min(numbers), max(numbers))
    norm = Normalize(low, high) if high > low else Normalize(low - 0.01, low + 0.01)
    widest = max(len(table.columns) for table in tables)
    tallest = max(len(table.rows) for table in tables)
    left = 0.45 + 0.065 * max(len(name) for table in tables for name in table.rows)
    size = (max(2.0, 0.62 * widest), max(0.9, 0.42 * tallest))
    titles = [table.title for table in tables]
    right = 0.85 if unit else 0.15
    lines = max(name.count("\n") for table in tables for name in table.columns)
    figure, axes = _canvas(titles, size, title, note, [], columns, left, right, lines)
    for ax, table in zip(axes, tables, strict=True):
        _draw_table(ax, table, norm)
        ax.set(title=table.title, xlabel=xlabel, ylabel=ylabel)
    if unit:
        box, width = axes[min(len(axes), columns) - 1].get_position(), figure.get_figwidth()
        place = figure.add_axes((box.x1 + 0.1 / width, box.y0, 0.1 / width, box.height))
        bar = figure.colorbar(ScalarMappable(norm, COLORS), cax=place, ticks=MaxNLocator(5))
        if percent:
            bar.ax.yaxis.set_major_formatter(FuncFormatter(_percent))
        bar.set_label(unit)
        place.grid(False)
    return figure


@_styled
def intervals(
    names: Sequence[str],
    values: Sequence[float | None],
    low: Sequence[float | None],
    high: Sequence[float | None],
    absent: Sequence[str],
    title: str,
    xlabel: str,
    note: str = "",
) -> Figure:
    """One row a name: a difference in [−1, 1], in %, with its interval, and a line at 0.

    absent: what stands in a row without a value. A filled marker: the interval excludes 0.
    """
    left = 0.3 + 0.058 * max(len(name) for name in names)
    height = max(0.8, min(0.15 * len(names), 40))
    figure, (ax,) = _canvas([""], (3.6, height), title, note, [], left=left)
    for row, (value, a, b) in enumerate(zip(values, low, high, strict=True)):
        if value is None:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            ax.text(0, row, absent[row], ha="center", va="center", style="italic", bbox=box)
            continue
        filled = a is not None and (a > 0 or b < 0)
        if a is not None:
            ax.hlines(row, a, b, color="black", linewidth=1.1)
        ax.plot(value, row, "ko", markersize=4, markerfacecolor="black" if filled else "white")
    ax.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    bound = 1.08 * max([0.01, *(abs(v) for v in (*values, *low, *high) if v is not None)])
    ax.set(xlim=(-bound, bound), ylim=(len(names) - 0.4, -0.6), xlabel=xlabel)
    ax.set_yticks(range(len(names)), names)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_formatter(FuncFormatter(_percent))
    return figure


def save(figure: Figure, path: str | Path, dpi: int = 150) -> list[Path]:
    """Write `path`.pdf and `path`.png, each atomically; the same figure gives the same bytes."""
    written = []
    with matplotlib.rc_context(RC):
        for kind, undated in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
            target = Path(f"{path}.{kind}")  # not with_suffix: names hold dots, as in gamma0.5
            with replacing(target) as temporary:
                figure.savefig(temporary, format=kind, dpi=dpi, metadata=undated)
            written.append(target)
    return written


# -- page ------------------------------------------------------------------------------------------


def _canvas(
    titles: Sequence[str],
    size: tuple[float, float],
    title: str,
    note: str,
    handles: list[Any],
    columns: int = 3,
    left: float = 0.62,
    right: float = 0.15,
    lines: int = 0,
) -> tuple[Figure, list[Axes]]:
    """A figure with one pair of axes of `size` inches a title; heading above, legend, note below.

    left: inches for the labels of y of each panel; right: inches beside the last one; lines: how
    many more than one the names of ticks have.
    """
    across = min(len(titles), columns)
    down = math.ceil(len(titles) / across)
    width = max(3.4, across * (left + size[0]) + right)
    heads = textwrap.wrap(title, int(13.5 * (width - 0.2)))
    notes = [line for part in note.split("\n") for line in textwrap.wrap(part, int(18.5 * width))]
    across_legend = _legend_columns(handles, width - 0.2)
    legend_rows = math.ceil(len(handles) / across_legend)
    top = 0.16 + 0.15 * len(heads) + (0.2 if any(titles) else 0.02)
    between = (0.72 if any(titles) else 0.6) + 0.12 * lines
    bottom = 0.48 + 0.12 * lines + 0.135 * legend_rows + 0.12 * len(notes) + 0.08
    height = top + down * size[1] + (down - 1) * between + bottom
    figure = Figure(figsize=(width, height))
    axes = []
    for i in range(len(titles)):
        x = left + (i % across) * (left + size[0])
        y = height - top - size[1] - (i // across) * (size[1] + between)
        box = (x / width, y / height, size[0] / width, size[1] / height)
        axes.append(figure.add_axes(box))
    x, y = 0.1 / width, 1 - 0.08 / height
    figure.text(x, y, "\n".join(heads), fontsize=9, weight="bold", va="top", linespacing=1.15)
    figure.text(x, 0.06 / height, "\n".join(notes), fontsize=6.5, color="#444444", linespacing=1.2)
    if handles:
        figure.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, (0.1 + 0.12 * len(notes)) / height),
            ncols=across_legend,
            frameon=False,
            fontsize=7,
            borderpad=0,
            borderaxespad=0,
            labelspacing=0.3,
            columnspacing=1.2,
            handlelength=2.6,
        )
    return figure, axes


def _legend_columns(handles: Sequence[Any], width: float) -> int:
    """As many columns as fit in `width` inches; matplotlib fills them one after the other."""
    wide = [0.45 + 0.06 * len(handle.get_label()) for handle in handles]
    for count in range(len(handles), 1, -1):
        rows, longer = divmod(len(handles), count)  # the first columns have one row more
        starts = [i * rows + min(i, longer) for i in range(count + 1)]
        if sum(max(wide[a:b]) for a, b in zip(starts, starts[1:], strict=False)) <= width:
            return count
    return 1


def _legend_handles(drawn: Sequence[Panel]) -> list[Any]:
    """One handle a label, in order of appearance; reference lines and missing points last."""
    handles = [
        Line2D([], [], **_look(series), label=series.label) for p in drawn for series in p.series
    ]
    for panel in drawn:
        for dash, name in zip(_level_dashes(), panel.levels, strict=False):
            handles.append(Line2D([], [], color=MUTED, linewidth=0.8, linestyle=dash, label=name))
        if panel.identity:
            handles.append(Line2D([], [], color=MUTED, linewidth=0.8, label="y = x"))
        if panel.bars:
            handles.append(Patch(facecolor=BARS, label=panel.bars_label))
        for _, status in (place for series in panel.series for place in series.absent):
            label = f"{status}, no value"
            handles.append(Line2D([], [], **_absent_look(status, MUTED), label=label))
    return list({handle.get_label(): handle for handle in reversed(handles)}.values())[::-1]


# -- panels ----------------------------------------------------------------------------------------


def _draw_panel(ax: Axes, panel: Panel) -> None:
    for left, width, height in panel.bars:
        ax.bar(left, height, width, align="edge", color=BARS, edgecolor="white", zorder=1)
    for dash, levels in zip(_level_dashes(), panel.levels.values(), strict=False):
        for level in levels:
            ax.axhline(level, color=MUTED, linewidth=0.8, linestyle=dash, zorder=1.5)
    for series in panel.series:
        _draw_series(ax, series)
    ax.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
    if panel.log2:
        ax.set_xscale("log", base=2)
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    for axis, letter in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        if letter in panel.percent:
            axis.set_major_formatter(FuncFormatter(_percent))
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
    if panel.remark:
        where = {"transform": ax.transAxes, "va": "top", "zorder": 5, "bbox": box}
        ax.text(0.03, 0.97, panel.remark, fontsize=7, linespacing=1.3, **where)


def _draw_series(ax: Axes, series: Series) -> None:
    color = series.style.color
    alpha, order = (0.35, 2) if series.faint else (1.0, 3)
    bars = {"color": color, "linewidth": 0.9, "alpha": 0.6 * alpha, "zorder": order - 0.5}
    spans = _spans(series.x, series.low, series.high)
    if series.band and spans:
        ax.fill_between(*zip(*spans, strict=True), color=color, alpha=0.18, linewidth=0)
    elif spans:
        ax.vlines(*zip(*spans, strict=True), **bars)
    if spans := _spans(series.y, series.x_low, series.x_high):
        ax.hlines(*zip(*spans, strict=True), **bars)
    y = [math.nan if value is None else value for value in series.y]
    ax.plot(series.x, y, **_look(series), alpha=alpha, zorder=order)
    if series.box:
        _draw_boxes(ax, series)
    foot = ax.get_xaxis_transform()  # on the axis: a place that cannot be read as a value
    for place, status in series.absent:
        look = _absent_look(status, color)
        ax.plot([place], [0], **look, transform=foot, clip_on=False, zorder=4)


def _draw_boxes(ax: Axes, series: Series) -> None:
    """A box from the first to the third quartile of the points at each x, the median across it.

    The quartiles are linear between order statistics; the whiskers reach the extremes.
    """
    edge = {"color": series.style.color, "linewidth": 0.9, "zorder": 2.5}
    for x in dict.fromkeys(series.x):
        found = [y for at, y in zip(series.x, series.y, strict=True) if at == x and y is not None]
        if len(found) < 2:
            continue
        least, first, median, third, most = np.quantile(found, (0, 0.25, 0.5, 0.75, 1))
        corner, height = (x - series.box / 2, first), third - first
        face = {"facecolor": (*to_rgb(series.style.color), 0.15), "edgecolor": series.style.color}
        ax.add_patch(Rectangle(corner, series.box, height, **face, linewidth=0.9, zorder=2.4))
        ax.vlines([x, x], [least, third], [first, most], **edge)
        ax.hlines(median, x - series.box / 2, x + series.box / 2, **edge | {"linewidth": 1.6})


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


def _look(series: Series) -> dict[str, Any]:
    color, marker, dash, filled = series.style
    return {
        "color": color,
        "linestyle": dash if series.joined else "none",
        "marker": marker if series.marked else "none",
        "markerfacecolor": color if filled else "white",
        "markeredgecolor": "white" if filled else color,
        "markeredgewidth": 0.5 if filled else 1.1,
    }


def _absent_look(status: str, color: Any) -> dict[str, Any]:
    marker = "x" if status == "diverged" else "o"
    edge = {"markeredgecolor": color, "markeredgewidth": 1.2, "markersize": 5}
    return {"linestyle": "none", "marker": marker, "markerfacecolor": "white", **edge}


def _level_dashes() -> Iterator[Any]:
    yield from ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))


def _percent(value: float, _: int | None = None) -> str:
    return f"{round(100 * value, 6):g}".replace("-", "−")


# -- heatmap ---------------------------------------------------------------------------------------


def _draw_table(ax: Axes, table: Table, norm: Normalize) -> None:
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
                text = table.texts[i][j] if table.texts else _percent(round(cell, 3))
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


# -- texts beside points ---------------------------------------------------------------------------


def _place_texts(ax: Axes, panel: Panel) -> None:
    """Write texts beside their points, each where it covers least of what is there already."""
    texts = [
        ((x, y), text)
        for series in panel.series
        for x, y, text in zip(series.x, series.y, series.texts, strict=False)
        if text and y is not None
    ]
    if len(texts) > 100:  # they would cover the points
        return
    unit = 72 / ax.figure.dpi  # work in points: pixels differ between PDF and PNG
    places = [unit * ax.transData.transform(at) for at, _ in texts]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    for series in panel.series:
        spans = [((x, a), (x, b)) for x, a, b in _spans(series.x, series.low, series.high)]
        spans += [((a, y), (b, y)) for y, a, b in _spans(series.y, series.x_low, series.x_high)]
        for ends in spans if series.texts else ():
            (left, low), (right, high) = unit * ax.transData.transform(ends)
            taken.append((left - 1, low - 1, right + 1, high + 1))
    frame = unit * ax.get_window_extent().extents
    for (at, text), (x, y) in zip(texts, places, strict=True):
        wide, high = 3.6 * len(text) + 1, 7
        options = []
        for reach in (5, 8, 12):
            for right, up in AROUND:
                dx = right * (reach + wide / 2)
                dy = up * (0.6 * reach if right else reach)
                box = (x + dx - wide / 2, y + dy - high / 2, x + dx + wide / 2, y + dy + high / 2)
                outside = wide * high - _overlap(box, frame)
                cost = sum(_overlap(box, other) for other in taken) + 5 * outside + 0.05 * reach
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
