"""Figures of the comparison, composed from the shapes of `lib.figures`.

Everything is drawn from metrics.json, train.jsonl and the tables of `comparison.tabulate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from matplotlib.figure import Figure

from lib.figures import (
    Panel,
    Series,
    Style,
    Table,
    category,
    dodge,
    heatmap,
    intervals,
    ordinal,
    panels,
    thin,
)
from lib.tasks import PointResult
from lib.tasks.decision.comparison import entries, measured
from lib.tasks.decision.criteria import ACCURACY, RATES, absent, percent
from lib.tasks.decision.point_figures import LOSS, loss_curve, point_figures
from lib.tasks.decision.theory import Cell, cells, lines

__all__ = ["comparison_figures", "point_figures"]

NAMES = {
    "accuracy": "accuracy",
    "acceptance_rate": "acceptance rate",
    "f1": "F1",
    "precision": "precision of accepts",
    "recall": "recall of accepts",
}
BOTH = "bootstrap (at 0 and 100 % Wilson)"
SQUARE = (2.9, 2.9)
WHOLE = (-0.02, 1.02)  # limits of a rate whose points may lie at 0 and 1


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], settings: Any
) -> Iterator[tuple[str, Figure]]:
    """Every figure over all points that their numbers allow; `comparison`: the tables."""
    if any(point.train_log for point in points):
        yield "learning_curves", _learning_curves(_View(points, comparison))
    if not any(measured(point) for point in points):
        return
    view = _View(points, comparison)
    yield "acceptance_rate", _over_gamma(view, "acceptance_rate")
    yield "accuracy", _over_gamma(view, "accuracy")
    yield "precision_recall", _precision_recall(view)
    for metric in NAMES:
        yield f"heatmap_{metric}", _heatmap(view, metric)
    if view.table("theory"):
        yield "theory", _theory(view)
    if comparison["control_curve"]:
        yield "control", _control(view)
        yield "control_difference", _control_difference(view)
    if comparison["truth"]:
        yield "truth", _truth(view)
    if any(point.metrics["by_year"] for point in view.present):
        yield "by_year", _by_year(view)


class _View:
    """The points of a study with their cells, and the styles that its figures share."""

    def __init__(self, points: Sequence[PointResult], tables: Mapping[str, Any]) -> None:
        self.points = {point.name: point for point in points}
        self.tables = tables
        self.present = [point for point in points if measured(point)]
        self.cells = cells(points)
        self.lines = lines(self.cells)
        self.baseline = tables["baseline"]["name"]
        self.level = f"{100 * tables['level']:g} %"
        ratios = {(cell.k, cell.ratio): None for cell in self.cells.values()}
        self.ratios = [ratio for _, ratio in sorted(ratios)]
        self.gammas = sorted({cell.gamma for cell in self.cells.values()})
        self.seeds = len({cell.seed for cell in self.cells.values()})
        # Panel → names of its points; unweighted points are γ = 1 of the lines that they start.
        self.panels: dict[str, list[str]] = {}
        for names in self.lines.values():
            weighted = next(name for name in names if self.cells[name].weighted_class)
            of_panel = self.panels.setdefault(self.panel(self.cells[weighted]), [])
            of_panel += [name for name in names if name not in of_panel]
        self.panels = self.panels or {"unweighted": list(self.points)}

    def panel(self, cell: Cell) -> str:
        """The panel of a cell: its variant, and the axes that are not γ, ratio or seed."""
        return ", ".join([cell.variant, *(f"{axis} {value}" for axis, value in cell.rest)])

    def ratio_style(self, ratio: str) -> Style:
        """Ratios are ordered: dark to light."""
        return ordinal(self.ratios.index(ratio), len(self.ratios))

    def cloud(
        self,
        title: str,
        xlabel: str,
        ylabel: str,
        places: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
        **panel: Any,
    ) -> Panel:
        """A scatter; places: name → (x, y), each {"value", "low", "high"}; γ beside each point.

        Colour and filling tell the variant, the marker the ratio; unweighted points are black.
        """
        groups: dict[str, list[str]] = {}
        for name, (x, y) in places.items():
            if x["value"] is not None and y["value"] is not None:
                label = f"{self.panel(self.cells[name])} {self.cells[name].ratio}"
                groups.setdefault(label, []).append(name)
        series = []
        for label, names in groups.items():
            cell = self.cells[names[0]]
            style = Style()
            if cell.weighted_class:
                style = category(list(self.panels).index(self.panel(cell)))
            style = style._replace(marker=self.ratio_style(cell.ratio).marker)
            x, y = ([places[name][i] for name in names] for i in (0, 1))
            column = {
                "x": [v["value"] for v in x],
                "y": [v["value"] for v in y],
                "x_low": [v["low"] for v in x],
                "x_high": [v["high"] for v in x],
                "low": [v["low"] for v in y],
                "high": [v["high"] for v in y],
                "texts": [self.gamma(name) for name in names],
            }
            series.append(Series(label, **column, style=style, joined=False))
        return Panel(title, xlabel, ylabel, series, **panel)

    def gamma(self, name: str) -> str:
        """What stands beside a point: nothing where no class is weighted."""
        cell = self.cells[name]
        return f"{cell.gamma:g}" if cell.weighted_class else ""

    def table(self, key: str, others: bool = False) -> dict[str, Any]:
        """See `comparison.entries`."""
        return entries(self.tables, key, others)

    def note(self, *parts: str) -> str:
        """What the numbers are, and which points have none."""
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else ""
        kept = [part for part in (f"{self.tables['rows']:,} test papers", *parts, seeds) if part]
        text = "; ".join(kept) + "."
        rest = absent(self.points.values())
        return f"{text}\nNo value: {rest}." if rest else text


def _metric(point: PointResult, name: str) -> dict[str, Any]:
    return point.metrics["metrics"][name]


def _exact(value: float | None) -> dict[str, Any]:
    """A number without an interval."""
    return {"value": value, "low": None, "high": None}


def _columns(found: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """y, low and high of a Series from {"value", "low", "high"}."""
    keys = {"y": "value", "low": "low", "high": "high"}
    return {column: [entry.get(key) for entry in found] for column, key in keys.items()}


# -- comparison ------------------------------------------------------------------------------------


def _over_gamma(view: _View, metric: str) -> Figure:
    """One panel a variant, one line a ratio (and seed)."""
    actual = _metric(view.present[0], "actual_acceptance_rate")["value"]
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
                **_columns([_metric(point, metric) for point in present]),
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


def _precision_recall(view: _View) -> Figure:
    places = {p.name: (_metric(p, "recall"), _metric(p, "precision")) for p in view.present}
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


def _heatmap(view: _View, metric: str) -> Figure:
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
    found = [_metric(point, metric) for point in points if measured(point)]
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


def _theory(view: _View) -> Figure:
    """The study's main figure: measured beside expected, as rates and as shifts of the scores."""
    found, others = view.table("theory"), view.table("theory", others=True)
    line = view.tables["shift_line"]
    rates = {
        name: (table["expected_acceptance"], _metric(view.points[name], "acceptance_rate"))
        for name, table in found.items()
    }
    shifts = {name: (_exact(table["delta"]), table["logit_shift"]) for name, table in found.items()}
    gaps = [abs(table["acceptance_minus_expected"]["value"]) for table in others.values()]
    missed = (
        f"mean |measured − expected|\n{100 * fmean(gaps):.1f} percentage points" if gaps else ""
    )
    slope = ""
    if line["slope"] is not None:
        slope = f"slope {line['slope']:.3f}"
        slope += f" [{line['low']:.3f}, {line['high']:.3f}]" if line["low"] is not None else ""
        slope += f"\ncorrelation {line['correlation']:.3f}" if line["correlation"] else ""
    labels = ("expected from the baseline's scores (%)", "measured (%)")
    frame = {"percent": "xy", "identity": True, "xlim": WHOLE, "ylim": WHOLE, "remark": missed}
    acceptance = view.cloud("acceptance rate", *labels, rates, **frame)
    labels = ("expected shift Δ (logits)", "measured mean shift (logits)")
    shift = view.cloud("shift of the scores", *labels, shifts, identity=True, remark=slope)
    if slope:
        deltas = [table["delta"] for table in others.values()]
        ends = [min(deltas), max(deltas)]
        fit = [line["intercept"] + line["slope"] * end for end in ends]
        style = Style("#882255", dash=(0, (5, 2)))
        shift.series.append(Series("least squares", ends, fit, style=style, marked=False))
    note = view.note(
        "Δ: change of log γ/k (accept) or log 1/γk (reject) from the baseline, k rejects an accept",
        f"bars: {view.level} intervals (rates: Wilson; shifts: paired bootstrap over papers)",
        "numbers: γ",
    )
    return panels([acceptance, shift], "Do class weights do what theory says?", note, SQUARE)


def _control(view: _View) -> Figure:
    """Points over the curve that the baseline draws when its threshold moves."""
    curve = view.tables["control_curve"]
    places = {p.name: (_metric(p, "acceptance_rate"), _metric(p, "accuracy")) for p in view.present}
    panel = view.cloud("", "acceptance rate (%)", "accuracy (%)", places, percent="xy")
    moved = Series(
        "baseline, threshold moved",
        *(curve[key] for key in ("acceptance_rate", "accuracy", "low", "high")),
        style=Style("#444444"),
        marked=False,
        band=True,
    )
    panel.series.insert(0, moved)
    note = view.note(
        f"bars: {view.level} Wilson intervals",
        f"band: {view.level} bootstrap interval",
        "numbers: γ",
        "point and curve are on the same papers: see the figure of their difference",
    )
    title = "Does a weight buy more than a moved threshold?"
    return panels([panel], title, note, size=(4.4, 3.0))


def _control_difference(view: _View) -> Figure:
    names = [name for name in view.points if name != view.baseline] or list(view.points)
    found = view.table("control")
    rows = [found[name]["accuracy_difference"] if name in found else {} for name in names]
    tests = [
        control["mcnemar"]["p_holm"] for control in view.table("control", others=True).values()
    ]
    clear = sum(p is not None and p < 1 - view.tables["level"] for p in tests)
    statuses = [view.points[name].status for name in names]
    return intervals(
        names,
        *_columns(rows).values(),
        ["not measurable" if status == "done" else status for status in statuses],
        "Accuracy of each point minus that of the baseline with a moved threshold",
        "difference at equal acceptance rate (percentage points)",
        view.note(
            f"bars: {view.level} paired bootstrap intervals",
            "filled: without 0",
            f"McNemar, Holm-adjusted over {view.tables['families']['control']}: {clear} clear",
        ),
    )


def _truth(view: _View) -> Figure:
    """Measured beside what a perfect learner would do: only a synthetic corpus can tell."""
    truth, drawn = view.table("truth"), []
    for metric, expected in (
        ("acceptance_rate", "expected_acceptance"),
        ("accuracy", "expected_accuracy"),
    ):
        places = {
            p.name: (_exact(truth[p.name][expected]), _metric(p, metric)) for p in view.present
        }
        limits = {"xlim": WHOLE, "ylim": WHOLE} if metric == "acceptance_rate" else {}
        frame = {"percent": "xy", "identity": True, **limits}
        labels = ("of a perfect learner (%)", "measured (%)")
        drawn.append(view.cloud(NAMES[metric], *labels, places, **frame))
    note = view.note(
        f"bars: {view.level} Wilson intervals",
        "numbers: γ",
        f"accuracy of the Bayes rule here: {percent(view.tables['truth']['bayes_accuracy'])}",
    )
    title = "Measured beside the true log-odds of the synthetic corpus"
    return panels(drawn, title, note, SQUARE)


def _by_year(view: _View) -> Figure:
    """Baseline, least and most accepting point in front, all others faint behind."""
    dated = [point for point in view.present if point.metrics["by_year"]]
    tables = {point.name: point.metrics["by_year"] for point in dated}
    years = sorted({year for table in tables.values() for year in table})
    by_rate = sorted(dated, key=lambda point: _metric(point, "acceptance_rate")["value"])
    front = {by_rate[-1].name: "most accepting", by_rate[0].name: "least accepting"}
    if view.baseline in tables:
        front[view.baseline] = "baseline"
    styles = dict(zip(front, (category(0), category(1), Style("black", "D")), strict=False))
    places = list(range(len(years)))
    drawn = []
    for metric in ("acceptance_rate", "accuracy"):
        back, fore = [], []
        for name, table in tables.items():
            columns = _columns(
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


def _learning_curves(view: _View) -> Figure:
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
