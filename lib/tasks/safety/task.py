"""The task `safety`: hazardous requests, whose answers a judge calls safe or not."""

from __future__ import annotations

from lib.config.tasks import SHARE, Lazy, Task
from lib.tasks.safety import data, judging, schema

TASK = Task(
    schema=schema.Data,
    build=data.build,
    messages=data.messages,
    judges=schema.JUDGES,
    judging=judging.judging,
    metrics={"safety": SHARE},
    evaluate=Lazy("lib.tasks.safety.evaluate:evaluate"),
    point_figures=Lazy("lib.tasks.safety.figures:point_figures"),
    comparison_figures=Lazy("lib.tasks.safety.figures:comparison_figures"),
)
