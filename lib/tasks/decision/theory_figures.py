"""Figures of measurement beside theory, beside a moved threshold, and beside the truth."""

from __future__ import annotations

from statistics import fmean

from matplotlib.figure import Figure

from lib.analysis.wording import percent
from lib.plotting.figures import intervals, panels
from lib.plotting.shapes import Series, Style
from lib.tasks.decision.view import NAMES, SQUARE, WHOLE, View, bounds, exact, value_of


def theory_figure(view: View) -> Figure:
    """The study's main figure: measured beside expected, as rates and as shifts of the scores."""
    found, others = view.table("theory"), view.table("theory", others=True)
    line = view.tables["shift_line"]
    rates = {
        name: (table["expected_acceptance"], value_of(view.points[name], "acceptance_rate"))
        for name, table in found.items()
    }
    shifts = {name: (exact(table["delta"]), table["logit_shift"]) for name, table in found.items()}
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


def control_figure(view: View) -> Figure:
    """Points over the curve that the baseline draws when its threshold moves."""
    curve = view.tables["control_curve"]
    places = {
        p.name: (value_of(p, "acceptance_rate"), value_of(p, "accuracy")) for p in view.present
    }
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


def control_difference_figure(view: View) -> Figure:
    """Each point against the baseline that accepts as many papers: the difference in accuracy."""
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
        *bounds(rows).values(),
        ["not measurable" if status == "done" else status for status in statuses],
        "Accuracy of each point minus that of the baseline with a moved threshold",
        "difference at equal acceptance rate (percentage points)",
        view.note(
            f"bars: {view.level} paired bootstrap intervals",
            "filled: without 0",
            f"McNemar, Holm-adjusted over {view.tables['families']['control']}: {clear} clear",
        ),
    )


def truth_figure(view: View) -> Figure:
    """Measured beside what a perfect learner would do: only a synthetic corpus can tell."""
    truth, drawn = view.table("truth"), []
    for name, expected in (
        ("acceptance_rate", "expected_acceptance"),
        ("accuracy", "expected_accuracy"),
    ):
        places = {p.name: (exact(truth[p.name][expected]), value_of(p, name)) for p in view.present}
        limits = {"xlim": WHOLE, "ylim": WHOLE} if name == "acceptance_rate" else {}
        frame = {"percent": "xy", "identity": True, **limits}
        labels = ("of a perfect learner (%)", "measured (%)")
        drawn.append(view.cloud(NAMES[name], *labels, places, **frame))
    note = view.note(
        f"bars: {view.level} Wilson intervals",
        "numbers: γ",
        f"accuracy of the Bayes rule here: {percent(view.tables['truth']['bayes_accuracy'])}",
    )
    title = "Measured beside the true log-odds of the synthetic corpus"
    return panels(drawn, title, note, SQUARE)
