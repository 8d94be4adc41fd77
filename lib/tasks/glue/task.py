"""The task `glue`: a label for a sentence or a pair of them."""

from __future__ import annotations

from lib.config.tasks import Lazy, Task
from lib.tasks.glue import data, schema
from lib.tasks.glue.analysis import ANALYSIS
from lib.tasks.glue.table import GLUE

TASK = Task(
    schema=schema.Data,
    batch="classes",
    build=data.build,
    train_split=data.train_split,
    labels=data.labels,
    select_rows=data.select_rows,
    encode=data.encode,
    predictor=Lazy("lib.tasks.glue.predict:Predictor"),
    grade=data.grade,
    summary=data.summary,
    sets=("mean", *(f"{task}/{part}" for task, one in GLUE.items() for part in one.dev)),
    data_axes=("data.task",),
    analysis=ANALYSIS,
)
