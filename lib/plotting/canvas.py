"""The page of a figure: its size, its axes, heading above, legend and note below.

All lengths are in inches and fixed beforehand, labels of axes included: a layout engine draws every
figure twice, and a label that looks for its place measures every tick.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lib.plotting.drawing import absent_look, bar_look, level_dashes, look_of
from lib.plotting.shapes import BARS, MUTED, Panel


def page(
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
    notes = [line for part in note.split("\n") for line in _wrap(part, int(18.5 * width))]
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
        ax = figure.add_axes((x / width, y / height, size[0] / width, size[1] / height))
        ax.xaxis.set_label_coords(0.5, -(0.23 + 0.12 * lines) / size[1])
        ax.yaxis.set_label_coords(-(left - 0.2) / size[0], 0.5)
        axes.append(ax)
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


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _legend_columns(handles: Sequence[Any], width: float) -> int:
    """As many columns as fit in `width` inches; matplotlib fills them one after the other."""
    wide = [0.45 + 0.06 * len(handle.get_label()) for handle in handles]
    for count in range(len(handles), 1, -1):
        rows, longer = divmod(len(handles), count)  # the first columns have one row more
        starts = [i * rows + min(i, longer) for i in range(count + 1)]
        if sum(max(wide[a:b]) for a, b in zip(starts, starts[1:], strict=False)) <= width:
            return count
    return 1


def legend_handles(drawn: Sequence[Panel]) -> list[Any]:
    """One handle a label, in order of appearance; reference lines and missing points last."""
    series = [one for panel in drawn for one in panel.series]
    series.sort(key=lambda one: one.small)  # a large mark stands for its small dots too
    handles: list[Any] = [
        Patch(**bar_look(one), label=one.label)
        if one.bar
        else Line2D([], [], **look_of(one), label=one.label)
        for one in series
    ]
    for panel in drawn:
        for dash, name in zip(level_dashes(), panel.levels, strict=False):
            handles.append(Line2D([], [], color=MUTED, linewidth=0.8, linestyle=dash, label=name))
        if panel.identity:
            handles.append(Line2D([], [], color=MUTED, linewidth=0.8, label="y = x"))
        if panel.bars:
            handles.append(Patch(facecolor=BARS, label=panel.bars_label))
        for _, status in (place for series in panel.series for place in series.absent):
            label = f"{'diverged, ' * (status == 'diverged')}no value"
            handles.append(Line2D([], [], **absent_look(status, MUTED), label=label))
    first: dict[str, Any] = {}
    for handle in handles:
        first.setdefault(handle.get_label(), handle)
    if len(first) == 1 and all(panel.ylabel.startswith(next(iter(first))) for panel in drawn):
        return []  # the axis says it
    return list(first.values())
