"""The task `glue`: a label for a sentence or a pair of them."""

from __future__ import annotations

from lib.config.tasks import SHARE, Lazy, Task
from lib.tasks.glue import data, schema
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
    metrics={"accuracy": SHARE, "f1": SHARE},
    sets=("mean", *(f"{task}/{part}" for task, one in GLUE.items() for part in one.dev)),
    data_axes=("data.task",),
    evaluate=Lazy("lib.tasks.glue.evaluate:evaluate"),
    compare=Lazy("lib.tasks.glue.analysis:compare"),
    point_figures=Lazy("lib.tasks.glue.figures:point_figures"),
    comparison_figures=Lazy("lib.tasks.glue.figures:comparison_figures"),
)
