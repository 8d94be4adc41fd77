"""Figures of one point: its training, and its accuracy by steps."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from lib.analysis.wording import percent
from lib.config.tasks import PointResult
from lib.plotting.curves import learning_curve
from lib.plotting.figures import panels
from lib.plotting.shapes import Panel, Series


def point_figures(point: PointResult, eval_config: object) -> Iterator[tuple[str, Figure]]:
    """learning_curve, steps: each where the point has what it shows."""
    if point.train_log:
        yield "learning_curve", learning_curve(point)
    if point.status == "done" and point.metrics and point.metrics["by_steps"]:
        yield "steps", _steps(point)


def _steps(point: PointResult) -> Figure:
    """Accuracy over the steps of the gold answer."""
    table = point.metrics["by_steps"]
    rates = [one["accuracy"] for one in table]
    columns = [[rate[key] for rate in rates] for key in ("value", "low", "high")]
    whole = point.metrics["metrics"]["accuracy"]
    panel = Panel(
        "",
        "steps of the gold answer (problems)",
        "accuracy by the last number (%)",
        [Series("accuracy", range(len(table)), *columns, joined=False)],
        percent="y",
        xticks={i: f"{one['steps']}\n({one['rows']})" for i, one in enumerate(table)},
        xlim=(-0.5, len(table) - 0.5),
        ylim=(-0.02, 1.02),
        levels={f"all, {percent(whole['value'])}": [whole["value"]]},
    )
    level = f"{100 * point.metrics['level']:g} %"
    note = f"{point.metrics['rows']:,} test problems; bars: {level} Wilson intervals."
    return panels([panel], f"Accuracy by number of steps: {point.name}", note, (3.4, 2.2))
