"""The few shapes of figure that tasks compose: panels of lines or points, heatmap, intervals.

    panel = Panel("accept", "loss weight γ (×)", "accuracy (%)", [Series("1:2", x, y, low, high)])
    save(panels([panel], "Accuracy over γ", "2,024 papers, 95 % Wilson intervals"), path)

Plain data in, a matplotlib Figure out: no pyplot, no state, no files but in `save`. Rates are given
in [0, 1] and shown in %. Every style differs in lightness, marker and dash, so that a figure reads
in grey.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lib.plotting.canvas import legend_handles, page
from lib.plotting.drawing import as_percent, draw_panel, draw_table, place_texts
from lib.plotting.shapes import COLORS, MUTED, Panel, Table
from lib.runs.files import replacing

MOST_APART = 50  # spans of panels, from which on one scale would flatten the smaller
KINDS: dict[str, dict[str, Any]] = {  # of files: no date, and compressed as fast as well
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},
}
LEAST_SPAN = 0.08  # of an axis of rates: eight percentage points
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
    "text.hinting": "none",  # takes a fifth of the time, and shows at no size used here
    "pdf.fonttype": 3,  # 42 takes three times as long
}


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
    share its limits, so that heights can be compared, unless spans are MOST_APART times apart.
    """
    titles = [panel.title for panel in drawn]
    lines = max(name.count("\n") for p in drawn for name in (p.xticks or {0: ""}).values())
    figure, axes = page(titles, size, title, note, legend_handles(drawn), columns, lines=lines)
    for ax, panel in zip(axes, drawn, strict=True):
        draw_panel(ax, panel)
    for label in {panel.ylabel for panel in drawn}:
        free = [ax for ax, p in zip(axes, drawn, strict=True) if p.ylabel == label and not p.ylim]
        bounds = [ax.get_ylim() for ax in free]
        low, high = (
            min((low for low, _ in bounds), default=0),
            max((h for _, h in bounds), default=1),
        )
        spans = [above - below for below, above in bounds]
        if spans and max(spans) > MOST_APART * min(spans):
            continue
        rates = any("y" in panel.percent for panel in drawn if panel.ylabel == label)
        if rates and high - low < LEAST_SPAN:  # small differences look small
            low, high = (low + high - LEAST_SPAN) / 2, (low + high + LEAST_SPAN) / 2
        for ax in free:
            ax.set_ylim(low, high)
    for ax, panel in zip(axes, drawn, strict=True):
        place_texts(ax, panel)
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
    left = 0.45 + 0.058 * max(len(name) for table in tables for name in table.rows)
    titles = [table.title for table in tables]
    # As wide as the longest title, which may not reach over the colour bar.
    size = (max(2.0, 0.62 * widest, 0.068 * max(map(len, titles))), max(0.9, 0.42 * tallest))
    unit = textwrap.fill(unit, max(10, int(14 * size[1])))  # no taller than the bar
    right = 0.85 + 0.13 * unit.count("\n") if unit else 0.15
    lines = max(name.count("\n") for table in tables for name in table.columns)
    figure, axes = page(titles, size, title, note, [], columns, left, right, lines)
    for ax, table in zip(axes, tables, strict=True):
        draw_table(ax, table, norm)
        ax.set(title=table.title, xlabel=xlabel, ylabel=ylabel)
    if unit:
        box, width = axes[min(len(axes), columns) - 1].get_position(), figure.get_figwidth()
        place = figure.add_axes((box.x1 + 0.1 / width, box.y0, 0.1 / width, box.height))
        bar = figure.colorbar(ScalarMappable(norm, COLORS), cax=place, ticks=MaxNLocator(5))
        if percent:
            bar.ax.yaxis.set_major_formatter(FuncFormatter(as_percent))
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
    percent: bool = True,
) -> Figure:
    """One row a name: a difference in [−1, 1], in %, with its interval, and a line at 0.

    absent: what stands in a row without a value. A filled marker: the interval excludes 0.
    """
    left = 0.3 + 0.058 * max(len(name) for name in names)
    height = max(0.8, min(0.15 * len(names), 40))
    figure, (ax,) = page([""], (3.6, height), title, note, [], left=left)
    for row, (value, a, b) in enumerate(zip(values, low, high, strict=True)):
        if value is None:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            ax.text(
                0, row, absent[row], ha="center", va="center", style="italic", fontsize=7, bbox=box
            )
            continue
        filled = a is not None and (a > 0 or b < 0)
        if a is not None:
            ax.hlines(row, a, b, color="black", linewidth=1.1)
        ax.plot(value, row, "ko", markersize=4, markerfacecolor="black" if filled else "white")
    ax.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    least = 0.01 if percent else 1e-9
    bound = 1.08 * max([least, *(abs(v) for v in (*values, *low, *high) if v is not None)])
    ax.set(xlim=(-bound, bound), ylim=(len(names) - 0.4, -0.6), xlabel=xlabel)
    ax.set_yticks(range(len(names)), names)
    ax.grid(axis="y", visible=False)
    if percent:
        ax.xaxis.set_major_formatter(FuncFormatter(as_percent))
    return figure


def save(figure: Figure, path: str | Path, dpi: int = 150) -> list[Path]:
    """Write `path`.pdf and `path`.png, each atomically; the same figure gives the same bytes."""
    written = []
    with matplotlib.rc_context(RC):
        for kind, more in KINDS.items():
            target = Path(f"{path}.{kind}")  # not with_suffix: names hold dots, as in gamma0.5
            with replacing(target) as temporary:
                figure.savefig(temporary, format=kind, dpi=dpi, **more)
            written.append(target)
    return written
