"""Learning curves of answers: the loss that train.jsonl logs, in nats a token."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from lib.config.tasks import PointResult
from lib.plotting.figures import panels
from lib.plotting.shapes import Panel, Series, Style, category, thin
from lib.runs.train_log import curve, diverged_at

LOSS = "loss (nats a token)"
FAINT = "#9cc0da"


def learning_curves(points: Sequence[PointResult]) -> Figure:
    """One panel a variant, one line a point: losses of one objective, so on one scale."""
    panels_: dict[str, list[Series]] = {}
    for point in points:
        steps, losses = curve(point)
        broken = diverged_at(point)
        if not steps and broken is None:
            continue
        series = panels_.setdefault(str(point.values.get("variant", "all points")), [])
        own = ", ".join(f"{a} {v}" for a, v in point.values.items() if a != "variant")
        series.append(
            Series(
                own or "training loss",
                *thin(steps, losses, 40),
                style=category(len(series)),
                marked=len(steps) == 1,
                absent=[] if broken is None else [(broken, "diverged")],
            )
        )
    drawn = [Panel(name, "optimizer step", LOSS, series) for name, series in panels_.items()]
    note = "Means over runs of logged steps, at most 40 a line; tokens of the answers alone."
    return panels(drawn, "Training loss of every trained point", note)


def learning_curve(point: PointResult) -> Figure:
    """Every logged loss of a point, means over runs of steps where there are many."""
    steps, losses = curve(point)
    each = Series("each logged step", *thin(steps, losses, 1000), style=Style(FAINT))
    each.marked = len(steps) == 1
    series = [each]
    if len(steps) > 30:
        label = f"mean of {math.ceil(len(steps) / 25)} logged steps"
        series.append(Series(label, *thin(steps, losses, 25), marked=False))
    if (broken := diverged_at(point)) is not None:
        each.absent = [(broken, "diverged")]
    title = f"Training loss: {point.name}" + f" ({point.status})" * (point.status != "done")
    return panels([Panel("", "optimizer step", LOSS, series)], title, size=(3.4, 2.1))


def trained(point: PointResult, key: str) -> list[Series]:
    """One column of a point's log: every logged step faintly, and means where there are many.

    Empty where the column is not there; of the loss an empty series, which may be marked.
    """
    steps, values = curve(point, key)
    if not steps and key != "loss":
        return []
    each = Series("training, each logged step", *thin(steps, values, 1000), style=category(0))
    each.marked = len(steps) == 1
    if len(steps) <= 30:
        return [each]
    each.style = Style(FAINT)
    mean = f"training, mean of {math.ceil(len(steps) / 25)} logged steps"
    return [each, Series(mean, *thin(steps, values, 25), style=category(0), marked=False)]


def validated(point: PointResult, key: str, what: str) -> list[Series]:
    """One column of a point's log that was measured on validation rows, of which it is `what`."""
    steps, values = curve(point, key)
    return [Series(f"validation {what}", steps, values, style=category(1))] if steps else []
