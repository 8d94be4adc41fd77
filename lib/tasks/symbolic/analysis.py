"""How answers and samples of templated problems are analysed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.config.metrics import Analysis, Pair
from lib.config.tasks import Lazy
from lib.tasks.symbolic.metrics import ALL, TABLES, is_tuned, metrics

if TYPE_CHECKING:
    import pandas as pd

    from lib.config.study import Point, Study

FAMILY = "same model"  # tuned settings against the base model that they were tuned from


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
