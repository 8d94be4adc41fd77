"""Specs of figures over the tidy tables: each kind as panels or cells, with a caption.

    for drawn in draw(view, figure): save(drawn.figure, path)     one figure
    for shown in draw_files(view, jobs): ...                      many, on every core

Settings are drawn large, with the interval of their mean; where several seeds are behind one, each
is a small dot. Points without a number are marked at the axis, and named below the figure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure as Canvas

from lib.config.figures import Figure
from lib.plotting import captions, cells, frames, marks
from lib.plotting.figures import panels, save
from lib.plotting.shapes import Panel
from lib.plotting.view import View

MOST_PROCESSES = 8  # a login node has others on it

_shared: View  # of a process that draws


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
        view = view.of_point(point)
    rows, picture, caption = KINDS[figure.kind]
    frame = rows(view, figure)
    title = captions.title_of(view, figure) + (f": {view.words(point)}" if point else "")
    if len(frame):
        canvas = picture(view, figure, frame, title)
        yield Drawn(figure.name, canvas, title, caption(view, figure, frame))
    elif point is None and not figure.default:
        blank = Panel("", view.label(figure.metrics[-1]), "", remark="no point has this number")
        canvas = panels([blank], title, captions.EMPTY, size=(3.4, 1.4))
        yield Drawn(figure.name, canvas, title, captions.EMPTY)


class Job(NamedTuple):
    """Figures that are saved side by side: of one point, or of all."""

    figures: Sequence[Figure]
    stem: str  # path that their names are put behind
    point: str | None = None


class Shown(NamedTuple):
    """A saved figure: the path of its PDF and PNG without their endings, and what it shows."""

    name: str
    path: str
    title: str
    caption: str


def draw_files(view: View, jobs: Sequence[Job]) -> Iterator[list[Shown]]:
    """Draw and save the figures of each job; yields what they are, in the order of the jobs.

    In one process a core, up to MOST_PROCESSES: matplotlib holds the interpreter's lock.
    """
    processes = min(len(os.sched_getaffinity(0)), len(jobs), MOST_PROCESSES)
    if processes < 2:
        yield from (_draw_job(view, job) for job in jobs)
        return
    # Forked, so that neither the tables nor the imports are made again.
    context = get_context("fork")
    with ProcessPoolExecutor(processes, context, _share, (view,)) as pool:
        yield from pool.map(_draw_shared, jobs)


def _share(view: View) -> None:
    global _shared
    _shared = view


def _draw_shared(job: Job) -> list[Shown]:
    return _draw_job(_shared, job)


def _draw_job(view: View, job: Job) -> list[Shown]:
    found = []
    for figure in job.figures:
        for drawn in draw(view, figure, job.point):
            save(drawn.figure, f"{job.stem}{drawn.name}")
            found.append(Shown(drawn.name, f"{job.stem}{drawn.name}", drawn.title, drawn.caption))
    return found


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
