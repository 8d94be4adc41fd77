"""Studies in which all points and items agree: no task calls that certain, none fails over it."""

from collections.abc import Iterator
from typing import Any

import pytest

from lib.config import tasks
from tests.tasks.decision import test_evaluate as decision
from tests.tasks.math import made as math
from tests.tasks.preference import made as preference
from tests.tasks.symbolic import simulated as symbolic


def of_decision():
    rows = [decision.paper(i, "accept" if i % 2 else "reject") for i in range(6)]
    answers = [decision.answer(i, 2.0 if i % 2 else -2.0) for i in range(6)]
    _, points = decision.study_points()
    return rows, points, answers, decision.SETTINGS


def of_math():
    rows, points = math.study()
    return rows[:4], points, math.predictions(rows[:4], range(4)), math.SETTINGS


def of_preference():
    rows, points = preference.study(n=4, betas=(0.01, 0.05), rated=True)
    pairs = [preference.prediction(i, (-1.0, -2.0), (-1.5, -1.5)) for i in range(4)]
    for point in points:
        point.others["mt_bench"]["questions"] = {"81": [5.0, 5.0], "82": [5.0, 5.0]}
    return rows, points, pairs, preference.SETTINGS


def of_symbolic():
    rows = symbolic.rows(2)
    answers = [symbolic.predicted(one, ["7"] * 8, rewards=[1.0] * 8) for one in rows]
    return rows, symbolic.study(2)[1], answers, symbolic.SETTINGS


def intervals(found: Any) -> Iterator[dict[str, Any]]:
    """Everything in JSON that has a value with bounds."""
    if isinstance(found, dict):
        if {"low", "high"} <= set(found):
            yield found
        found = list(found.values())
    for inner in found if isinstance(found, list) else ():
        yield from intervals(inner)


def check(task: str, points: list, rows: list, settings: Any) -> None:
    made = tasks.get(task).compare(points, rows, settings)
    figures = tasks.get(task).comparison_figures(points, made.tables, settings)
    assert len(list(figures)) > 0
    bounded = [one for one in intervals(made.tables) if one["low"] is not None]
    assert bounded
    for one in bounded:
        assert one["low"] < one["high"], one
    for one in intervals([point.metrics for point in points]):
        assert one["low"] is None or one["low"] < one["high"], one


@pytest.mark.parametrize(
    ("task", "build"),
    [("decision", of_decision), ("math", of_math), ("preference", of_preference),
     ("symbolic", of_symbolic)],
)  # fmt: skip
def test_points_that_agree_on_every_item(task, build):
    rows, points, answers, settings = build()
    for point in points:
        if point.status == "done":
            point.predictions = [dict(one) for one in answers]
            point.metrics = tasks.get(task).evaluate(rows, point.predictions, settings)
    check(task, points, rows, settings)
