"""Figures of the comparison, composed from the shapes of `lib.plotting.figures`.

Everything is drawn from metrics.json, train.jsonl and the tables of `comparison.tabulate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from matplotlib.figure import Figure

from lib.analysis.wording import percent
from lib.config.tasks import PointResult
from lib.plotting.figures import heatmap, panels
from lib.plotting.shapes import Panel, Series, Style, Table, category, dodge, thin
from lib.tasks.decision.comparison import measured
from lib.tasks.decision.criteria import ACCURACY, RATES
from lib.tasks.decision.point_figures import LOSS, loss_curve, point_figures
from lib.tasks.decision.theory_figures import (
    control_difference_figure,
    control_figure,
    theory_figure,
    truth_figure,
)
from lib.tasks.decision.view import BOTH, NAMES, View, bounds, value_of

__all__ = ["comparison_figures", "point_figures"]


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], eval_config: Any
) -> Iterator[tuple[str, Figure]]:
    """Every figure over all points that their numbers allow; `comparison`: the tables."""
    if any(point.train_log for point in points):
        yield "learning_curves", _learning_curves(View(points, comparison))
    if not any(measured(point) for point in points):
        return
    view = View(points, comparison)
    yield "acceptance_rate", _over_gamma(view, "acceptance_rate")
    yield "accuracy", _over_gamma(view, "accuracy")
    yield "precision_recall", _precision_recall(view)
    for metric in NAMES:
        yield f"heatmap_{metric}", _heatmap(view, metric)
    if view.table("theory"):
        yield "theory", theory_figure(view)
    if comparison["control_curve"]:
        yield "control", control_figure(view)
        yield "control_difference", control_difference_figure(view)
    if comparison["truth"]:
        yield "truth", truth_figure(view)
    if any(point.metrics["by_year"] for point in view.present):
        yield "by_year", _by_year(view)


# -- comparison ------------------------------------------------------------------------------------


def _over_gamma(view: View, metric: str) -> Figure:
    """One panel a variant, one line a ratio (and seed)."""
    actual = value_of(view.present[0], "actual_acceptance_rate")["value"]
    guess = max(actual, 1 - actual)
    levels: dict[str, Sequence[float]] = {
        f"one answer for all papers ({percent(guess)})": [guess],
        f"criterion ({ACCURACY:.0%})".replace("%", " %"): [ACCURACY],
    }
    if metric == "acceptance_rate":
        levels = {
            f"accepts in the test set ({percent(actual)})": [actual],
            f"criterion ({RATES[0]:.0%} and {RATES[1]:.0%})".replace("%", " %"): RATES,
        }
    frame = {
        "percent": "y",
        "log2": True,
        "xticks": {gamma: f"{gamma:g}" for gamma in view.gammas},
        "xlim": (view.gammas[0] / 1.4, view.gammas[-1] * 1.4),
        "ylim": (0, 1) if metric == "acceptance_rate" else None,
        "levels": levels,
    }
    groups = list(view.lines.values()) or [[name] for name in view.points]
    drawn = []
    for panel, members in view.panels.items():
        series = []
        for names in groups:
            if not set(names) <= set(members):
                continue
            ratio = view.cells[names[-1]].ratio
            beside = dodge(view.ratios.index(ratio), len(view.ratios))
            at = {name: view.cells[name].gamma * beside for name in names}
            points = [view.points[name] for name in names]
            present = [point for point in points if measured(point)]
            line = Series(
                f"accepts : rejects {ratio}",
                [at[point.name] for point in present],
                **bounds([value_of(point, metric) for point in present]),
                style=view.ratio_style(ratio),
                absent=[(at[p.name], p.status) for p in points if p not in present],
            )
            series.append(line)
        label = f"{NAMES[metric]} (%)"
        drawn.append(Panel(panel, "loss weight γ (×, log2 scale)", label, series, **frame))
    note = view.note(
        f"bars: {view.level} Wilson intervals",
        "γ = 1: the unweighted point of the same ratio" if view.lines else "",
        "lines are set side by side" if len(view.ratios) > 1 else "",
    )
    return panels(drawn, f"{_capital(NAMES[metric])} over the loss weight of each variant", note)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _precision_recall(view: View) -> Figure:
    places = {p.name: (value_of(p, "recall"), value_of(p, "precision")) for p in view.present}
    labels = ("recall of accepts (%)", "precision of accepts (%)")
    none = [name for name, (_, precision) in places.items() if precision["value"] is None]
    return panels(
        [view.cloud("", *labels, places, percent="xy")],
        "Precision and recall of accepts",
        view.note(
            f"bars: {view.level} intervals, {BOTH}",
            "numbers: γ",
            f"nothing accepted, so no precision: {', '.join(none)}" if none else "",
        ),
        size=(4.4, 3.3),
    )


def _heatmap(view: View, metric: str) -> Figure:
    """γ × ratio, one table a variant; several seeds as mean ± sample deviation."""
    tables = []
    for panel, members in view.panels.items():
        by_cell: dict[tuple[str, float], list[PointResult]] = {}
        for name in members:
            key = (view.cells[name].ratio, view.cells[name].gamma)
            by_cell.setdefault(key, []).append(view.points[name])
        rows = [
            [_cell(by_cell.get((ratio, gamma), []), metric) for gamma in view.gammas]
            for ratio in view.ratios
        ]
        values = [[value for value, _ in row] for row in rows]
        texts = [[text for _, text in row] for row in rows]
        tables.append(Table(panel, view.ratios, [f"{g:g}" for g in view.gammas], values, texts))
    how = {"accuracy": "Wilson", "acceptance_rate": "Wilson", "f1": "bootstrap"}
    return heatmap(
        tables,
        f"{_capital(NAMES[metric])} by loss weight and training ratio",
        "loss weight γ (×)",
        "accepts : rejects",
        f"{NAMES[metric]} (%)",
        view.note(
            "mean ± sd over seeds"
            if view.seeds > 1
            else f"beneath: {view.level} interval, {how.get(metric, BOTH)}",
            "γ = 1: the unweighted point" if view.lines else "",
            "–: not in the grid",
        ),
    )


def _cell(points: Sequence[PointResult], metric: str) -> tuple[float | str | None, str]:
    """(value | status | None, text) of the points of one cell: one, or one a seed."""
    if not points:
        return None, ""
    found = [value_of(point, metric) for point in points if measured(point)]
    values = [entry["value"] for entry in found if entry["value"] is not None]
    if not values:
        return ("undefined" if found else points[0].status), ""
    text = f"{100 * fmean(values):.1f}"
    if len(points) > 1:
        text += f" ({len(values)}/{len(points)})" if len(values) < len(points) else ""
        text += f"\n± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    elif found[0]["low"] is not None:
        low, high = 100 * found[0]["low"], 100 * found[0]["high"]
        text += f"\n[{low:.0f}, {high:.0f}]" if high - low > 2 else f"\n[{low:.1f}, {high:.1f}]"
    return fmean(values), text


def _by_year(view: View) -> Figure:
    """Baseline, least and most accepting point in front, all others faint behind."""
    dated = [point for point in view.present if point.metrics["by_year"]]
    tables = {point.name: point.metrics["by_year"] for point in dated}
    years = sorted({year for table in tables.values() for year in table})
    by_rate = sorted(dated, key=lambda point: value_of(point, "acceptance_rate")["value"])
    front = {by_rate[-1].name: "most accepting", by_rate[0].name: "least accepting"}
    if view.baseline in tables:
        front[view.baseline] = "baseline"
    styles = dict(zip(front, (category(0), category(1), Style("black", "D")), strict=False))
    places = list(range(len(years)))
    drawn = []
    for metric in ("acceptance_rate", "accuracy"):
        back, fore = [], []
        for name, table in tables.items():
            columns = bounds(
                [table.get(year, {"metrics": {}})["metrics"].get(metric, {}) for year in years]
            )
            if name in front:
                label, style = f"{front[name]}: {name}", styles[name]
                shift = 0.12 * (list(front).index(name) - 1)
                fore.append(Series(label, [x + shift for x in places], **columns, style=style))
            else:
                grey = Style("#9a9a9a")
                line = {"style": grey, "marked": False, "faint": True}
                back.append(Series("each other point", places, columns["y"], **line))
        if metric == "acceptance_rate":
            actual = [tables[dated[0].name].get(year) for year in years]
            share = [a and a["metrics"]["actual_acceptance_rate"]["value"] for a in actual]
            style = Style("#444444", dash=(0, (1, 1.5)))
            fore.append(Series("accepts in the test set", places, share, style=style, marked=False))
        rows = tables[dated[0].name]
        ticks = {i: f"{y}\n{rows[y]['rows'] if y in rows else 0}" for i, y in enumerate(years)}
        frame = {"percent": "y", "xticks": ticks, "xlim": (-0.5, len(years) - 0.5)}
        label = f"{NAMES[metric]} (%)"
        drawn.append(Panel("", "year, and its test papers", label, back + fore, **frame))
    size = (max(2.75, min(0.4 * len(years), 8)), 2.4)
    return panels(
        drawn, "Decisions by year", view.note(f"bars: {view.level} Wilson intervals"), size
    )


def _learning_curves(view: View) -> Figure:
    """All points, one panel a variant; one colour a ratio."""
    by_panel: dict[str, list[Series]] = {}
    for name, point in view.points.items():
        if not point.train_log:
            continue
        cell = view.cells[name]
        steps, losses, broken = loss_curve(point)
        x, y = thin(steps, losses, 40)
        curve = Series(
            f"accepts : rejects {cell.ratio}",
            x,
            y,
            style=view.ratio_style(cell.ratio),
            marked=False,
            texts=[""] * (len(x) - 1) + [view.gamma(name)] * bool(x),
            absent=[] if broken is None else [(broken, "diverged")],
        )
        by_panel.setdefault(view.panel(cell), []).append(curve)
    last = max(
        (curve.x[-1] for curves in by_panel.values() for curve in curves if curve.x), default=1
    )
    frame = {"xlim": (0, 1.07 * last)}
    drawn = [Panel(n, "optimizer step", LOSS, curves, **frame) for n, curves in by_panel.items()]
    bare = sum(not point.train_log for point in view.points.values())
    note = "Means over runs of logged steps; numbers: γ; a larger γ makes the loss itself larger."
    note += f"\nWithout a training log: {bare} of {len(view.points)} points." if bare else ""
    return panels(drawn, "Training loss of every point", note)
