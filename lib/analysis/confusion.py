"""How often each label got each answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lib.analysis.items import TestSet

Codes = Mapping[str, int]  # name of a label or an answer → its number


def confusion(
    label: np.ndarray, answer: np.ndarray, labels: Codes, answers: Codes
) -> dict[str, dict[str, int]]:
    """Counts of (n,) labels and answers, by number: label → answer → items."""
    label, answer = np.asarray(label), np.asarray(answer)
    return {
        actual: {name: int(((label == one) & (answer == code)).sum())
                 for name, code in answers.items()}
        for actual, one in labels.items()
    }  # fmt: skip


def confusion_rows(
    one: TestSet, given: np.ndarray, labels: Codes, answers: Codes
) -> list[dict[str, Any]]:
    """Rows point, set, actual, answer, n and share (of the label's items) of all points of a set.

    given: (P, n) answers by number. The share is None where a point has no item of the label.
    """
    rows = []
    for place, point in enumerate(one.points):
        has = one.answered[place]
        counts = confusion(one.outcomes["label"][place][has], given[place][has], labels, answers)
        for actual, of_label in counts.items():
            total = sum(of_label.values())
            rows += [
                {"point": point, "set": one.name, "actual": actual, "answer": answer, "n": n,
                 "share": n / total if total else None}
                for answer, n in of_label.items()
            ]  # fmt: skip
    return rows
