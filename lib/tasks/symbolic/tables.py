"""What the metrics of votes and the columns of further tables are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lib.tasks.symbolic.schema import SETS

if TYPE_CHECKING:
    from lib.config.study import Point

ALL = "all"  # the questions of every set together
HOME, *AWAY = SETS  # trained templates, and the sets that accuracy may not carry over to
# Strategy → what it is called.
STRATEGIES = {"majority": "Majority", "best": "Best by reward", "weighted": "Weighted vote",
              "pass": "Any right"}  # fmt: skip
SHARES = tuple(i / 20 for i in range(21))  # at which quantiles of rewards are given

TABLES = {
    "transfer": {
        "point": "name of the point",
        "set": "test set that accuracy may not carry over to",
        "tuned": "yes of a point that was trained",
        "difference": "greedy accuracy on trained templates minus that on the set",
        "difference_low": "lower end of its interval, templates resampled",
        "difference_high": "upper end of it",
    },
    "unique_answers": {
        "point": "name of the point",
        "answers": "different numbers among the samples of a question",
        "questions": "questions with so many",
        "share": "share of the questions (share)",
    },
    "rewards": {
        "point": "name of the point",
        "right": "yes of right samples, no of wrong ones",
        "samples": "samples of the kind with a reward",
        "mean": "their mean reward",
        "share": "share of them with at most this reward",
        "reward": "that quantile of their rewards",
    },
}


def vote_names(draws: list[int]) -> Iterator[tuple[str, str]]:
    """Name and label of the metrics of votes."""
    for n in draws:
        for strategy, label in STRATEGIES.items():
            yield f"{strategy}_{n}", f"{label} of {n}"
            yield f"{strategy}_{n}_first", f"{label} of the first {n}"
        yield f"first_seen_{n}", f"Majority of the first {n}, ties to the first seen"


def is_tuned(point: Point) -> bool:
    """Whether a point trains, or has an adapter that somebody trained."""
    return point.config.train.epochs > 0 or point.config.model.adapter is not None
