"""What an answer says: the decision in its text, and the odds in its scores."""

from __future__ import annotations

import math

from lib.config.tasks import Row
from lib.inference.outputs import log_probabilities, texts
from lib.tasks.decision.verdicts import verdict

ANSWERS = {"accept": r"\boxed{Accept}", "reject": r"\boxed{Reject}"}


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
    accepted = sum(row["prediction"] == "accept" for row in predictions)
    return f"accepts {100 * accepted / len(predictions):.1f} %"
