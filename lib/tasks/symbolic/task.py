"""The task `symbolic`: templated word problems, with samples and a reward model."""

from __future__ import annotations

from functools import partial

from lib.config.tasks import Task
from lib.tasks.math.grading import summary
from lib.tasks.math.problems import wording
from lib.tasks.symbolic import data, grading, judging, schema
from lib.tasks.symbolic.analysis import ANALYSIS

TASK = Task(
    schema=schema.Data,
    warnings=schema.warnings,
    batch="answers",
    build=data.build,
    train_split=data.train_split,
    messages=data.messages,
    rendering=wording,
    sampled=True,
    grade=grading.grade,
    selects=True,
    summary=partial(summary, answer="greedy_answer"),
    judges=("reward",),
    judging=judging.judging,
    sets=("all", *schema.SETS),
    analysis=ANALYSIS,
)
