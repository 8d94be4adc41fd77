"""How classifiers of sentences are analysed: outcomes, metrics, and what training cost them.

A setting is a method; GLUE's tasks are its test sets, and the set `mean` averages their accuracies
over the sets that count (of MNLI the matched one), of seeds that have all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib.config.metrics import Analysis, Metric
from lib.config.tasks import Lazy, Row
from lib.tasks.glue.table import GLUE, TABLES, main_set

METRICS = (
    Metric(name="accuracy", label="Accuracy", needs=("correct",)),
    Metric(name="f1", label="F1", needs=("label", "predicted", "labels"), kind="statistic",
           fn=Lazy("lib.tasks.glue.metrics:f1")),
)  # fmt: skip


def metrics(eval_config: Any) -> tuple[Metric, ...]:
    """The metrics of a dev set. F1 is of the second label, of MNLI the mean over labels."""
    return METRICS


def outcomes(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Sequence[Any]]:
    """Items of a point; pairs that share their first sentence are not independent."""
    return {
        "set": [f"{row['task']}/{row['set']}" for row in rows],
        "item": [row["id"] for row in rows],
        "cluster": [row["prompt"]["a"] for row in rows],
        "correct": [float(made["correct"]) for made in predictions],
        "label": [row["label"] for row in rows],
        "predicted": [made["predicted"] for made in predictions],
        "labels": [len(GLUE[row["task"]].labels) for row in rows],  # that the task has
    }


MATRICES = {"x": "module", "y": "layer"}
FIGURES: tuple[dict[str, Any], ...] = (
    {"bars": "accuracy", "x": "set", "color": "setting", "name": "accuracy",
     "title": "Accuracy of every method on the published dev sets"},
    {"forest": "accuracy", "name": "differences"},
    {"points": ["training.seconds", "accuracy"], "color": "setting", "name": "accuracy_time",
     "title": "Accuracy against training time"},
    {"heatmap": "confusion.share", "x": "predicted", "y": "actual", "panel": "set",
     "each": "point", "name": "confusion"},
    {"heatmap": ["matrices.norm", "matrices.effective_rank"], **MATRICES, "panel": "setting",
     "name": "changes"},
    {"heatmap": ["matrices.w", "matrices.norm", "matrices.effective_rank"], **MATRICES,
     "each": "point", "name": "matrices"},
    {"curves": "loss", "panel": "data.task", "color": "setting", "name": "learning_curves"},
    {"curves": "validation_accuracy", "panel": "data.task", "color": "setting",
     "name": "validation_accuracy"},
    {"curves": "loss", "each": "point", "name": "learning_curve"},
)  # fmt: skip

ANALYSIS = Analysis(
    outcomes=outcomes,
    metrics=metrics,
    mean_of=tuple(f"{task}/{main_set(task)}" for task in GLUE),
    pairs=Lazy("lib.tasks.glue.costs:pairs"),
    point_extras=Lazy("lib.tasks.glue.costs:point_extras"),
    tables=TABLES,
    by_point=("adapters",),
    extras=Lazy("lib.tasks.glue.costs:extras"),
    axes={"train.importance.alpha": "α", "data.task": "task"},
    figures=FIGURES,
    findings="glue.md.jinja",
)
