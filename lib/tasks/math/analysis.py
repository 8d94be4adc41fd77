"""How answers to word problems are analysed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lib.config.metrics import Analysis, Metric, Pair
from lib.config.tasks import Row
from lib.tasks.math.data import rendering
from lib.tasks.math.grading import MARK, number

if TYPE_CHECKING:
    import pandas as pd

    from lib.config.study import Study

MOST_STEPS = 8  # problems with as many steps or more are one slice
FAMILY = "same examples"  # settings against the base model with the same prompts


def outcomes(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Sequence[Any]]:
    """Columns of the items of one point.

    correct, correct_strict   by the last number; by the number behind `#### `
    parsed, parsed_strict     whether there is such a number; without one an answer is wrong
    ended                     whether the answer has its `####`: others were cut off, or ended so
    steps                     of the worked answer, a slice
    """
    first = [next(iter(one["outputs"]), "") for one in predictions]
    steps = [one["steps"] for one in predictions]
    return {
        "set": ["test"] * len(rows),
        "item": [row["id"] for row in rows],
        "cluster": [row["id"] for row in rows],
        "steps": [f"{MOST_STEPS}+" if n >= MOST_STEPS else str(n) for n in steps],
        "correct": [int(one["correct"]) for one in predictions],
        "correct_strict": [int(one["correct_strict"]) for one in predictions],
        "parsed": [int(number(one["flexible"]) is not None) for one in predictions],
        "parsed_strict": [int(number(one["strict"]) is not None) for one in predictions],
        "ended": [int(MARK in text) for text in first],
    }


def metrics(eval_config: Any) -> tuple[Metric, ...]:
    """Rates of the test problems."""
    return (
        Metric(name="parsed", label="Answers that could be parsed", needs=("parsed",)),
        Metric(name="accuracy", label="Accuracy by the last number", needs=("correct",)),
        Metric(name="accuracy_strict", label="Accuracy by ####", needs=("correct_strict",)),
        Metric(name="parsed_strict", label="Answers with a number behind ####",
               needs=("parsed_strict",)),
        Metric(name="ended", label="Answers with ####", needs=("ended",)),
    )  # fmt: skip


def same_examples(study: Study, points: pd.DataFrame) -> list[Pair]:
    """Each setting against the one of the baseline's variant that has its examples.

    Where no setting of that variant has them there is no pair: examples and tuning would differ
    both. Settings of the baseline's variant are compared with nothing here.
    """
    if "variant" not in points:
        return []
    prompts = {p.name: rendering(p.config.data) for p in study.points()}
    base = points.loc[points["baseline"] == "yes", "variant"].unique()
    own = points[points["variant"].isin(base)]
    by_prompt = {prompts[name]: label for name, label in zip(own["point"], own["setting"],
                 strict=True)}  # fmt: skip
    others = points[~points["variant"].isin(base)].drop_duplicates("setting")
    return [
        Pair(FAMILY, label, by_prompt[prompts[name]])
        for name, label in zip(others["point"], others["setting"], strict=True)
        if prompts[name] in by_prompt
    ]


ANALYSIS = Analysis(
    outcomes=outcomes,
    metrics=metrics,
    slices=("steps",),
    pairs=same_examples,
    findings="math.md.jinja",
    figures=(
        {"bars": "accuracy", "x": "setting", "title": "Accuracy of every setting"},
        {"points": ["accuracy", "safety.safety"], "color": "variant", "label": "shots",
         "name": "plane", "title": "Accuracy and safety"},
        {"lines": "accuracy", "x": "steps", "color": "setting", "name": "steps",
         "title": "Accuracy by number of steps"},
        {"forest": "accuracy", "against": "baseline"},
        {"curves": "loss", "color": "setting"},
        {"curves": "loss", "each": "point", "name": "learning_curve"},
        {"bars": "accuracy", "x": "steps", "each": "point", "name": "steps",
         "title": "Accuracy by number of steps"},
    ),
)  # fmt: skip
