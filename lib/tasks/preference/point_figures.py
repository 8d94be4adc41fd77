"""Figures of one point: its training, and how far it tells chosen from rejected responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lib.config.tasks import PointResult
from lib.losses import OBJECTIVES, Objective
from lib.plotting.curves import trained, validated
from lib.plotting.figures import panels
from lib.plotting.shapes import MUTED, Panel, Series, Style, category, thin
from lib.runs.train_log import curve, diverged_at
from lib.tasks.preference.evaluate import read_scores
from lib.tasks.preference.measures import measured

SHOWN = (0.005, 0.995)  # quantiles between which margins are drawn
ZERO = Style(MUTED, dash=(0, (4, 2)))


def point_figures(point: PointResult, eval_config: Any) -> Iterator[tuple[str, Figure]]:
    """learning_curve, margins: each where the point has what it shows."""
    if point.train_log:
        yield "learning_curve", _learning_curve(point)
    scores = read_scores(point.predictions or ()) if measured(point) else None
    if scores is not None:
        yield "margins", _margins(point, scores.margins)


def loss_label(objective: Objective) -> str:
    """Axis label of an objective's loss: `loss (nats a pair)`."""
    return f"loss ({objective.unit} a pair)"


def _learning_curve(point: PointResult) -> Figure:
    """Loss, its two terms where there are two, and accuracy; validation where it was taken."""
    objective = OBJECTIVES[point.config.train.objective]
    loss = [*trained(point, "loss"), *validated(point, "validation_loss", "pairs")]
    drawn = [Panel("loss", "optimizer step", loss_label(objective), loss)]
    labels = {"margin_loss": "margin term", **objective.terms}
    terms = [
        Series(label, *thin(*curve(point, key), 60), style=category(i), marked=False)
        for i, (key, label) in enumerate(labels.items(), 2)  # the first: training and validation
        if curve(point, key)[0]
    ]
    if len(terms) > 1:
        drawn.append(Panel("terms of the loss", "optimizer step", "mean (a pair)", terms))
    right = trained(point, "train_accuracy")
    right += validated(point, "validation_accuracy", "pairs")
    if right:
        frame = {"percent": "y", "levels": {"chance": [0.5]}}
        drawn.append(Panel("accuracy", "optimizer step", "accuracy (%)", right, **frame))
    if (broken := diverged_at(point)) is not None:
        for panel in drawn:
            panel.series[0].absent = [(broken, "diverged")]
    title = f"Training: {point.name}" + f" ({point.status})" * (point.status != "done")
    return panels(drawn, title, "Accuracy: share of pairs with ℓ⁺ > ℓ⁻, ties ½.", (2.5, 2.0))


def _margins(point: PointResult, margins: np.ndarray) -> Figure:
    """Histogram and distribution function of ρ over the test pairs."""
    low, high = (float(q) for q in np.quantile(margins, SHOWN))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    shares, edges = np.histogram(margins, bins=30, range=(low, high))
    heights = shares / len(margins)
    bars = [
        (float(a), float(b - a), float(share))
        for a, b, share in zip(edges, edges[1:], heights, strict=False)
    ]
    label = "margin ρ = ℓ⁺ − ℓ⁻ (nats)"
    zero = Series("ρ = 0", [0, 0], [0, float(heights.max())], style=ZERO, marked=False)
    frame = {"percent": "y", "bars": bars, "bars_label": "share of pairs in the bin"}
    xlim = (min(low, 0.0), max(high, 0.0))
    left = Panel("histogram", label, "share of pairs in the bin (%)", [zero], **frame, xlim=xlim)
    x = np.sort(margins)
    share = np.arange(1, len(x) + 1) / len(x)
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), 500)).astype(int))
    line = Series("share of pairs up to ρ", x[keep].tolist(), share[keep].tolist(), marked=False)
    line.style = Style("#0072B2")
    zero = Series("ρ = 0", [0, 0], [0, 1], style=ZERO, marked=False)
    quantiles = point.metrics["margin"]["quantiles"]
    told = "\n".join(f"{100 * float(q):g} %: {v:+.2f}" for q, v in quantiles.items())
    right = Panel(
        "distribution", label, "share of pairs up to ρ (%)", [line, zero], percent="y", xlim=xlim,
        ylim=(0, 1), remark=told.replace("-", "−"),
    )  # fmt: skip
    beyond = int(((margins < low) | (margins > high)).sum())
    found = point.metrics["metrics"]["accuracy"]
    note = (
        f"{len(margins):,} test pairs, β not multiplied in; accuracy {100 * found['value']:.1f} % "
        f"[{100 * found['low']:.1f}, {100 * found['high']:.1f}]: the share right of 0, ties ½."
    )
    note += f" {beyond} pairs lie beyond the axes." if beyond else ""
    return panels([left, right], f"Margins: {point.name}", note, (2.6, 2.2))
