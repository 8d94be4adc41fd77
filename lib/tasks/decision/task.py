"""The task `decision`: accept or reject a paper."""

from __future__ import annotations

from lib.tasks import Lazy, Task
from lib.tasks.decision import data, grading, schema

TASK = Task(
    schema=schema.Data,
    warnings=schema.warnings,
    reads=("evaluate.bins",),
    batch="causal",
    build=data.build,
    train_split=data.train_split,
    messages=data.messages,
    body_length=data.body_length,
    contrast=data.contrast,
    group=data.group,
    answers=data.answers,
    grade=grading.grade,
    brief=grading.brief,
    evaluate=Lazy("lib.tasks.decision.evaluate:evaluate"),
    compare=Lazy("lib.tasks.decision.analysis:compare"),
    point_figures=Lazy("lib.tasks.decision.figures:point_figures"),
    comparison_figures=Lazy("lib.tasks.decision.figures:comparison_figures"),
)
