"""What a prediction holds, checked before it is graded or measured: texts and log-probabilities.

BadInput names row and key, what was found, and what was expected; who read the file names it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lib.config.errors import BadInput

NONE_PARSED = "none parsed"  # summary of predictions that say nothing


def texts(row: Mapping[str, Any], outputs: Any, count: int | None = None) -> list[str]:
    """The raw outputs of a prediction of this row: a list of texts, `count` of them if given."""
    if not isinstance(outputs, list) or not all(isinstance(text, str) for text in outputs):
        raise bad(row, "outputs", outputs, f"{'a list of' if count is None else count} texts")
    if count is not None and len(outputs) != count:
        raise bad(row, "outputs", f"{len(outputs)} texts", count)
    return outputs


def text(row: Mapping[str, Any], key: str, value: Any) -> str:
    """A single text of a prediction."""
    if not isinstance(value, str):
        raise bad(row, key, value, "a text")
    return value


def log_probabilities(row: Mapping[str, Any], scores: Any, count: int) -> list[float] | None:
    """`count` scores; None where a prediction has none, or one of them is null or NaN.

    −inf is an answer that cannot be. A score above 0 is no log-probability; rounding is allowed.
    """
    if scores is None:
        return None
    expected = f"null or {count} log-probabilities"
    if not isinstance(scores, list) or len(scores) != count:
        raise bad(row, "scores", scores, expected)
    numbers(row, "scores", scores, expected)
    if any(score is None or math.isnan(score) for score in scores):
        return None
    if max(scores) > 0.01:
        raise bad(row, "scores", scores, f"{expected}, none above 0")
    return scores


def numbers(row: Mapping[str, Any], key: str, values: Any, expected: str) -> list[float | None]:
    """A list in which each value is a number or null; NaN and infinities are numbers."""
    if not isinstance(values, list) or not all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        for value in values
    ):
        raise bad(row, key, values, expected)
    return values


def bad(row: Mapping[str, Any], key: str, found: Any, expected: Any) -> BadInput:
    """The error of a prediction; what was found is shown up to 80 characters."""
    shown = found if isinstance(found, str) and found.endswith(" texts") else repr(found)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}…"
    return BadInput(f"row {row.get('id')}: {key}: found {shown}, expected {expected}; "
                    f"run stage 3 again with --force")  # fmt: skip
