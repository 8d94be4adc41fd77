"""What a figure is made of, as plain data: series, panels, tables and their styles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from matplotlib import colormaps

COLORS = "cividis"  # rises in lightness, and is the same to colour-blind eyes
CATEGORIES = ("#0072B2", "#E69F00", "#882255", "#56B4E9", "#117733", "#CC79A7")


MARKERS = "os^DvPX*<>"
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.2, 1.2)), (0, (8, 2)))
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
MUTED = "#6f6f6f"
BARS = "#dcdcdc"


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
    small: bool = False  # small pale dots, behind the others
    bar: float = 0.0  # width of bars from 0 to each y
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
    whole: bool = False  # x has ticks at whole numbers alone
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


def thin(x: Sequence[float], y: Sequence[float], most: int) -> tuple[list[float], list[float]]:
    """Means over equal runs of points, so that a curve has at most `most` of them."""
    width = math.ceil(len(x) / most) or 1
    groups = [slice(start, start + width) for start in range(0, len(x), width)]
    return [sum(x[g]) / len(x[g]) for g in groups], [sum(y[g]) / len(y[g]) for g in groups]
