"""Figures of word problems: rates with their thresholds, both rates, steps, learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lib.analysis.wording import percent
from lib.config.tasks import PointResult
from lib.plotting.curves import learning_curves
from lib.plotting.figures import heatmap, panels
from lib.plotting.shapes import MUTED, Panel, Series, Style, Table, category
from lib.tasks.math.findings import absent, whole
from lib.tasks.math.point_figures import point_figures

__all__ = ["comparison_figures", "point_figures"]

RATES = {"accuracy": "accuracy by the last number (%)", "safety": "answers judged safe (%)"}
WHOLE = (-0.02, 1.02)  # limits of a rate whose points may lie at 0 and 1
MOST = 8  # points whose lines can be told apart; of more there is a heatmap
HALF = 0.36  # of the width of a threshold's mark, in points


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], eval_config: Any
) -> Iterator[tuple[str, Figure]]:
    """rates, plane, steps, learning_curves: each where there is something to show.

    Safety by hazard is drawn by the safety task.
    """
    shown = whole(comparison)
    if any(_known(shown, metric) for metric in ("accuracy", "safety")):
        yield "rates", _rates(shown, comparison)
    if len(_both(shown)) > 0:
        yield "plane", _plane(shown, comparison)
    if found := {name: t["by_steps"] for name, t in shown.items() if t["by_steps"]}:
        yield "steps", _steps(found, shown, comparison)
    trained = [point for point in points if point.train_log and point.status != "partial"]
    if trained:
        yield "learning_curves", learning_curves(trained)


def _known(shown: Mapping[str, Any], metric: str) -> list[str]:
    return [name for name, table in shown.items() if table["metrics"][metric]]


def _both(shown: Mapping[str, Any]) -> list[str]:
    return [name for name in _known(shown, "accuracy") if name in _known(shown, "safety")]


def _styles(shown: Mapping[str, Any]) -> dict[Any, Style]:
    variants = dict.fromkeys(table["variant"] for table in shown.values())
    return {variant: category(i) for i, variant in enumerate(variants)}


def _rates(shown: Mapping[str, Any], comparison: Mapping[str, Any]) -> Figure:
    """One panel a rate: the points along x, with intervals and the marks of their thresholds."""
    limits = {(r["point"], r["metric"]): r["threshold"] for r in comparison["final"]}
    names, styles = list(shown), _styles(shown)
    drawn = []
    for metric, label in RATES.items():
        if not _known(shown, metric):
            continue
        series = []
        for variant, style in styles.items():
            own = [name for name in names if shown[name]["variant"] == variant]
            found = [shown[name]["metrics"][metric] or {} for name in own]
            places = [names.index(name) for name in own]
            missing = [(x, _why(shown[name])) for x, name, rate in zip(places, own, found,
                       strict=True) if not rate]  # fmt: skip
            columns = [[rate.get(key) for rate in found] for key in ("value", "low", "high")]
            series.append(Series(str(variant), places, *columns, style=style, joined=False,
                                 absent=missing))  # fmt: skip
        if metric == "accuracy":
            by_mark = [(shown[name]["metrics"]["accuracy_strict"] or {}).get("value")
                       for name in names]  # fmt: skip
            beside = [place + HALF / 2 for place in range(len(names))]
            look = {"style": Style(MUTED, "1", filled=False), "joined": False}
            series.append(Series("accuracy by #### alone", beside, by_mark, **look))
        if marks := [(i, t) for i, n in enumerate(names) if (t := limits[n, metric]) is not None]:
            x = [place for i, _ in marks for place in (i - HALF, i + HALF, i + HALF)]
            y = [height for _, t in marks for height in (t, t, None)]
            dashed = Style("black", dash=(0, (2, 1)))
            series.append(Series("threshold", x, y, style=dashed, marked=False))
        ticks = {i: name.replace("_", "\n") for i, name in enumerate(names)}
        drawn.append(Panel("", "", label, series, percent="y", xticks=ticks,
                           xlim=(-0.6, len(names) - 0.4), ylim=WHOLE))  # fmt: skip
    bars = f"bars: {_level(comparison)} intervals (accuracy: Wilson's, safety: exact)"
    width = max(2.4, 0.7 * len(names))
    title = "Accuracy and safety of every point"
    return panels(drawn, title, _note(comparison, bars), (width, 2.3), columns=2)


def _plane(shown: Mapping[str, Any], comparison: Mapping[str, Any]) -> Figure:
    """Accuracy along x, safety along y, both with intervals; thresholds as crosses."""
    series = []
    for variant, style in _styles(shown).items():
        own = [name for name in _both(shown) if shown[name]["variant"] == variant]
        x, y = ([shown[n]["metrics"][m] for n in own] for m in ("accuracy", "safety"))
        columns = {
            "x": [rate["value"] for rate in x],
            "y": [rate["value"] for rate in y],
            "low": [rate["low"] for rate in y],
            "high": [rate["high"] for rate in y],
            "x_low": [rate["low"] for rate in x],
            "x_high": [rate["high"] for rate in x],
        }
        # The legend names the variant: what else tells points apart stands beside them.
        rest = [[f"{axis} {value}" for axis, value in shown[n]["values"].items()
                 if axis != "variant"] for n in own]  # fmt: skip
        texts = [", ".join(values) for values in rest] if len(own) > 1 else [""] * len(own)
        if own:
            series.append(Series(str(variant), **columns, texts=texts, style=style, joined=False))
    wanted: dict[str, dict[str, float]] = {}
    for row in comparison["final"]:
        if row["threshold"] is not None:
            wanted.setdefault(str(row["variant"]), {})[row["metric"]] = row["threshold"]
    marks = {v: t for v, t in wanted.items() if {"accuracy", "safety"} <= set(t)}
    if marks:
        places = [[t[metric] for t in marks.values()] for metric in ("accuracy", "safety")]
        look = {"style": Style(MUTED, "+", filled=False), "joined": False}
        series.append(Series("threshold of a variant", *places, texts=list(marks), **look))
    panel = Panel("", RATES["accuracy"], RATES["safety"], series, percent="xy")
    note = _note(comparison, f"crosses: {_level(comparison)} intervals")
    return panels([panel], "Accuracy and safety", note, (3.6, 2.9))


def _steps(
    found: Mapping[str, Any], shown: Mapping[str, Any], comparison: Mapping[str, Any]
) -> Figure:
    """Accuracy over the steps of the gold answer: a line a point, or a heatmap of many."""
    labels = dict.fromkeys(one["steps"] for table in found.values() for one in table)
    order = sorted(labels, key=lambda label: int(label.rstrip("+")))
    tables = {n: {one["steps"]: one["accuracy"] for one in t} for n, t in found.items()}
    counts = {one["steps"]: one["rows"] for table in found.values() for one in table}
    names = [f"{label}\n({counts[label]})" for label in order]
    what = "steps of the gold answer (problems)"
    if len(found) > MOST:
        cells = [[(t.get(s) or {}).get("value") for s in order] for t in tables.values()]
        return heatmap([Table("", list(tables), names, cells)], "Accuracy by number of steps", what,
                       "point", RATES["accuracy"], _note(comparison, judged=False))  # fmt: skip
    series, every = [], list(shown)
    for i, (name, table) in enumerate(tables.items()):
        beside = 0.6 * ((i + 0.5) / len(tables) - 0.5)
        rates = [table.get(label) or {} for label in order]
        columns = [[rate.get(key) for rate in rates] for key in ("value", "low", "high")]
        at = [place + beside for place in range(len(order))]
        series.append(Series(name, at, *columns, style=category(every.index(name))))
    panel = Panel("", what, RATES["accuracy"], series, percent="y", ylim=WHOLE,
                  xticks=dict(enumerate(names)), xlim=(-0.5, len(order) - 0.5))  # fmt: skip
    bars = f"bars: {_level(comparison)} Wilson intervals; points are set side by side"
    note, size = _note(comparison, bars, judged=False), (max(3.2, 0.75 * len(order)), 2.5)
    return panels([panel], "Accuracy by number of steps", note, size)


def _why(table: Mapping[str, Any]) -> str:
    return "not measured" if table["status"] == "done" else table["status"]


def _level(comparison: Mapping[str, Any]) -> str:
    return percent(comparison["level"]).replace(".0", "")


def _note(comparison: Mapping[str, Any], *parts: str, judged: bool = True) -> str:
    """What the numbers are, who judged where that matters, and which points are not shown."""
    safety: Sequence[Any] = [t["safety"] for t in comparison["points"].values() if t["safety"]]
    judges = dict.fromkeys(s["judge"] for s in safety if s.get("judge"))
    told = [f"{comparison['rows']:,} test problems", *parts]
    told += [f"judge: {' and '.join(judges)}"] if judges and judged else []
    text = "; ".join(told) + ". Local rates, not official grades."
    rest = absent(comparison)
    return f"{text}\nWithout a value: {rest}." if rest else text
