"""Metrics as claims and figures name them."""

from __future__ import annotations

from lib.config import tasks
from lib.config.errors import listed, nearest
from lib.config.metrics import TRAINING
from lib.config.study import Study
from lib.config.tasks import Range


def resolve_metric(study: Study, text: str) -> tuple[str, str]:
    """(task, name) of a metric as a claim names it. Raises ValueError with what is known."""
    first = study.config.tasks[0]
    task, dot, name = text.partition(".")
    if not dot:
        task, name = first, text
    if name in metric_ranges(study, task):
        return task, name
    named = [(t, n) for t in (*study.config.tasks, "training") for n in metric_ranges(study, t)]
    known = [n if t == first else f"{t}.{n}" for t, n in named]
    raise ValueError(f"unknown metric {text!r}, expected one of {listed(known, 40)}"
                     f"{nearest(text, [*known, *(f'{t}.{n}' for t, n in named)])}")  # fmt: skip


def metric_ranges(study: Study, task: str) -> dict[str, Range]:
    """Metrics of a task of the study, or of `training`, each with its range; {} for other tasks."""
    if task == "training":
        return {one.name: one.bounds for one in TRAINING}
    if task not in study.config.tasks:
        return {}
    metrics = tasks.get(task).analysis.metrics(study.config.evaluate)
    return {one.name: one.bounds for one in metrics}
