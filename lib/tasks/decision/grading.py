"""What an answer says: the decision in its text, and the odds in its scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lib.config.tasks import Row
from lib.inference.outputs import NONE_PARSED, log_probabilities, texts
from lib.tasks.decision.verdicts import verdict

ANSWERS = {"accept": r"\boxed{Accept}", "reject": r"\boxed{Reject}"}
DECISION = {"accept": 1, "reject": 0, "unknown": -1}


def grade(row: Row, prediction: Row) -> Row:
    """prediction (see `verdict`), p_accept, log_odds and neither of a row's first output.

    With a and r the log-probabilities of the two full answers: log_odds = a − r,
    p_accept = σ(a − r), neither = 1 − e^a − e^r, the mass on other answers. They are None without
    scores, the first two also where both answers are impossible; one alone counts as e^−10000.
    Raises BadInput for outputs that are no texts and scores that are not two log-probabilities.
    """
    outputs = texts(row, prediction["outputs"])
    scores = log_probabilities(row, prediction.get("scores"), len(ANSWERS))
    graded: Row = {"prediction": verdict(outputs[0]) if outputs else "unknown"}
    graded |= dict.fromkeys(("p_accept", "log_odds", "neither"))
    if scores is None:
        return graded
    accept, reject = scores
    graded["neither"] = min(1.0, max(0.0, 1 - math.exp(min(accept, 0)) - math.exp(min(reject, 0))))
    if max(accept, reject) > -math.inf:
        z = max(accept, -1e4) - max(reject, -1e4)
        small = math.exp(-abs(z))
        graded |= {"log_odds": z, "p_accept": (1 if z > 0 else small) / (1 + small)}
    return graded


def summary(predictions: list[Row]) -> str:
    """Share of papers that are accepted."""
    if all(row["prediction"] == "unknown" for row in predictions):
        return NONE_PARSED
    accepted = sum(row["prediction"] == "accept" for row in predictions)
    return f"accepts {100 * accepted / len(predictions):.1f} %"


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
