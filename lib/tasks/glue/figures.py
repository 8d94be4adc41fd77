"""Figures of the comparison, composed from the shapes of `lib.plotting.figures`.

Everything is drawn from train.jsonl, the records of training and the tables of
`comparison.tabulate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lib.config.tasks import PointResult
from lib.plotting.figures import panels
from lib.plotting.shapes import Panel, Series, Style, Table, thin
from lib.runs.train_log import curve, diverged_at
from lib.tasks.glue.point_figures import (
    LOSS,
    confusion_figure,
    confusion_table,
    matrix_figure,
    matrix_table,
    point_figures,
)
from lib.tasks.glue.table import GLUE, NAMES, main_set, set_name
from lib.tasks.glue.view import View, rows_note

__all__ = ["comparison_figures", "point_figures"]

VERTICES = 40  # of a learning curve, at most
RANKS = {
    "norm": ("changes", "Size ‖Δ‖ of the adapters' changes"),
    "effective_rank": ("effective_ranks", "Effective rank of the adapters' changes"),
}


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], eval_config: Any
) -> Iterator[tuple[str, Figure]]:
    """Every figure over all points that their numbers allow; `comparison`: the tables."""
    view = View(points, comparison)
    for topic, key in (("learning_curves", "loss"), ("validation_accuracy", "validation_accuracy")):
        if any(curve(point, key)[0] for point in points):
            yield topic, _learning_curves(view, key)
    if any(point["metrics"] for point in comparison["points"].values()):
        yield "accuracy", _accuracy(view)
        if view.standing:
            yield "confusion", _confusion(view)
        timed = [s for s in comparison["settings"] if s["method"] in view.standing]
        if any(s["usage"]["seconds"]["mean"] is not None for s in timed):
            yield "accuracy_time", _accuracy_time(view)
    for task in view.tasks:
        for key, (topic, title) in RANKS.items():
            if drawn := _ranks(view, task, key):
                note = view.note(
                    "correlations ρ with w are Spearman's",
                    "means over seeds" if view.seeds > 1 else "",
                    view.chosen(),
                )
                yield f"{topic}_{task}", matrix_figure(drawn, f"{title}: {NAMES[task]}", note, 2)


def _accuracy(view: View) -> Figure:
    """A panel a dev set: every method with its interval, every seed as a dot."""
    drawn = []
    for one in view.tables["sets"]:
        task, part = one["task"], one["set"]
        series, dots = [], []
        for setting in view.settings(task):
            at, style = view.methods.index(setting["method"]), view.style(setting["method"])
            found = setting["sets"][part]["accuracy"]
            gone = list(dict.fromkeys(s for s in setting["statuses"] if s != "done"))
            look = {"style": style, "joined": False, "absent": [(at, s) for s in gone[:1]]}
            known = found["mean"] is not None
            x, y = ([at], [found["mean"]]) if known else ([], [])
            bars = ([found["low"]], [found["high"]]) if known else ([], [])
            series.append(Series(setting["method"], x, y, *bars, **look))
            every = [value for value in found["values"] if value is not None]
            if len(found["values"]) > 1 and every:
                beside = [at + 0.22] * len(every)
                dot = Style(style.color, ".", filled=False)
                dots.append(Series("each seed", beside, every, style=dot, joined=False))
        panel = Panel(set_name(task, part), "", "accuracy (%)", series + dots, percent="y")
        panel.xticks = {i: _broken(label) for i, label in enumerate(view.methods)}
        panel.xlim = (-0.5, len(view.methods) - 0.3)
        panel.ylim = _limits(series + dots)
        drawn.append(panel)
    note = view.note(
        rows_note(view.tables),
        f"bars: {view.level} intervals of the mean over seeds, for other dev rows",
        "dots: seeds" if view.seeds > 1 else "",
        "panels have scales of their own",
    )
    size = (max(2.4, 0.52 * len(view.methods)), 2.2)
    title = "Accuracy of every method on the published dev sets"
    return panels(drawn, title, note, size, columns=2)


def _limits(series: Sequence[Series]) -> tuple[float, float]:
    """From the least to the greatest of values and intervals, with some room."""
    sides = ((line.y, line.low or (), line.high or ()) for line in series)
    known = [v for side in sides for part in side for v in part if v is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.02
    return max(0.0, low - room), min(1.0, high + room) + 0.001


def _broken(label: str) -> str:
    """A label over several lines: `IW-LoRA`, `α 0.0001`."""
    words = label.split(" ")
    return "\n".join([words[0], *(" ".join(words[i : i + 2]) for i in range(1, len(words), 2))])


def _confusion(view: View) -> Figure:
    """Counts of all seeds together, of the methods that stand for their variants."""
    tables = []
    points = view.tables["points"]
    for one in view.tables["sets"]:
        task, part = one["task"], one["set"]
        for setting in view.settings(task, view.standing):
            found = [points[n]["confusion"].get(part) for n in setting["points"]]
            known = [np.array(counts) for counts in found if counts]
            if known:
                title = f"{set_name(task, part)}: {setting['method']}"
                total = np.sum(known, axis=0).tolist()
                tables.append(confusion_table(title, GLUE[task].labels, total))
    note = view.note("in brackets: rows, summed over seeds" if view.seeds > 1 else
                     "in brackets: rows", view.chosen())  # fmt: skip
    return confusion_figure(tables, "What the methods confuse", note, len(view.standing))


def _learning_curves(view: View, key: str) -> Figure:
    """A panel a task, a line a run, its style the method's; crosses where runs diverged."""
    drawn = []
    label = LOSS if key == "loss" else "accuracy on validation rows (%)"
    for task in view.tasks:
        series = []
        for point in view.points:
            told = view.tables["points"][point.name]
            steps, values = thin(*curve(point, key), VERTICES)
            broken = diverged_at(point)
            if told["task"] != task or not (steps or broken is not None):
                continue
            series.append(
                Series(
                    told["method"],
                    steps,
                    values,
                    style=view.style(told["method"]),
                    marked=key != "loss" or len(steps) == 1,
                    absent=[] if broken is None else [(broken, "diverged")],
                )
            )
        drawn.append(Panel(NAMES[task], "optimizer step", label, series))
        drawn[-1].percent = "" if key == "loss" else "y"
    note = "One line a point" + ("; the term that adapters add is left out." if key == "loss" else
                                 ".")  # fmt: skip
    title = {"loss": "Training loss of every point"}.get(key, "Validation accuracy of every point")
    return panels(drawn, title, note)


def _accuracy_time(view: View) -> Figure:
    """Two panels a task: dev accuracy over training time, and validation accuracy on the way."""
    unit, scale = _unit(view)
    label = f"training time ({unit})"
    ends, ways = [], []
    for task in view.tasks:
        main = main_set(task)
        end = Panel(set_name(task, main), label, "dev accuracy (%)", percent="y")
        way = Panel(f"{NAMES[task]}, on the way", label, "validation accuracy (%)", percent="y")
        for setting in view.settings(task, view.standing):
            style = view.style(setting["method"])
            end.series += _at_the_end(setting, setting["sets"][main]["accuracy"], style, scale)
            way.series += _on_the_way(view, setting, style, scale)
        if end.series:
            end.ylim = _limits(end.series)
            ends.append(end)
        if way.series:
            ways.append(way)
    devices = sorted({p["device"] for p in view.tables["points"].values() if p["device"]})
    note = view.note(
        f"training time without start-up, calibration included, on {', '.join(devices) or '?'}",
        f"bars: {view.level} intervals for other dev rows",
        "dots and lines: seeds" if view.seeds > 1 else "",
        view.chosen(),
    )
    title = "Accuracy against training time"
    return panels(ends + ways, title, note, columns=max(1, len(view.tasks)))


def _at_the_end(
    setting: Mapping[str, Any], accuracy: Mapping[str, Any], style: Style, scale: float
) -> list[Series]:
    """The mean of a setting with its interval, and each seed as a dot."""
    seconds = setting["usage"]["seconds"]
    if accuracy["mean"] is None or seconds["mean"] is None:
        return []
    x, y = [seconds["mean"] / scale], [accuracy["mean"]]
    bars = ([accuracy["low"]], [accuracy["high"]])
    mean = Series(setting["method"], x, y, *bars, style=style, joined=False)
    both = zip(seconds["values"], accuracy["values"], strict=True)
    every = [(s / scale, a) for s, a in both if None not in (s, a)]
    if len(every) < 2:
        return [mean]
    x, y = zip(*every, strict=True)
    dot = Style(style.color, ".", filled=False)
    return [mean, Series("each seed", x, y, style=dot, joined=False)]


def _on_the_way(view: View, setting: Mapping[str, Any], style: Style, scale: float) -> list[Series]:
    """Validation accuracy over the seconds since training began, a line a seed."""
    lines = []
    for point in (p for p in view.points if p.name in setting["points"]):
        before = view.tables["points"][point.name]["usage"]["calibration_seconds"] or 0.0
        found = [
            ((row["seconds"] + before) / scale, row["validation_accuracy"])
            for row in point.train_log or ()
            if None not in (row.get("seconds"), row.get("validation_accuracy"))
        ]
        if found:
            x, y = zip(*found, strict=True)
            lines.append(Series(setting["method"], x, y, style=style))
    return lines


def _unit(view: View) -> tuple[str, float]:
    seconds = [s["usage"]["seconds"]["mean"] for s in view.tables["settings"]]
    longest = max((value for value in seconds if value is not None), default=0.0)
    return ("hours", 3600.0) if longest > 7200 else ("minutes", 60.0) if longest > 120 else ("s", 1)


def _ranks(view: View, task: str, key: str) -> list[Table]:
    """w, and beside it one number of each method's adapters of a task."""
    having = [r for r in view.tables["ranks"] if r["task"] == task and r["method"] in view.standing]
    if not having:
        return []
    first = next((r for r in having if any(m["w"] is not None for m in r["matrices"])), None)
    tables = [matrix_table("importance w", first["matrices"], "w")] if first else []
    for one in having:
        follows = one[f"{key}_follows_w"]
        told = "" if follows is None else f" (ρ = {follows:+.2f})".replace("-", "−")
        tables.append(matrix_table(f"{one['method']}{told}", one["matrices"], key))
    return [table for table in tables if table]
