"""The task `math`: word problems whose worked answers end in a number."""

from __future__ import annotations

from lib.config.tasks import SHARE, Lazy, Task
from lib.tasks.math import data, grading, schema

TASK = Task(
    schema=schema.Data,
    warnings=schema.warnings,
    reads=("evaluate.thresholds", "evaluate.full_test"),
    batch="answers",
    build=data.build,
    train_split=data.train_split,
    messages=data.messages,
    rendering=data.rendering,
    grade=grading.grade,
    selects=True,
    summary=grading.summary,
    metrics=dict.fromkeys(("accuracy", "accuracy_strict", "parsed"), SHARE),
    evaluate=Lazy("lib.tasks.math.evaluate:evaluate"),
    compare=Lazy("lib.tasks.math.analysis:compare"),
    point_figures=Lazy("lib.tasks.math.figures:point_figures"),
    comparison_figures=Lazy("lib.tasks.math.figures:comparison_figures"),
)
