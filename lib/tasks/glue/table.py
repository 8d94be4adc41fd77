"""The GLUE tasks that a study may train on: one table, which everything else reads.

Labels stand in the order in which the data set nyu-mll/glue on the hub numbers them. GLUE's metric
of all three is accuracy (Wang et al., arXiv 1804.07461, table 1); F1 is reported beside it.
"""

from __future__ import annotations

from typing import NamedTuple


class Glue(NamedTuple):
    """One task."""

    labels: tuple[str, ...]
    a: tuple[str, ...]  # columns that may hold the first sentence, the usual one first
    b: tuple[str, ...]  # likewise the second; empty where there is one sentence
    dev: dict[str, str]  # set that is scored → its split on the hub; the first counts in means


PREMISE = ("premise", "sentence1", "text_a")
HYPOTHESIS = ("hypothesis", "sentence2", "text_b")

GLUE = {
    "mnli": Glue(
        ("entailment", "neutral", "contradiction"),
        PREMISE,
        HYPOTHESIS,
        {"matched": "validation_matched", "mismatched": "validation_mismatched"},
    ),
    "sst2": Glue(("negative", "positive"), ("sentence", "text"), (), {"dev": "validation"}),
    "rte": Glue(
        ("entailment", "not_entailment"),
        ("sentence1", "premise", "text_a"),
        ("sentence2", "hypothesis", "text_b"),
        {"dev": "validation"},
    ),
}


def main_set(task: str) -> str:
    """The dev set whose accuracy is the task's: MNLI's matched one, else the only one."""
    return next(iter(GLUE[task].dev))


POINT = {"point": "name of the point"}
# Further tables of the analysis: table → column → what it means.
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
        "w": "importance w before training, mean over the calibrated runs of the task",
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
