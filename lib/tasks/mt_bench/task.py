"""The task `mt_bench`: two-turn questions, rated by a judge."""

from __future__ import annotations

from lib.config.tasks import Lazy, Task
from lib.tasks.mt_bench import data, schema

TASK = Task(
    schema=schema.Data,
    build=data.build,
    prompts=data.prompts,
    predictor=Lazy("lib.tasks.mt_bench.predict:Predictor"),
    judges=("rating",),
    score=Lazy("lib.tasks.mt_bench.score:score"),
    check_judge=Lazy("lib.tasks.mt_bench.score:check"),
    metrics=dict.fromkeys(("score", "score_turn_1", "score_turn_2"), (1.0, 10.0)),
    evaluate=Lazy("lib.tasks.mt_bench.evaluate:evaluate"),
    point_figures=Lazy("lib.tasks.mt_bench.figures:point_figures"),
    comparison_figures=Lazy("lib.tasks.mt_bench.figures:comparison_figures"),
)
