"""The task `mt_bench`: two-turn questions, rated by a judge."""

from __future__ import annotations

from lib.config.tasks import Lazy, Task
from lib.tasks.mt_bench import data, schema
from lib.tasks.mt_bench.analysis import ANALYSIS

TASK = Task(
    schema=schema.Data,
    build=data.build,
    prompts=data.prompts,
    predictor=Lazy("lib.tasks.mt_bench.predict:Predictor"),
    judges=("rating",),
    score=Lazy("lib.tasks.mt_bench.score:score"),
    check_judge=Lazy("lib.tasks.mt_bench.score:check"),
    analysis=ANALYSIS,
    evaluate=Lazy("lib.tasks.mt_bench.evaluate:evaluate"),
    point_figures=Lazy("lib.tasks.mt_bench.figures:point_figures"),
    comparison_figures=Lazy("lib.tasks.mt_bench.figures:comparison_figures"),
)
