"""Metrics as claims and figures name them: `accuracy`, `mt_bench.score`, `theory.delta`."""

from __future__ import annotations

from lib.config import tasks
from lib.config.errors import listed, nearest
from lib.config.metrics import TRAINING, Metric, of_columns
from lib.config.study import Study


def tables_of(study: Study) -> dict[str, str]:
    """Further table with one row a point → the task that makes it."""
    return {table: task for task in study.config.tasks
            for table in tasks.get(task).analysis.by_point}  # fmt: skip


def metrics_of(study: Study, place: str) -> tuple[Metric, ...]:
    """The metrics of a task of the study, of `training`, or of a further table; else none."""
    if place == "training":
        return TRAINING
    if place in study.config.tasks:
        return tasks.get(place).analysis.metrics(study.config.evaluate)
    if (task := tables_of(study).get(place)) is not None:
        return of_columns(tasks.get(task).analysis.tables[place])
    return ()


def metric_of(study: Study, text: str) -> tuple[str, Metric]:
    """Task, `training` or further table of the metric that a claim names, and the metric.

    Raises ValueError with the metrics that there are.
    """
    place, dot, name = text.partition(".")
    if not dot:
        place, name = study.config.tasks[0], text
    for one in metrics_of(study, place):
        if one.name == name:
            return place, one
    known = metric_names(study)
    bare = [f"{study.config.tasks[0]}.{one}" for one in known if "." not in one]
    raise ValueError(f"unknown metric {text!r}, expected one of {listed(known, 40)}"
                     f"{nearest(text, [*known, *bare])}")  # fmt: skip


def metric_names(study: Study) -> list[str]:
    """Every metric that a claim can name, those of the first task without it."""
    first = study.config.tasks[0]
    return [
        one.name if place == first else f"{place}.{one.name}"
        for place in (*study.config.tasks, "training", *tables_of(study))
        for one in metrics_of(study, place)
    ]


def sets_of(study: Study, place: str) -> tuple[str, ...]:
    """Test sets that a metric of this task or table may be of; none where there is one."""
    task = tables_of(study).get(place, place)
    if task == "training":
        return ()
    columns = tasks.get(task).analysis.tables.get(place, ("set",))
    return tasks.get(task).sets if "set" in columns else ()
