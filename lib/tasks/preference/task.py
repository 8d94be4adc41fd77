"""The task `preference`: which of two answers is the better one."""

from __future__ import annotations

from lib.config.tasks import Lazy, Task
from lib.tasks.preference import data, schema
from lib.tasks.preference.analysis import ANALYSIS

TASK = Task(
    schema=schema.Data,
    batch="pairs",
    build=data.build,
    train_split=data.train_split,
    messages=data.messages,
    alternative_answer=data.alternative_answer,
    encode=data.encode,
    predictor=Lazy("lib.tasks.preference.predict:Predictor"),
    summary=data.summary,
    analysis=ANALYSIS,
)
