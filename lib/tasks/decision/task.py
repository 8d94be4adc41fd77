"""The task `decision`: accept or reject a paper."""

from __future__ import annotations

from lib.config.tasks import Task
from lib.tasks.decision import data, grading, schema
from lib.tasks.decision.analysis import ANALYSIS

TASK = Task(
    schema=schema.Data,
    warnings=schema.warnings,
    reads=("evaluate.bins",),
    batch="answers",
    build=data.build,
    train_split=data.train_split,
    messages=data.messages,
    body_length=data.body_length,
    alternative_answer=data.alternative_answer,
    loss_class=data.loss_class,
    answers=data.answers,
    grade=grading.grade,
    summary=grading.summary,
    analysis=ANALYSIS,
)
