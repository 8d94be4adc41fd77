"""The task `symbolic`: templated word problems, with samples and a reward model."""

from __future__ import annotations

from lib.config.tasks import SHARE, Lazy, Task
from lib.tasks.math.problems import wording
from lib.tasks.symbolic import data, grading, judging, schema

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
    summary=grading.summary,
    judges=("reward",),
    judging=judging.judging,
    metrics=dict.fromkeys(("accuracy", "majority_<n>", "best_<n>", "pass_<n>"), SHARE)
    | {"majority_gain": (-1.0, 1.0), "best_gain": (-1.0, 1.0)},
    sets=("all", *schema.SETS),
    evaluate=Lazy("lib.tasks.symbolic.evaluate:evaluate"),
    compare=Lazy("lib.tasks.symbolic.analysis:compare"),
    point_figures=Lazy("lib.tasks.symbolic.figures:point_figures"),
    comparison_figures=Lazy("lib.tasks.symbolic.figures:comparison_figures"),
)
