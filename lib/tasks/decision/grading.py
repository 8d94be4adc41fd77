"""What an answer says: the decision in its text, and the odds in its scores."""

from __future__ import annotations

import math
import re

from lib.tasks import Row

ANSWERS = {"accept": r"\boxed{Accept}", "reject": r"\boxed{Reject}"}


def verdict(text: str) -> str:
    r"""accept, reject or unknown: what the `\boxed{…}` say, without one what the plain text says.

    Unknown where nothing or both are said, and where one is negated ("not accept", "don't reject").
    """
    said = [_named(content) for content in _boxes(text)] or [_named(text)]
    named = set().union(*said)
    return named.pop() if len(named) == 1 else "unknown"


def grade(row: Row, outputs: list[str], scores: list[float] | None) -> Row:
    """prediction (see `verdict`), p_accept, log_odds and neither of a row's first output.

    With a and r the log-probabilities of the two full answers: log_odds = a − r,
    p_accept = σ(a − r), neither = 1 − e^a − e^r, the mass on other answers. They are None without
    scores, the first two also where both answers are impossible; one alone counts as e^−10000.
    """
    graded: Row = {"prediction": verdict(outputs[0]) if outputs else "unknown"}
    graded |= dict.fromkeys(("p_accept", "log_odds", "neither"))
    if scores is None or any(score is None or math.isnan(score) for score in scores):
        return graded
    accept, reject = scores
    graded["neither"] = min(1.0, max(0.0, 1 - math.exp(min(accept, 0)) - math.exp(min(reject, 0))))
    if max(accept, reject) > -math.inf:
        z = max(accept, -1e4) - max(reject, -1e4)
        small = math.exp(-abs(z))
        graded |= {"log_odds": z, "p_accept": (1 if z > 0 else small) / (1 + small)}
    return graded


def brief(predictions: list[Row]) -> str:
    """Share of papers that are accepted."""
    accepted = sum(row["prediction"] == "accept" for row in predictions)
    return f"accepts {100 * accepted / len(predictions):.1f} %"


def _boxes(text: str) -> list[str]:
    r"""Contents of every closed `\boxed{…}`; braces inside may nest."""
    contents = []
    for opened in re.finditer(r"\\boxed\s*\{", text):
        depth = 1
        for at in range(opened.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            if depth == 0:
                contents.append(text[opened.end() : at])
                break
    return contents


def _named(text: str) -> set[str]:
    """Which of accept(ed) and reject(ed) stand in a text as words; both where one is negated."""
    text = text.replace("\\", " ")
    if re.search(r"(?:\bnot|n['’]t|\bnever|\bcannot)\s+(?:[\w-]+\s+){0,2}(?:accept|reject)"
                 r"(?:ed)?(?![a-z])", text, re.I):  # fmt: skip
        return set(ANSWERS)
    return {m.lower() for m in re.findall(r"(?<![a-z])(accept|reject)(?:ed)?(?![a-z])", text, re.I)}
