"""Figures of one point: its training loss, its decisions, its calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from lib.analysis.wording import percent
from lib.config.tasks import PointResult
from lib.plotting.figures import heatmap, panels
from lib.plotting.shapes import Panel, Series, Style, Table, thin
from lib.tasks.decision.comparison import measured

LOSS = "loss (nats a token, γ included)"


def point_figures(point: PointResult, eval_config: Any) -> Iterator[tuple[str, Figure]]:
    """learning_curve, confusion, reliability: each where the point has what it shows."""
    if point.train_log:
        yield "learning_curve", _learning_curve(point)
    if measured(point):
        yield "confusion", _confusion(point)
        if point.metrics["reliability"]:
            yield "reliability", _reliability(point)


def loss_curve(point: PointResult) -> tuple[list[float], list[float], float | None]:
    """Steps and losses of train.jsonl, and where a diverged run had its first loss that is none."""
    rows = [row for row in point.train_log or () if "step" in row and "loss" in row]
    finite = [row for row in rows if row["loss"] is not None and math.isfinite(row["loss"])]
    lost = [row["step"] for row in rows if row not in finite]
    steps = [row["step"] for row in finite]
    broken = None
    if lost or point.status == "diverged":
        broken = (lost or steps[-1:] or [0])[0]
    return steps, [row["loss"] for row in finite], broken


def _learning_curve(point: PointResult) -> Figure:
    steps, losses, broken = loss_curve(point)
    each = Series("each logged step", *thin(steps, losses, 1000), style=Style("#7fa8c9"))
    each.marked = len(steps) == 1
    series = [each]
    if len(steps) > 30:
        label = f"mean of {math.ceil(len(steps) / 25)} logged steps"
        series.append(Series(label, *thin(steps, losses, 25), marked=False))
    if broken is not None:
        each.absent = [(broken, "diverged")]
    title = f"Training loss: {point.name}" + f" ({point.status})" * (point.status != "done")
    return panels([Panel("", "optimizer step", LOSS, series)], title, size=(3.4, 2.1))


def _confusion(point: PointResult) -> Figure:
    counts = point.metrics["confusion"]
    answers = ["accept", "reject"] + ["unknown"] * bool(point.metrics["unknown"])
    shares, texts = [], []
    for actual in counts.values():
        total = sum(actual.values())
        shares.append([actual[answer] / total if total else None for answer in answers])
        texts.append(
            [f"{actual[a]:,}\n{percent(s)}" for a, s in zip(answers, shares[-1], strict=True)]
        )
    return heatmap(
        [Table("", list(counts), answers, shares, texts)],
        f"Decisions: {point.name}",
        "answer",
        "actual decision",
        note=f"{point.metrics['rows']:,} test papers; shares of each actual decision.",
        limits=(0.0, 1.0),
    )


def _reliability(point: PointResult) -> Figure:
    bins, metrics = point.metrics["reliability"], point.metrics["metrics"]
    full = [row for row in bins if row["n"]]
    keys = ("mean_p", "observed", "observed_low", "observed_high")
    columns = [[row[key] for row in full] for key in keys]
    panel = Panel(
        "",
        "P(accept) (%)",
        "share of accepts (%)",
        [Series("observed", *columns, style=Style("#0072B2"))],
        percent="xy",
        xlim=(0, 1),
        ylim=(0, 1),
        identity=True,
        bars=[
            (row["low"], row["high"] - row["low"], row["n"] / point.metrics["rows"]) for row in bins
        ],
        bars_label="share of papers in the bin (%)",
        remark="\n".join(
            f"{label} {_with_interval(metrics[key])}"
            for key, label in (("ece", "ECE"), ("brier", "Brier"), ("auc", "AUC"))
        ),
    )
    level = f"{100 * point.metrics['level']:g} %"
    note = f"{point.metrics['rows']:,} test papers; bars: {level} Wilson intervals."
    return panels([panel], f"Reliability: {point.name}", note, size=(2.7, 2.5))


def _with_interval(metric: Mapping[str, Any]) -> str:
    if metric["value"] is None:
        return "undefined"
    bounds = f" [{metric['low']:.3f}, {metric['high']:.3f}]" if metric["low"] is not None else ""
    return f"{metric['value']:.3f}{bounds}"
