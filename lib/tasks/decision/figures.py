"""Figures of one point and of the comparison, composed from the shapes of `lib.figures`.

Everything is drawn from metrics.json, train.jsonl and the tables of `comparison.tabulate`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
from lib.tasks.decision.comparison import measured
from lib.tasks.decision.criteria import ACCURACY, RATES, absent, percent
from lib.tasks.decision.theory import Cell, cells, lines

GAMMA = "loss weight γ (×, log2 scale)"
METRIC_NAMES = {"accuracy": "accuracy", "acceptance_rate": "acceptance rate", "f1": "F1",
                "precision": "precision of accepts", "recall": "recall of accepts"}  # fmt: skip
METHODS = {"accuracy": "Wilson", "acceptance_rate": "Wilson"}  # the others are bootstrapped


def point_figures(point: PointResult, settings: Any) -> Iterator[tuple[str, Figure]]:
    """learning_curve, confusion, reliability: each where the point has what it shows."""
    if point.train_log:
        yield "learning_curve", _learning_curve(point)
    if measured(point):
        yield "confusion", _confusion(point)
        if point.metrics["reliability"]:
            yield "reliability", _reliability(point)


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], settings: Any
) -> Iterator[tuple[str, Figure]]:
    """Every figure over all points that their numbers allow; `comparison`: the tables."""
    if not points:
        return
    study = _Study(points, comparison)
    if any(point.train_log for point in points):
        yield "learning_curves", _learning_curves(study)
    if not study.present:
        return
    yield "acceptance_rate", _over_gamma(study, "acceptance_rate")
    yield "accuracy", _over_gamma(study, "accuracy")
    yield "precision_recall", _precision_recall(study)
    for metric in METRIC_NAMES:
        yield f"heatmap_{metric}", _heatmap(study, metric)
    if any(table["theory"] for table in comparison["points"].values()):
        yield "theory", _theory(study)
    if comparison["control_curve"]:
        yield "control", _control(study)
        yield "control_difference", _control_difference(study)
    if comparison["truth"]:
        yield "truth", _truth(study)
    if any(point.metrics["by_year"] for point in study.present):
        yield "by_year", _by_year(study)


class _Study:
    """The points with their cells, and the styles that all figures share."""

    def __init__(self, points: Sequence[PointResult], tables: Mapping[str, Any]) -> None:
        self.points = points
        self.tables = tables
        self.by_name = {point.name: point for point in points}
        self.present = [point for point in points if measured(point)]
        self.cells = cells(points)
        self.baseline = tables["baseline"]["name"]
        ratios = sorted({(cell.k, cell.ratio) for cell in self.cells.values()})
        self.ratios = [ratio for _, ratio in ratios]
        weighted = {self.panel(c): None for c in self.cells.values() if c.weighted_class}
        self.panels = list(weighted) or [self.panel(c) for c in self.cells.values()][:1]
        self.gammas = sorted({cell.gamma for cell in self.cells.values()})
        self.seeds = sorted({cell.seed for cell in self.cells.values()})
        self.level = f"{100 * tables['level']:g} %"

    def panel(self, cell: Cell) -> str:
        """The panel a point is drawn in: its variant, and the axes that are not γ, ratio, seed."""
        return ", ".join([cell.variant, *(f"{axis} {value}" for axis, value in cell.rest)])

    def ratio_style(self, ratio: str) -> Style:
        """Ratios are ordered: dark to light."""
        return ordinal(self.ratios.index(ratio), len(self.ratios))

    def point_style(self, name: str) -> Style:
        """Colour and filling tell the variant, the marker the ratio; unweighted points are black."""
        cell = self.cells[name]
        marker = self.ratio_style(cell.ratio).marker
        if cell.weighted_class is None:
            return Style("black", marker)
        return category(self.panels.index(self.panel(cell)))._replace(marker=marker)

    def clouds(self, names: Sequence[str]) -> list[tuple[str, Style, list[str]]]:
        """(label, style, points) of each variant and ratio among `names`, in grid order."""
        groups: dict[str, list[str]] = {}
        for name in names:
            cell = self.cells[name]
            groups.setdefault(f"{self.panel(cell)} {cell.ratio}", []).append(name)
        return [(label, self.point_style(group[0]), group) for label, group in groups.items()]

    def gamma_text(self, name: str) -> str:
        """What stands beside a point."""
        cell = self.cells[name]
        return f"{cell.gamma:g}" if cell.weighted_class else ""

    def note(self, *parts: str) -> str:
        """What the numbers are, and which points have none."""
        seeds = f"{len(self.seeds)} seeds, each drawn" if len(self.seeds) > 1 else ""
        first = "; ".join(part for part in (f"{self.tables['rows']:,} test papers", *parts, seeds)
                          if part) + "."  # fmt: skip
        rest = absent(self.points)
        return first + (f"\nNo value: {rest}." if rest else "")


def _value(point: PointResult, metric: str, key: str = "value") -> float | None:
    return point.metrics["metrics"][metric][key]


def _over_gamma(study: _Study, metric: str) -> Figure:
    """One panel a variant, one line a ratio (and seed)."""
    drawn = []
    actual = _value(study.present[0], "actual_acceptance_rate")
    levels = {f"share of accepts in the test set ({percent(actual)})": actual}
    if metric == "acceptance_rate":
        levels |= {f"{100 * RATES[0]:.0f} % and {100 * RATES[1]:.0f} %": RATES[0], "": RATES[1]}
    else:
        guess = max(actual, 1 - actual)
        levels = {f"one answer for all papers ({percent(guess)})": guess,
                  f"{100 * ACCURACY:.0f} %": ACCURACY}  # fmt: skip
    for panel in study.panels:
        series = []
        for line, names in lines(study.cells).items():
            if study.panel(study.cells[_weighted(names, study.cells)]) != panel:
                continue
            ratio = line[2]
            factor = dodge(study.ratios.index(ratio), len(study.ratios))
            present = [study.by_name[name] for name in names if measured(study.by_name[name])]
            series.append(Series(
                f"accepts : rejects {ratio}",
                [study.cells[p.name].gamma * factor for p in present],
                *([_value(p, metric, key) for p in present] for key in ("value", "low", "high")),
                style=study.ratio_style(ratio),
                absent=[(study.cells[n].gamma * factor, study.by_name[n].status) for n in names
                        if not measured(study.by_name[n])],
            ))  # fmt: skip
        series = series or [_unweighted(study, metric)]
        drawn.append(Panel(
            panel, GAMMA, f"{METRIC_NAMES[metric]} (%)", series, "y", log2=True,
            xticks=study.gammas, xlim=(study.gammas[0] / 1.4, study.gammas[-1] * 1.4),
            ylim=(0, 1) if metric == "acceptance_rate" else None, levels=levels,
        ))  # fmt: skip
    title = f"{METRIC_NAMES[metric].capitalize()} over the loss weight of each variant"
    return panels(drawn, title, study.note(
        f"bars: {study.level} Wilson intervals", "at γ = 1 the unweighted point of the same ratio",
        "lines of one γ are set side by side"))  # fmt: skip


def _weighted(names: Sequence[str], all_cells: Mapping[str, Cell]) -> str:
    return next(name for name in names if all_cells[name].weighted_class)


def _unweighted(study: _Study, metric: str) -> Series:
    """A study without a weighted point has all its points at γ = 1."""
    return Series("unweighted", [1.0] * len(study.present),
                  *([_value(p, metric, key) for p in study.present]
                    for key in ("value", "low", "high")), joined=False)  # fmt: skip


def _cloud_panel(
    study: _Study,
    title: str,
    labels: tuple[str, str],
    places: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
    **panel: Any,
) -> Panel:
    """A scatter of points; places: name → (x, y), each {"value", "low", "high"}."""
    series = []
    usable = [n for n, (x, y) in places.items() if x["value"] is not None and y["value"] is not None]
    for label, style, names in study.clouds(usable):
        x, y = ([places[name][i] for name in names] for i in (0, 1))
        series.append(Series(
            label, [v["value"] for v in x], [v["value"] for v in y], [v["low"] for v in y],
            [v["high"] for v in y], [v["low"] for v in x], [v["high"] for v in x], style,
            joined=False, texts=[study.gamma_text(name) for name in names],
        ))  # fmt: skip
    return Panel(title, *labels, series, **panel)


def _precision_recall(study: _Study) -> Figure:
    places = {p.name: (p.metrics["metrics"]["recall"], p.metrics["metrics"]["precision"])
              for p in study.present}  # fmt: skip
    panel = _cloud_panel(study, "", ("recall of accepts (%)", "precision of accepts (%)"), places,
                         percent="xy")  # fmt: skip
    undefined = [n for n, (_, y) in places.items() if y["value"] is None]
    return panels([panel], "Precision and recall of accepts", study.note(
        f"bars: {study.level} bootstrap intervals", "numbers: γ",
        f"precision undefined, nothing accepted: {', '.join(undefined)}" if undefined else ""),
        size=(4.4, 3.3))  # fmt: skip


def _heatmap(study: _Study, metric: str) -> Figure:
    """γ × ratio, one table a variant; several seeds as mean ± sample deviation."""
    tables = []
    for panel in study.panels:
        names = {n for found in lines(study.cells).values() for n in found
                 if study.panel(study.cells[_weighted(found, study.cells)]) == panel}  # fmt: skip
        names = names or set(study.by_name)
        cells_, texts = [], []
        for ratio in study.ratios:
            row = [_cell([study.by_name[p.name] for p in study.points if p.name in names
                          and (study.cells[p.name].ratio, study.cells[p.name].gamma)
                          == (ratio, gamma)], metric) for gamma in study.gammas]  # fmt: skip
            cells_.append([value for value, _ in row])
            texts.append([text for _, text in row])
        tables.append(Table(panel, study.ratios, [f"{g:g}" for g in study.gammas], cells_, texts))
    name = METRIC_NAMES[metric]
    how = "mean ± sd over seeds" if len(study.seeds) > 1 else f"beneath: {study.level} interval"
    return heatmap(
        tables, f"{name[0].upper() + name[1:]} by loss weight and training ratio",
        "loss weight γ (×)", "accepts : rejects", f"{name} (%)",
        study.note(how + f", {METHODS.get(metric, 'bootstrap')}" * (len(study.seeds) == 1),
                   "–: not in the grid", "at γ = 1 the unweighted point"),
    )  # fmt: skip


def _cell(points: Sequence[PointResult], metric: str) -> tuple[float | str | None, str]:
    """(value | status | None, text) of the points that fall in one cell: one, or one a seed."""
    if not points:
        return None, ""
    values = [_value(p, metric) for p in points if measured(p)]
    known = [value for value in values if value is not None]
    if not known:
        return ("undefined" if values else points[0].status), ""
    mean = sum(known) / len(known)
    text = f"{100 * mean:.1f}"
    if len(points) == 1:
        low, high = _value(points[0], metric, "low"), _value(points[0], metric, "high")
        if low is not None:
            text += f"\n[{100 * low:.0f}, {100 * high:.0f}]"
    else:
        sd = math.sqrt(sum((v - mean) ** 2 for v in known) / (len(known) - 1)) if known[1:] else None
        text += f"\n± {100 * sd:.1f}" if sd is not None else ""
        text += f" ({len(known)})" if len(known) < len(points) else ""
    return mean, text


def _theory(study: _Study) -> Figure:
    """The study's main figure: measured beside expected, as rates and as shifts of the scores."""
    tables = study.tables["points"]
    found = {p.name: tables[p.name]["theory"] for p in study.present if tables[p.name]["theory"]}
    rates = {n: (t["expected_acceptance"], study.by_name[n].metrics["metrics"]["acceptance_rate"])
             for n, t in found.items()}  # fmt: skip
    shifts = {n: ({"value": t["delta"], "low": None, "high": None}, t["logit_shift"])
              for n, t in found.items()}  # fmt: skip
    gaps = [t["acceptance_minus_expected"]["value"] for n, t in found.items() if n != study.baseline]
    line = study.tables["shift_line"]
    remarks = ["", ""]
    if gaps:
        remarks[0] = (f"mean |measured − expected|\n{100 * sum(map(abs, gaps)) / len(gaps):.1f} points "
                      f"over {len(gaps)} points of the grid")  # fmt: skip
    if line["slope"] is not None:
        remarks[1] = f"slope {line['slope']:.2f}"
        if line["low"] is not None:
            remarks[1] += f" [{line['low']:.2f}, {line['high']:.2f}]"
        if line["correlation"] is not None:
            remarks[1] += f"\ncorrelation {line['correlation']:.3f}"
    drawn = [
        _cloud_panel(study, "acceptance rate", ("expected from the baseline's scores (%)",
                     "measured (%)"), rates, percent="xy", identity=True, xlim=(-0.02, 1.02),
                     ylim=(-0.02, 1.02), remark=remarks[0]),
        _cloud_panel(study, "shift of the scores", ("expected shift Δ (logits)",
                     "measured mean shift (logits)"), shifts, identity=True, remark=remarks[1]),
    ]  # fmt: skip
    if line["slope"] is not None:
        ends = sorted(t["delta"] for n, t in found.items() if n != study.baseline)
        ends = [ends[0], ends[-1]]
        drawn[1].series.append(Series(
            "least squares", ends, [line["intercept"] + line["slope"] * x for x in ends],
            style=Style("#882255", dash=(0, (5, 2))), marked=False))  # fmt: skip
    return panels(
        drawn, "Do class weights do what theory says? Shift Δ = change of log γ/k (accept) or "
        "log 1/γk (reject)", study.note(
            f"baseline: {study.baseline}", f"bars: {study.level} intervals (rates: Wilson; shifts: "
            f"paired bootstrap over papers)", "numbers: γ"), size=(2.9, 2.9),
    )  # fmt: skip


def _control(study: _Study) -> Figure:
    """Points over the curve that the baseline draws when its threshold moves."""
    curve = study.tables["control_curve"]
    places = {p.name: (p.metrics["metrics"]["acceptance_rate"], p.metrics["metrics"]["accuracy"])
              for p in study.present}  # fmt: skip
    panel = _cloud_panel(study, "", ("acceptance rate (%)", "accuracy (%)"), places, percent="xy")
    panel.series.insert(0, Series(
        "baseline, threshold moved", curve["acceptance_rate"], curve["accuracy"], curve["low"],
        curve["high"], style=Style("#444444"), marked=False, band=True))  # fmt: skip
    return panels([panel], "Does a weight buy more than a moved threshold?", study.note(
        f"bars: {study.level} Wilson intervals", "band: bootstrap interval of the curve",
        "numbers: γ", "point and curve are paired: see the figure of differences"),
        size=(4.4, 3.0))  # fmt: skip


def _control_difference(study: _Study) -> Figure:
    others = [p for p in study.points if p.name != study.baseline] or list(study.points)
    tables = study.tables["points"]
    found = [(tables[p.name]["control"] or {}).get("accuracy_difference") or {} for p in others]
    tests = [(tables[p.name]["control"] or {}).get("mcnemar") or {} for p in others]
    clear = sum(1 for t in tests if (t.get("p_holm") or 1) < 1 - study.tables["level"])
    return intervals(
        [p.name for p in others], *([f.get(key) for f in found] for key in ("value", "low", "high")),
        [p.status for p in others], "Accuracy of each point minus that of the moved threshold",
        "difference in accuracy at equal acceptance rate (points of %)",
        study.note(f"paired bootstrap intervals, {study.level}", "filled: interval without 0",
                   f"McNemar, Holm-adjusted over {study.tables['families']['control']} points: "
                   f"{clear} significant"),
    )  # fmt: skip


def _truth(study: _Study) -> Figure:
    """Measured beside what a perfect learner would do: only a synthetic corpus can tell."""
    drawn = []
    for metric, expected in (("acceptance_rate", "expected_acceptance"),
                             ("accuracy", "expected_accuracy")):  # fmt: skip
        places = {
            p.name: ({"value": study.tables["points"][p.name]["truth"][expected], "low": None,
                      "high": None}, p.metrics["metrics"][metric]) for p in study.present
        }  # fmt: skip
        limits = {"xlim": (-0.02, 1.02), "ylim": (-0.02, 1.02)} if metric != "accuracy" else {}
        drawn.append(_cloud_panel(study, METRIC_NAMES[metric], ("of a perfect learner (%)",
                                  "measured (%)"), places, percent="xy", identity=True,
                                  **limits))  # fmt: skip
    best = study.tables["truth"]["bayes_accuracy"]
    return panels(drawn, "Measured beside the true log-odds of the synthetic corpus", study.note(
        f"bars: {study.level} Wilson intervals", "numbers: γ",
        f"accuracy of the Bayes rule on these papers: {percent(best)}"), size=(2.9, 2.9))  # fmt: skip


def _by_year(study: _Study) -> Figure:
    """Baseline, least and most accepting point in front, all others faint behind."""
    dated = [point for point in study.present if point.metrics["by_year"]]
    years = sorted({year for point in dated for year in point.metrics["by_year"]})
    by_rate = sorted(dated, key=lambda p: _value(p, "acceptance_rate"))
    front = {by_rate[0].name: "least accepting", by_rate[-1].name: "most accepting"}
    if any(point.name == study.baseline for point in dated):
        front[study.baseline] = "baseline"
    styles = dict(zip(front, (category(0), category(1), Style("black", "D")), strict=False))
    drawn = []
    for metric in ("acceptance_rate", "accuracy"):
        series = []
        for point in sorted(dated, key=lambda p: p.name in front):
            table = point.metrics["by_year"]
            found = [table.get(year, {}).get("metrics", {}).get(metric, {}) for year in years]
            x = [float(i) for i in range(len(years))]
            value = [f.get("value") for f in found]
            if point.name not in front:
                series.append(Series("another point", x, value, marked=False, faint=True,
                                     style=Style("#9a9a9a")))  # fmt: skip
                continue
            shift = 0.12 * (list(front).index(point.name) - 1)
            series.append(Series(
                f"{front[point.name]}: {point.name}", [v + shift for v in x], value,
                [f.get("low") for f in found], [f.get("high") for f in found],
                style=styles[point.name]))  # fmt: skip
        if metric == "acceptance_rate":
            table = dated[0].metrics["by_year"]
            actual = [table.get(year, {}).get("metrics", {}).get("actual_acceptance_rate", {})
                      .get("value") for year in years]  # fmt: skip
            series.append(Series("share of accepts in the test set", list(range(len(years))), actual,
                                 style=Style("#444444", dash=(0, (1, 1.5))), marked=False))  # fmt: skip
        names = [f"{year}\n{dated[0].metrics['by_year'].get(year, {}).get('rows', 0)}"
                 for year in years]  # fmt: skip
        drawn.append(Panel("", "year, and its number of test papers",
                           f"{METRIC_NAMES[metric]} (%)", series, "y", xticks=range(len(years)),
                           xnames=names))  # fmt: skip
    return panels(drawn, "Decisions by year", study.note(
        f"bars: {study.level} Wilson intervals of the years"),
        size=(max(2.75, min(0.35 * len(years), 8)), 2.4))  # fmt: skip


def _curve(point: PointResult) -> tuple[list[float], list[float], float | None]:
    """Steps and finite losses of train.jsonl, and the first step whose loss was not finite."""
    steps, losses, broken = [], [], None
    for row in point.train_log or ():
        if "step" not in row or "loss" not in row:
            continue
        if row["loss"] is None or not math.isfinite(row["loss"]):
            broken = row["step"] if broken is None else broken
            continue
        steps.append(row["step"])
        losses.append(row["loss"])
    if point.status == "diverged" and broken is None and steps:
        broken = steps[-1]
    return steps, losses, broken


def _learning_curve(point: PointResult) -> Figure:
    steps, losses, broken = _curve(point)
    series = [Series("each logged step", *thin(steps, losses, 1000), style=Style("#7fa8c9"),
                     marked=False)]  # fmt: skip
    if len(steps) > 30:
        series.append(Series(f"mean of {math.ceil(len(steps) / 25)} logged steps",
                             *thin(steps, losses, 25), style=Style("black"), marked=False))  # fmt: skip
    if broken is not None:
        series[0].absent = [(broken, "diverged")]
    panel = Panel("", "optimizer step", "training loss (nats a row, weighted)", series)
    status = "" if point.status == "done" else f" ({point.status})"
    return panels([panel], f"Training loss: {point.name}{status}", size=(3.4, 2.1))


def _learning_curves(study: _Study) -> Figure:
    """All points, one panel a variant; one colour a ratio."""
    by_panel: dict[str, list[PointResult]] = {}
    for point in study.points:
        if point.train_log:
            by_panel.setdefault(study.panel(study.cells[point.name]), []).append(point)
    drawn = []
    for name, members in by_panel.items():
        series = []
        for point in members:
            steps, losses, broken = _curve(point)
            cell = study.cells[point.name]
            x, y = thin(steps, losses, 40)
            series.append(Series(
                f"accepts : rejects {cell.ratio}", x, y, style=study.ratio_style(cell.ratio),
                marked=False, texts=[""] * (len(x) - 1) + [study.gamma_text(point.name)],
                absent=[(broken, "diverged")] if broken is not None else []))  # fmt: skip
        drawn.append(Panel(name, "optimizer step", "training loss (nats a row, weighted)", series))
    untrained = [point.name for point in study.points if not point.train_log]
    return panels(drawn, "Training loss of every point", study.note(
        "means over runs of logged steps", "numbers: γ; a larger γ scales the loss itself")
        + (f"\nNo training log: {len(untrained)} points." if untrained else ""))  # fmt: skip


def _confusion(point: PointResult) -> Figure:
    counts = point.metrics["confusion"]
    answers = ["accept", "reject"] + (["unknown"] if point.metrics["unknown"] else [])
    cells_, texts = [], []
    for actual in ("accept", "reject"):
        total = sum(counts[actual].values())
        shares = [counts[actual][answer] / total if total else None for answer in answers]
        cells_.append(shares)
        texts.append([f"{counts[actual][answer]:,}\n{percent(share)}"
                      for answer, share in zip(answers, shares, strict=True)])  # fmt: skip
    return heatmap(
        [Table("", ["accept", "reject"], answers, cells_, texts)], f"Decisions: {point.name}",
        "answer", "actual decision", "share of the row (%)",
        f"{point.metrics['rows']:,} test papers; shares of the actual decision.", (0.0, 1.0),
        scale=False,
    )  # fmt: skip


def _reliability(point: PointResult) -> Figure:
    bins = point.metrics["reliability"]
    full = [row for row in bins if row["n"]]
    total = sum(row["n"] for row in bins)
    series = Series("observed", [row["mean_p"] for row in full], [row["observed"] for row in full],
                    [row["observed_low"] for row in full], [row["observed_high"] for row in full],
                    style=Style("#0072B2"))  # fmt: skip
    metrics = point.metrics["metrics"]
    remark = "\n".join(f"{label} {_interval(metrics[key])}"
                       for key, label in (("ece", "ECE"), ("brier", "Brier"), ("auc", "AUC")))  # fmt: skip
    panel = Panel(
        "", "P(accept) (%)", "share of accepts (%)", [series], "xy", xlim=(0, 1), ylim=(0, 1),
        identity=True, remark=remark,
        bars=[(row["low"], row["high"] - row["low"], row["n"] / total) for row in bins],
        bars_label="share of papers in the bin (%)",
    )  # fmt: skip
    return panels([panel], f"Reliability: {point.name}", f"{total:,} test papers; bars: "
                  f"{100 * point.metrics['level']:g} % Wilson intervals.", size=(2.7, 2.5))  # fmt: skip


def _interval(metric: Mapping[str, Any]) -> str:
    if metric["value"] is None:
        return "undefined"
    text = f"{metric['value']:.3f}"
    return text + (f" [{metric['low']:.3f}, {metric['high']:.3f}]" if metric["low"] is not None else "")


