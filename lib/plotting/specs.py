"""Specs of figures over the tidy tables: each kind as panels or cells, with a caption.

    for drawn in draw(view, figure): save(drawn.figure, path)

Settings are drawn large, with the interval of their mean; where several seeds are behind one, each
is a small dot. Points without a number are marked at the axis, and named below the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.figure import Figure as Canvas

from lib.config.figures import Figure
from lib.plotting import captions, cells, frames, marks
from lib.plotting.figures import panels
from lib.plotting.shapes import Panel
from lib.plotting.view import View


@dataclass(frozen=True)
class Drawn:
    """A figure as it is saved: what its file is called, what it says, what it shows in words."""

    name: str
    figure: Canvas
    title: str
    caption: str


def draw(view: View, figure: Figure, point: str | None = None) -> Iterator[Drawn]:
    """The figure of a spec; `point`: of this one alone.

    Without anything to show there is none, but of a study's own figure a blank one that says so.
    """
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
    elif point is None and not figure.default:
        blank = Panel("", view.label(figure.metrics[-1]), "", remark="no point has this number")
        canvas = panels([blank], title, captions.EMPTY, size=(3.4, 1.4))
        yield Drawn(figure.name, canvas, title, captions.EMPTY)


# Kind → its rows, its picture, its caption.
KINDS: dict[str, tuple[Callable[..., pd.DataFrame], Callable[..., Canvas], Callable[..., str]]] = {
    "lines": (frames.of_metrics, marks.lines, captions.of_lines),
    "bars": (frames.of_metrics, marks.lines, captions.of_cells),
    "points": (frames.of_pairs, marks.points, captions.of_points),
    "heatmap": (frames.of_metrics, cells.heatmap, captions.of_cells),
    "forest": (frames.of_contrasts, cells.forest, captions.of_forest),
    "curves": (frames.of_curves, marks.curves, captions.of_curves),
    "reliability": (frames.of_bins, marks.reliability, captions.of_bins),
}
