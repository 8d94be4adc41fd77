"""What is measured of templated problems: metrics, and the columns of further tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.config.metrics import Metric
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


def metrics(eval_config: Any) -> tuple[Metric, ...]:
    """Of greedy answers, of votes at each number of samples, and of what samples gain.

    `<strategy>_<n>`: the mean over all subsets of n samples, ties in expectation;
    `<strategy>_<n>_first`: of the first n; `first_seen_<n>`: ties to the first seen.
    """
    mean: dict[str, Any] = {"kind": "mean", "step": None}
    gain = {**mean, "bounds": (-1.0, 1.0)}
    count = {"kind": "mean", "unit": "answers", "bounds": (0.0, None), "higher_is_better": None}
    votes = [
        vote
        for n in eval_config.draws
        for vote in (
            *((f"{name}_{n}{end}", f"{label} of {of}{n}") for name, label in STRATEGIES.items()
              for end, of in (("", ""), ("_first", "the first "))),
            (f"first_seen_{n}", f"Majority of the first {n}, ties to the first seen"),
        )
    ]  # fmt: skip
    table: list[tuple[str, str, str, dict[str, Any]]] = [  # name, label, outcome, what else
        ("parsed", "Answers that could be parsed", "parsed", {}),
        ("accuracy", "Greedy accuracy", "correct", {}),
        ("parsed_samples", "Samples that could be parsed", "parsed_samples", {"step": None}),
        ("one_sample", "Accuracy of one sample", "one_sample", {"step": None}),
        *((name, label, name, {"step": None}) for name, label in votes),
        ("chosen_majority", "Majority of all samples", "chosen_majority", {}),
        ("chosen_best", "Best of all samples", "chosen_best", {}),
        ("majority_gain", "Gain of the majority over one sample", "majority_gain", gain),
        ("best_gain", "Gain of best-of-n over the majority", "best_gain", gain),
        ("weighted_gain", "Gain of the weighted vote over one sample", "weighted_gain", gain),
        ("unique", "Unique answers a question", "unique", count),
        ("solvable", "Questions with a right sample", "solvable", {}),
        ("majority_failures", "Majority wrong although a right sample exists", "majority_failed",
         {"higher_is_better": False}),
        ("best_failures", "Best-of-n wrong although a right sample exists", "best_failed",
         {"higher_is_better": False}),
        ("reward_auc", "Probability that a right sample has more reward", "reward_auc", mean),
    ]  # fmt: skip
    return tuple(
        Metric(name=name, label=label, needs=(outcome,), **more)
        for name, label, outcome, more in table
    )


def is_tuned(point: Point) -> bool:
    """Whether a point trains, or has an adapter that somebody trained."""
    return point.config.train.epochs > 0 or point.config.model.adapter is not None
