"""How MT-Bench is analysed: mean ratings by turn and category, and the bounds that failures leave."""

from __future__ import annotations

from typing import Any

from lib.analysis.model import Analysis, Metric
from lib.config.tasks import Lazy

SPAN = 9.0  # ratings lie in 1 … 10
STEP = 0.05  # between ratings, at the finest; coarser ones are whole multiples of it
RATINGS = {
    "score": ("MT-Bench score", "rating"),
    "score_turn_1": ("MT-Bench score, turn 1", "rating_turn_1"),
    "score_turn_2": ("MT-Bench score, turn 2", "rating_turn_2"),
}
# Exact: what failures leave open is a bound of this test set, no estimate.
BOUNDS = {
    "score_if_failures_were_1": ("MT-Bench score if failures were 1", "lowest"),
    "score_if_failures_were_10": ("MT-Bench score if failures were 10", "highest"),
}
METRICS = (
    *(Metric(name=name, label=label, needs=(outcome,), kind="mean", unit="points", span=SPAN,
             step=STEP) for name, (label, outcome) in RATINGS.items()),
    Metric(name="rated", label="Turns with a rating", needs=("rated",)),
    *(Metric(name=name, label=label, needs=(outcome,), kind="exact", unit="points", span=SPAN,
             step=None) for name, (label, outcome) in BOUNDS.items()),
)  # fmt: skip


def metrics(eval_config: Any) -> tuple[Metric, ...]:
    """The metrics of MT-Bench, the headline first: means over rated turns, as in FastChat."""
    return METRICS


ANALYSIS = Analysis(
    outcomes=Lazy("lib.tasks.mt_bench.outcomes:outcomes"),
    metrics=metrics,
    slices=("category",),
    point_extras=Lazy("lib.tasks.mt_bench.outcomes:point_extras"),
    figures=(
        {"bars": ["score_turn_1", "score_turn_2"], "x": "category", "color": "metric",
         "each": "point"},
    ),  # fmt: skip
)
