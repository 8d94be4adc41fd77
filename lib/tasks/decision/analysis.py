"""How accept/reject decisions are analysed: outcomes, metrics, and what theory adds to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from lib.analysis.model import Analysis, Metric
from lib.analysis.wording import markdown
from lib.config.tasks import Comparison, Lazy, PointResult, Row

DECISION = {"accept": 1, "reject": 0, "unknown": -1}


def outcomes(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Sequence[Any]]:
    """Columns of the items of one point.

    label         1 for a paper that was accepted, 0 for a rejected one
    parsed        whether the answer says a decision; one that says none is wrong and accepts not
    accepted, correct
    log_odds, p_accept, squared_error     of the scores; one row without scores leaves a point
                                          without any, since which rows lack them is no accident
    """
    labels = [DECISION[row["decision"]] for row in rows]
    answers = [DECISION[one["prediction"]] for one in predictions]
    scored = not any(map(unscored, predictions))
    odds = [one["log_odds"] if scored else None for one in predictions]
    chances = [one["p_accept"] if scored else None for one in predictions]
    return {
        "set": ["test"] * len(rows),
        "item": [row["id"] for row in rows],
        "cluster": [row["id"] for row in rows],
        "year": [None if row.get("year") is None else str(row["year"]) for row in rows],
        "label": labels,
        "parsed": [int(answer >= 0) for answer in answers],
        "accepted": [int(answer == 1) for answer in answers],
        "correct": [int(a == y) for a, y in zip(answers, labels, strict=True)],
        "log_odds": odds,
        "p_accept": chances,
        "squared_error": [
            None if p is None else (p - y) ** 2 for p, y in zip(chances, labels, strict=True)
        ],
    }


def unscored(prediction: Row) -> bool:
    """Whether a prediction lacks a finite score."""
    values = (prediction.get("log_odds"), prediction.get("p_accept"))
    return any(value is None or not math.isfinite(value) for value in values)


def metrics(eval_config: Any) -> tuple[Metric, ...]:
    """The metrics of decisions, the headline first."""
    ece = partial(Lazy("lib.tasks.decision.metrics:ece"), bins=eval_config.bins)
    ece_interval = partial(Lazy("lib.tasks.decision.metrics:ece_interval"), bins=eval_config.bins)
    return (
        Metric(name="parsed", label="Answers that could be parsed", needs=("parsed",)),
        Metric(name="accuracy", label="Accuracy", needs=("correct",)),
        Metric(name="precision", label="Precision of accepts", needs=("label",), among="accepted"),
        Metric(name="recall", label="Recall of accepts", needs=("accepted",), among="label"),
        Metric(name="f1", label="F1 of accepts", needs=("label", "accepted"), kind="statistic",
               fn=Lazy("lib.tasks.decision.metrics:f1")),
        Metric(name="acceptance_rate", label="Acceptance rate", needs=("accepted",),
               higher_is_better=None),
        Metric(name="actual_acceptance_rate", label="Accepts in the test set", needs=("label",),
               kind="exact", higher_is_better=None),
        Metric(name="auc", label="AUC", needs=("label", "log_odds"), kind="statistic",
               fn=Lazy("lib.tasks.decision.metrics:auc")),
        Metric(name="brier", label="Brier score", needs=("squared_error",), kind="mean",
               step=None, unit="", higher_is_better=False),
        Metric(name="ece", label="Calibration error", needs=("label", "p_accept"),
               kind="statistic", fn=ece, interval=ece_interval, higher_is_better=False),
    )  # fmt: skip


ANALYSIS = Analysis(
    outcomes=outcomes,
    metrics=metrics,
    slices=("year",),
)


def compare(points: list[PointResult], rows: list[Row], eval_config: Any) -> Comparison:
    """What the points say together: see `comparison.tabulate`, `criteria.judge`, `findings`."""
    from lib.tasks.decision import comparison, criteria, findings
    from lib.tasks.decision.flat import flat

    tables = comparison.tabulate(points, rows, eval_config)
    tables["criteria"] = criteria.judge(points, tables)
    tables["findings"] = findings.sentences(points, tables)
    return Comparison(
        tables, flat(points, tables), markdown(tables, "Success criteria", "criterion")
    )
