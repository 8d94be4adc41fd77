"""How classifiers of sentences are analysed: outcomes, metrics, and what training cost them.

A setting is a method; GLUE's tasks are its test sets, and the set `mean` averages their accuracies
over the sets that count (of MNLI the matched one), of seeds that have all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib.analysis.model import Analysis, Metric
from lib.config.tasks import Lazy, Row
from lib.tasks.glue.table import GLUE, main_set

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


POINT = {"point": "name of the point"}
TABLES: dict[str, dict[str, str]] = {
    "adapters": {
        **POINT,
        "norm_follows_w": "Spearman's correlation over matrices of the change ‖Δ‖ with w",
        "effective_rank_follows_w": "the same of the effective rank of Δ",
        "normalise": "what w is divided by",
        "factor_min": "smallest (1 − w)^β over the matrices",
        "factor_max": "largest",
        "factor_cv": "their standard deviation by their mean",
        "uniform": "yes where they are so alike that the penalty is plain L2",
        "calibration_seconds": "time of the calibration (seconds)",
        "step_seconds": "median of the optimizer steps (seconds)",
    },
    "matrices": {
        **POINT,
        "set": "main dev set of the point's task",
        "matrix": "name of the adapted matrix",
        "layer": "its layer; empty where it is in none",
        "module": "its place in the layer",
        "w": "importance of the matrix before training; mean over the calibrated runs of the task",
        "norm": "change ‖Δ‖ that the adapter makes (Frobenius norm)",
        "effective_rank": "effective rank of the change",
        "rank": "rank that the adapter was left with",
    },
    "confusion": {
        **POINT,
        "set": "dev set",
        "actual": "label of the row",
        "predicted": "label that the classifier gave",
        "n": "rows",
        "share": "share of the rows with this label (share)",
    },
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
    extras=Lazy("lib.tasks.glue.costs:extras"),
    axes={"train.importance.alpha": "α", "data.task": "task"},
    figures=FIGURES,
    findings="glue.md.jinja",
)
