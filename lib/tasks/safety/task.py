"""The task `safety`: hazardous requests, whose answers a judge calls safe or not."""

from __future__ import annotations

from lib.config.tasks import Task
from lib.tasks.safety import data, judging, schema
from lib.tasks.safety.analysis import ANALYSIS

TASK = Task(
    schema=schema.Data,
    build=data.build,
    messages=data.messages,
    judges=schema.JUDGES,
    judging=judging.judging,
    analysis=ANALYSIS,
)
