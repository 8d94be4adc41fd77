"""Predictions → the tables of a study: items → estimates → over seeds → contrasts → claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from lib.analysis import claims, contrasts, estimates
from lib.analysis.estimates import Measured
from lib.analysis.items import TestSet, items_of, items_table, test_sets
from lib.analysis.points import points_table
from lib.analysis.results import predictions_named
from lib.analysis.tables import StudyTables, columns
from lib.config import tasks
from lib.config.study import Point, Study
from lib.config.tasks import PointResult, Row
from lib.data.testsets import own_rows
from lib.slurm.arrays import first_claims


class Answers(NamedTuple):
    """What a study's extras and claims are made of, beside its tables."""

    study: Study
    rows: dict[str, list[Row]]  # task → rows of its test set
    results: dict[str, list[PointResult]]  # task → its results, in the order of the points
    tests: dict[str, list[TestSet]]  # task → its test sets
    measured: list[Measured]
    tables: StudyTables


def analyse(
    study: Study,
    points: Sequence[Point],
    rows: Mapping[str, list[Row]],
    results: Mapping[str, list[PointResult]],
) -> Answers:
    """All tables of a study. results: task → one a point, graded."""
    eval_config = study.config.evaluate
    analyses = {task: tasks.get(task).analysis for task in results}
    items = items_table(
        items_of(task, point.name, outcomes(study, task, rows[task], point, result))
        for task in analyses
        for point, result in zip(points, results[task], strict=True)
        if result.predictions is not None
    )
    first = study.config.tasks[0]
    table = points_table(study, points, results[first], complete_points(results, items))
    tests = {task: test_sets(items[items["task"] == task], one, eval_config)
             for task, one in analyses.items()}  # fmt: skip
    measured = [
        found
        for task, one in analyses.items()
        for found in estimates.measured(tests[task], one, table, eval_config)
    ]
    pairs = [*contrasts.baseline_pairs(table), *claims.pairs(study, table)]
    for one in analyses.values():
        pairs += one.pairs(study, table) if one.pairs else []
    tables = StudyTables(
        points=table,
        items=items,
        estimates=estimates.estimates(measured, table, eval_config),
        contrasts=contrasts.contrasts(measured, pairs, eval_config),
        claims=pd.DataFrame(columns=columns("claims")),
    )
    answers = Answers(study, dict(rows), dict(results), tests, measured, tables)
    for one in analyses.values():
        for name, made in (one.extras(answers) if one.extras else {}).items():
            tables.extras[name] = pd.DataFrame(made, columns=list(one.tables[name]))
    tables.claims = claims.decide(study, tables, measured, first_claims(study))
    return answers


def outcomes(
    study: Study, task: str, rows: Sequence[Row], point: Point, result: PointResult
) -> dict[str, Sequence[Any]]:
    """Columns of the items of one point. Raises BadInput that names its predictions."""
    own = own_rows(task, rows, result.config)[: len(result.predictions)]
    with predictions_named(study, point, task):
        return tasks.get(task).analysis.outcomes(own, result.predictions, study.config.evaluate)


def complete_points(
    results: Mapping[str, Sequence[PointResult]], items: pd.DataFrame
) -> dict[str, bool | None]:
    """Point → whether each of its predictions is there and valid; None where they may still come.

    Valid: `parsed` is 1, where a task has that outcome.
    """
    found: dict[str, bool | None] = {}
    for of_task in results.values():
        for result in of_task:
            whole = {"done": True, "skipped": True, "partial": False, "diverged": False}
            now = whole.get(result.status)
            before = found.get(result.name, True)
            found[result.name] = None if None in (now, before) else now and before
    if "parsed" in items:
        for name in items.loc[items["parsed"] == 0, "point"].unique():
            found[name] = found[name] and False
    return found
