"""The task `math`: word problems whose worked answers end in a number."""

from __future__ import annotations

from lib.config.tasks import Task
from lib.tasks.math import data, grading, schema
from lib.tasks.math.analysis import ANALYSIS

TASK = Task(
    schema=schema.Data,
    warnings=schema.warnings,
    reads=("evaluate.full_test",),
    batch="answers",
    build=data.build,
    train_split=data.train_split,
    messages=data.messages,
    rendering=data.rendering,
    grade=grading.grade,
    selects=True,
    summary=grading.summary,
    analysis=ANALYSIS,
)
