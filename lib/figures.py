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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

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
    "text.hinting": "none",
    "pdf.fonttype": 3,  # 42 takes three times as long
    "svg.hashsalt": "lossgrid",
}
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.2, 1.2)), (0, (8, 2)))
MARKERS = "os^DvPX*<>"
CATEGORIES = ("#0072B2", "#E69F00", "#882255", "#56B4E9", "#117733", "#CC79A7")
AROUND = ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))  # of a point
ABSENT = {"missing": "o", "partial": "o", "diverged": "x"}  # markers of points without a value
MUTED = "#6f6f6f"


class Style(NamedTuple):
    """How one series looks."""

    color: str | tuple = "black"
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
    texts: Sequence[str] = ()  # beside each point
    absent: Sequence[tuple[float, str]] = ()  # (x, status) of points without a value
    faint: bool = False


@dataclass
class Panel:
    """One pair of axes. `percent`: the axes whose numbers are rates, shown in %."""

    title: str
    xlabel: str
    ylabel: str
    series: list[Series] = field(default_factory=list)
    percent: str = ""  # "", "x", "y" or "xy"
    log2: bool = False
    xticks: Sequence[float] | None = None
    xnames: Sequence[str] | None = None  # of the ticks
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None
    levels: Mapping[str, float] = field(default_factory=dict)  # horizontal reference lines
    identity: bool = False  # the line y = x
    bars: Sequence[tuple[float, float, float]] = ()  # (left, width, height) in the background
    bars_label: str = ""
    remark: str = ""  # text in the upper left corner


@dataclass
class Table:
    """Cells of a heatmap: a number, a status such as "diverged", or None where there is no point."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[float | str | None]]
    texts: Sequence[Sequence[str]] | None = None  # instead of the numbers


def ordinal(i: int, n: int) -> Style:
    """Style i of n ordered things, dark to light."""
    color = colormaps["cividis"](0.82 * i / max(1, n - 1))
    return Style(color, MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])


def category(i: int) -> Style:
    """Style of the i-th of a few unordered things; every other one has open markers."""
    return Style(CATEGORIES[i % len(CATEGORIES)], MARKERS[i % len(MARKERS)],
                 DASHES[i % len(DASHES)], i % 2 == 0)  # fmt: skip


def dodge(i: int, n: int, step: float = 0.09) -> float:
    """Factor on x that sets n series with equal x side by side on a log2 axis, in octaves."""
    return 2 ** (min(step, 0.5 / n) * (i - (n - 1) / 2))


def thin(x: Sequence[float], y: Sequence[float], most: int = 250) -> tuple[list, list]:
    """Means over equal runs of points, so that a curve has at most `most` of them."""
    width = math.ceil(len(x) / most) or 1
    groups = [slice(start, start + width) for start in range(0, len(x), width)]
    return ([sum(x[g]) / len(x[g]) for g in groups], [sum(y[g]) / len(y[g]) for g in groups])


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
    handles = _legend_handles(drawn)
    figure, axes = _canvas(len(drawn), size, title, note, handles, columns)
    for ax, panel in zip(axes, drawn, strict=True):
        _draw_panel(ax, panel)
    for label in {panel.ylabel for panel in drawn if panel.ylim is None}:
        group = [ax for ax, p in zip(axes, drawn, strict=True) if p.ylabel == label and not p.ylim]
        bounds = [ax.get_ylim() for ax in group]
        for ax in group:
            ax.set_ylim(min(b[0] for b in bounds), max(b[1] for b in bounds))
    for ax, panel in zip(axes, drawn, strict=True):
        _place_texts(ax, panel)
    return figure


@_styled
def heatmap(
    tables: Sequence[Table],
    title: str,
    xlabel: str,
    ylabel: str,
    unit: str,
    note: str = "",
    limits: tuple[float, float] | None = None,
    columns: int = 3,
    scale: bool = True,
) -> Figure:
    """Tables of rates in [0, 1] as coloured cells, in % and with their numbers; one colour scale.

    A cell that holds a status is hatched and named; one that holds None is blank, with a dash.
    """
    numbers = [c for t in tables for row in t.cells for c in row if isinstance(c, (int, float))]
    low, high = limits or ((min(numbers), max(numbers)) if numbers else (0.0, 1.0))
    norm = Normalize(low, high if high > low else low + 1e-3)
    widest = max(len(table.columns) for table in tables)
    tallest = max(len(table.rows) for table in tables)
    size = (max(1.5, 0.62 * widest), max(0.9, 0.42 * tallest))
    statuses = any(isinstance(c, str) for t in tables for row in t.cells for c in row)
    if statuses and not note.endswith("."):
        note += "."
    left = 0.45 + 0.065 * max(len(name) for table in tables for name in table.rows)
    figure, axes = _canvas(len(tables), size, title, note, [], columns, left=left,
                           right=0.75 if scale else 0.15)  # fmt: skip
    for ax, table in zip(axes, tables, strict=True):
        _draw_table(ax, table, norm)
        ax.set(title=table.title, xlabel=xlabel, ylabel=ylabel)
    if scale and numbers:
        box = axes[min(len(axes), columns) - 1].get_position()
        width = figure.get_figwidth()
        bar = figure.colorbar(
            ScalarMappable(norm, "cividis"),
            cax=figure.add_axes((box.x1 + 0.1 / width, box.y0, 0.1 / width, box.height)),
            format=FuncFormatter(_percent), ticks=MaxNLocator(5),
        )  # fmt: skip
        bar.set_label(unit)
        bar.ax.grid(False)
    return figure


@_styled
def intervals(
    names: Sequence[str],
    values: Sequence[float | None],
    low: Sequence[float | None],
    high: Sequence[float | None],
    statuses: Sequence[str],
    title: str,
    xlabel: str,
    note: str = "",
) -> Figure:
    """One row a name: a difference in [−1, 1], shown in points of %, with its interval, and 0."""
    height = max(0.8, min(0.15 * len(names), 40))
    left = 0.3 + 0.058 * max(len(name) for name in names)
    figure, (ax,) = _canvas(1, (3.6, height), title, note, [], left=left)
    for i, (value, a, b, status) in enumerate(zip(values, low, high, statuses, strict=True)):
        if value is None:
            text = status if status != "done" else "not measurable"
            ax.text(0, i, text, ha="center", va="center", fontsize=6.5, color=MUTED,
                    style="italic", backgroundcolor="white")  # fmt: skip
            continue
        clear = a is not None and (a > 0 or b < 0)
        if a is not None:
            ax.hlines(i, a, b, color="black", linewidth=1.1)
        ax.plot(value, i, "o", color="black", markersize=4, markerfacecolor="black" if clear
                else "white")  # fmt: skip
    ax.axvline(0, color=MUTED, linewidth=0.8)
    bound = max([abs(v) for v in (*values, *low, *high) if v is not None], default=0.01) * 1.08
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


def _canvas(
    count: int,
    size: tuple[float, float],
    title: str,
    note: str,
    handles: list[Any],
    columns: int = 3,
    left: float = 0.62,
    right: float = 0.15,
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes of `size` inches, title above, legend and note below."""
    across = min(count, columns)
    down = math.ceil(count / across)
    width = max(3.4, left + right + across * size[0] + (across - 1) * left)
    heads = textwrap.wrap(title, int((width - 0.2) * 13))
    notes = [line for part in note.split("\n") for line in textwrap.wrap(part, int(width * 18.5))]
    wide = max((len(handle.get_label()) for handle in handles), default=1) * 0.062 + 0.45
    per_row = max(1, min(len(handles), int((width - 0.1) / wide)))
    legend_rows = math.ceil(len(handles) / per_row) if handles else 0
    top = 0.14 + 0.15 * len(heads) + 0.2
    below = 0.46 + 0.16 * legend_rows + 0.125 * len(notes) + 0.08
    gap = 0.72
    height = top + below + down * size[1] + (down - 1) * gap
    figure = Figure(figsize=(width, height))
    step = size[0] + left
    axes = []
    for i in range(count):
        row, column = divmod(i, across)
        bottom = height - top - (row + 1) * size[1] - row * gap
        axes.append(figure.add_axes(((left + column * step) / width, bottom / height,
                                     size[0] / width, size[1] / height)))  # fmt: skip
    figure.text(0.1 / width, 1 - 0.08 / height, "\n".join(heads), fontsize=9, weight="bold",
                va="top", linespacing=1.15)  # fmt: skip
    if notes:
        figure.text(0.1 / width, 0.06 / height, "\n".join(notes), fontsize=6.5, color="#444444",
                    va="bottom", linespacing=1.2)  # fmt: skip
    if handles:
        figure.legend(
            handles=handles, loc="lower center", ncols=per_row, frameon=False, fontsize=7,
            bbox_to_anchor=(0.5, (0.08 + 0.125 * len(notes)) / height), borderpad=0,
            borderaxespad=0, labelspacing=0.3, columnspacing=1.2, handlelength=2.6,
        )  # fmt: skip
    return figure, axes


def _draw_panel(ax: Axes, panel: Panel) -> None:
    if panel.bars:
        lefts, widths, heights = zip(*panel.bars, strict=True)
        ax.bar(lefts, heights, widths, align="edge", color="#dcdcdc", edgecolor="white",
               linewidth=0.5, zorder=1)  # fmt: skip
    for name, level in panel.levels.items():
        ax.axhline(level, color=MUTED, linewidth=0.8, linestyle=_level_dash(panel, name), zorder=1.5)
    for series in panel.series:
        _draw_series(ax, series)
    ax.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
    if panel.log2:
        ax.set_xscale("log", base=2)
        ax.xaxis.set_minor_locator(NullLocator())
    if panel.xticks is not None:
        ax.xaxis.set_major_locator(FixedLocator(list(panel.xticks)))
        names = list(panel.xnames or (f"{tick:g}" for tick in panel.xticks))
        ax.xaxis.set_major_formatter(FuncFormatter(
            lambda v, i, n=names: n[i] if i is not None and i < len(n) else f"{v:g}"))  # fmt: skip
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    if "x" in panel.percent and panel.xticks is None:
        ax.xaxis.set_major_formatter(FuncFormatter(_percent))
    if "y" in panel.percent:
        ax.yaxis.set_major_formatter(FuncFormatter(_percent))
    if panel.xlim:
        ax.set_xlim(panel.xlim)
    if panel.ylim:
        ax.set_ylim(panel.ylim)
    if panel.identity:
        low = min(ax.get_xlim()[0], ax.get_ylim()[0])
        high = max(ax.get_xlim()[1], ax.get_ylim()[1])
        ax.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=1.5)
        ax.set(xlim=panel.xlim or (low, high), ylim=panel.ylim or (low, high))
    if panel.remark:
        ax.text(0.03, 0.97, panel.remark, transform=ax.transAxes, va="top", fontsize=7,
                linespacing=1.3, zorder=5, bbox={"facecolor": "white", "edgecolor": "none",
                                                 "alpha": 0.8, "pad": 1.5})  # fmt: skip


def _draw_series(ax: Axes, series: Series) -> None:
    style, nan = series.style, float("nan")
    alpha, order = (0.35, 2) if series.faint else (1.0, 3)
    y = [nan if value is None else value for value in series.y]
    for low, high, along in ((series.low, series.high, "y"), (series.x_low, series.x_high, "x")):
        if low is None or high is None:
            continue
        bounds = [(i, a, b) for i, (a, b) in enumerate(zip(low, high, strict=True))
                  if a is not None and b is not None and y[i] == y[i]]  # fmt: skip
        at, starts, ends = zip(*bounds, strict=True) if bounds else ((), (), ())
        if series.band:
            ax.fill_between([series.x[i] for i in at], starts, ends, color=style.color, alpha=0.18,
                            linewidth=0, zorder=1.8)  # fmt: skip
        elif along == "y":
            ax.vlines([series.x[i] for i in at], starts, ends, color=style.color, linewidth=0.9,
                      alpha=0.6 * alpha, zorder=order - 0.5)  # fmt: skip
        else:
            ax.hlines([y[i] for i in at], starts, ends, color=style.color, linewidth=0.9,
                      alpha=0.6 * alpha, zorder=order - 0.5)  # fmt: skip
    ax.plot(series.x, y, **_look(series), alpha=alpha, zorder=order)
    for x, status in series.absent:
        ax.plot([x], [0.03], **_absent_look(status, style.color), clip_on=False, zorder=4,
                transform=ax.get_xaxis_transform())  # fmt: skip


def _look(series: Series) -> dict[str, Any]:
    style = series.style
    return {
        "color": style.color,
        "linestyle": style.dash if series.joined else "none",
        "marker": style.marker if series.marked else "none",
        "markerfacecolor": style.color if style.filled else "white",
        "markeredgecolor": style.color if not style.filled else "white",
        "markeredgewidth": 1.1 if not style.filled else 0.5,
    }


def _absent_look(status: str, color: Any) -> dict[str, Any]:
    return {"linestyle": "none", "marker": ABSENT.get(status, "o"), "markerfacecolor": "white",
            "markeredgecolor": color, "markeredgewidth": 1.2, "markersize": 5}  # fmt: skip


def _legend_handles(drawn: Sequence[Panel]) -> list[Any]:
    """One handle a label, in order of appearance; reference lines and missing points last."""
    found: dict[str, Any] = {}
    for panel in drawn:
        for series in panel.series:
            if series.label and series.label not in found:
                found[series.label] = Line2D([], [], **_look(series), label=series.label)
    for panel in drawn:
        for name in panel.levels:
            found[name] = Line2D([], [], color=MUTED, linewidth=0.8, label=name,
                                 linestyle=_level_dash(panel, name))  # fmt: skip
        if panel.identity:
            found["y = x"] = Line2D([], [], color=MUTED, linewidth=0.8, label="y = x")
        if panel.bars and panel.bars_label:
            found[panel.bars_label] = Patch(facecolor="#dcdcdc", label=panel.bars_label)
        for series in panel.series:
            for _, status in series.absent:
                found[status] = Line2D([], [], **_absent_look(status, MUTED), label=status)
    return list(found.values())


def _level_dash(panel: Panel, name: str) -> Any:
    return ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))[list(panel.levels).index(name) % 3]


def _draw_table(ax: Axes, table: Table, norm: Normalize) -> None:
    colours = colormaps["cividis"]
    for i, row in enumerate(table.cells):
        for j, cell in enumerate(row):
            place = (j - 0.5, i - 0.5)
            if isinstance(cell, str):
                ax.add_patch(Rectangle(place, 1, 1, facecolor="white", edgecolor="#b0b0b0",
                                       hatch="////", linewidth=0))  # fmt: skip
                ax.text(j, i, cell, ha="center", va="center", fontsize=6.5, bbox={
                    "facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
            elif cell is None:
                ax.text(j, i, "–", ha="center", va="center", color=MUTED)
            else:
                face = colours(norm(cell))
                ax.add_patch(Rectangle(place, 1, 1, facecolor=face, edgecolor="white", linewidth=1))
                text = table.texts[i][j] if table.texts else f"{100 * cell:.1f}"
                ax.text(j, i, text, ha="center", va="center", fontsize=7, linespacing=1.3,
                        color="black" if _luminance(face) > 0.42 else "white")  # fmt: skip
    ax.set(xlim=(-0.5, len(table.columns) - 0.5), ylim=(len(table.rows) - 0.5, -0.5))
    ax.set_xticks(range(len(table.columns)), table.columns)
    ax.set_yticks(range(len(table.rows)), table.rows)
    ax.grid(False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _luminance(color: Any) -> float:
    red, green, blue = to_rgb(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _percent(value: float, _: int | None = None) -> str:
    return f"{round(100 * value, 6):g}".replace("-", "−")


def _place_texts(ax: Axes, panel: Panel) -> None:
    """Write the texts beside their points, each where it covers least of what is there already."""
    points = [((x, y), text)
              for series in panel.series
              for x, y, text in zip(series.x, series.y, series.texts, strict=False)
              if text and y is not None]  # fmt: skip
    if not points or len(points) > 80:  # more would only be ink
        return
    unit = 72 / ax.figure.dpi  # work in points: pixels differ between PDF and PNG
    places = [(*(unit * ax.transData.transform(at)), at, text) for at, text in points]
    frame = [unit * edge for edge in ax.get_window_extent().extents]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y, *_ in places]
    for x, y, at, text in places:
        wide, high = 3.6 * len(text) + 1, 7
        best = (math.inf, (0.0, 0.0), frame)
        for reach in (5, 8, 12):
            for right, up in AROUND:
                dx = right * (reach + wide / 2)
                dy = up * (reach if right == 0 else 0.6 * reach)
                box = (x + dx - wide / 2, y + dy - high / 2, x + dx + wide / 2, y + dy + high / 2)
                cost = sum(_overlap(box, other) for other in taken) + 0.05 * reach
                cost += 5 * (wide * high - _overlap(box, frame))
                best = min(best, (cost, (dx, dy), box))
        taken.append(best[2])
        ax.annotate(text, at, best[1], textcoords="offset points", ha="center", va="center",
                    fontsize=6, color="#333333", annotation_clip=False, zorder=5)  # fmt: skip


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)
