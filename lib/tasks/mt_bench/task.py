"""The task `mt_bench`: two-turn questions, rated by a judge."""

from __future__ import annotations

from lib.config.tasks import Task
from lib.tasks.mt_bench import data, judging, schema
from lib.tasks.mt_bench.analysis import ANALYSIS

TASK = Task(
    schema=schema.Data,
    build=data.build,
    messages=data.messages,
    body_length=data.body_length,
    follow_up=data.follow_up,
    draw=data.draw,
    judges=("rating",),
    judging=judging.judging,
    analysis=ANALYSIS,
)
