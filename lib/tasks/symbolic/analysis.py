"""How answers and samples of templated problems are analysed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.config.metrics import Analysis, Metric, Pair
from lib.config.tasks import Lazy
from lib.tasks.symbolic.tables import ALL, TABLES, is_tuned, vote_names

if TYPE_CHECKING:
    import pandas as pd

    from lib.config.study import Point, Study

FAMILY = "same model"  # tuned settings against the base model that they were tuned from


def metrics(eval_config: Any) -> tuple[Metric, ...]:
    """Of greedy answers, of votes at each number of samples, and of what samples gain.

    `<strategy>_<n>`: the mean over all subsets of n samples, ties in expectation;
    `<strategy>_<n>_first`: of the first n; `first_seen_<n>`: ties to the first seen.
    """
    gain = {"kind": "mean", "bounds": (-1.0, 1.0), "step": None}
    return (
        Metric(name="parsed", label="Answers that could be parsed", needs=("parsed",)),
        Metric(name="accuracy", label="Greedy accuracy", needs=("correct",)),
        Metric(name="parsed_samples", label="Samples that could be parsed", step=None,
               needs=("parsed_samples",)),
        Metric(name="one_sample", label="Accuracy of one sample", needs=("one_sample",), step=None),
        *(Metric(name=name, label=label, needs=(name,), step=None)
          for name, label in vote_names(eval_config.draws)),
        Metric(name="chosen_majority", label="Majority of all samples",
               needs=("chosen_majority",)),
        Metric(name="chosen_best", label="Best of all samples", needs=("chosen_best",)),
        Metric(name="majority_gain", label="Gain of the majority over one sample",
               needs=("majority_gain",), **gain),
        Metric(name="best_gain", label="Gain of best-of-n over the majority",
               needs=("best_gain",), **gain),
        Metric(name="weighted_gain", label="Gain of the weighted vote over one sample",
               needs=("weighted_gain",), **gain),
        Metric(name="unique", label="Unique answers a question", needs=("unique",), kind="mean",
               unit="answers", bounds=(0.0, None), higher_is_better=None),
        Metric(name="solvable", label="Questions with a right sample", needs=("solvable",)),
        Metric(name="majority_failures", label="Majority wrong although a right sample exists",
               needs=("majority_failed",), higher_is_better=False),
        Metric(name="best_failures", label="Best-of-n wrong although a right sample exists",
               needs=("best_failed",), higher_is_better=False),
        Metric(name="reward_auc", label="Probability that a right sample has more reward",
               needs=("reward_auc",), step=None, kind="mean"),
    )  # fmt: skip


def same_model(study: Study, points: pd.DataFrame) -> list[Pair]:
    """Each tuned setting against the one of its own model that trains nothing.

    Of several such settings the baseline, or else the one that shares most axis values.
    """
    by_name = {point.name: point for point in study.points()}
    settings = points.drop_duplicates("setting").set_index("setting")
    of = {label: by_name[name] for label, name in settings["point"].items()}
    base = {label: point for label, point in of.items() if not is_tuned(point)}
    found = []
    for label, point in of.items():
        own = [other for other, one in base.items() if model_of(one) == model_of(point)]
        if is_tuned(point) and own:
            found.append(Pair(FAMILY, label, max(own, key=lambda other: (
                settings.at[other, "baseline"] == "yes", shared(of[other], point)
            ))))  # fmt: skip
    return found


def model_of(point: Point) -> tuple[str, str | None]:
    """Name and revision of the base model."""
    return point.config.model.name, point.config.model.revision


def shared(one: Point, other: Point) -> int:
    """How many axis values two points share."""
    return sum(other.values.get(axis) == value for axis, value in one.values.items())


ANALYSIS = Analysis(
    outcomes=Lazy("lib.tasks.symbolic.outcomes:outcomes"),
    metrics=metrics,
    pooled=ALL,
    pairs=same_model,
    tables=TABLES,
    by_point=("transfer",),
    extras=Lazy("lib.tasks.symbolic.outcomes:extras"),
    files=Lazy("lib.tasks.symbolic.failures:files"),
    findings="symbolic.md.jinja",
    figures=(
        {"bars": "accuracy", "x": "set", "color": "setting", "title": "Greedy accuracy by set"},
        {"forest": "accuracy", "against": "baseline"},
        {"bars": ["one_sample", "chosen_majority", "chosen_best", "solvable"], "x": "setting",
         "color": "metric", "set": ALL, "name": "votes", "title": "What samples gain"},
        {"heatmap": "unique_answers.share", "x": "answers", "y": "point", "name": "unique",
         "title": "Unique answers a question"},
        {"curves": "loss", "color": "setting"},
        {"curves": "loss", "each": "point", "name": "learning_curve"},
        {"bars": "accuracy", "x": "set", "each": "point", "name": "accuracy",
         "title": "Greedy accuracy by set"},
    ),
)  # fmt: skip
