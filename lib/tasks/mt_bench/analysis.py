"""How MT-Bench is analysed: mean ratings by turn and category, and what failures leave open."""

from __future__ import annotations

from typing import Any

from lib.config.metrics import Analysis, Metric
from lib.config.tasks import Lazy

BOUNDS = (1.0, 10.0)  # of a rating
STEP = 0.05  # between ratings, at the finest; coarser ones are whole multiples of it
RATINGS = {
    "score": ("MT-Bench score", "rating"),
    "score_turn_1": ("MT-Bench score of turn 1", "rating_turn_1"),
    "score_turn_2": ("MT-Bench score of turn 2", "rating_turn_2"),
}
# Exact: what failures leave open is a bound of this test set, no estimate.
LEFT_OPEN = {
    "score_if_failures_were_1": ("MT-Bench score if failures were 1", "lowest"),
    "score_if_failures_were_10": ("MT-Bench score if failures were 10", "highest"),
}
METRICS = (
    *(Metric(name=name, label=label, needs=(outcome,), kind="mean", unit="points", bounds=BOUNDS,
             step=STEP) for name, (label, outcome) in RATINGS.items()),
    Metric(name="parsed", label="Turns with a rating", needs=("rated",), secondary=True),
    *(Metric(name=name, label=label, needs=(outcome,), kind="exact", unit="points", bounds=BOUNDS,
             step=None, secondary=True) for name, (label, outcome) in LEFT_OPEN.items()),
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
        {"lines": "mt_bench.score", "x": "train.beta", "color": "variant"},
        {"heatmap": "mt_bench.score", "x": "variant", "y": "train.beta"},
        {"forest": "mt_bench.score"},
        {
            "bars": ["mt_bench.score_turn_1", "mt_bench.score_turn_2"],
            "x": "category",
            "color": "metric",
            "each": "point",
            "title": "MT-Bench score by category",
            "name": "mt_bench_categories",
        },
    ),
    findings="mt_bench.md.jinja",
)
