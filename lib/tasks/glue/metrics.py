"""How well labels are predicted on one dev set: pure functions on numpy arrays of its n rows.

label, predicted   (n,) whole numbers in 0 … k − 1, k labels
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lib.analysis.metrics import decision_rates


def f1(
    columns: Mapping[str, np.ndarray], weights: np.ndarray | None = None
) -> float | np.ndarray | None:
    """F1 of label 1 where there are two labels, else the mean of every label's F1.

    columns: label, predicted, and labels (k in every row). A float, None where undefined; with
    `weights` (R, n) shape (R,), nan where undefined. A label that is neither given nor predicted is
    in no mean. Source: sklearn.metrics.f1_score, "binary" and "macro".
    """
    label, predicted = columns["label"], columns["predicted"]
    k = int(columns["labels"][0])
    kinds = [1] if k == 2 else range(k)
    found = [
        decision_rates((label == kind).astype(int), (predicted == kind).astype(int), weights)["f1"]
        for kind in kinds
    ]
    if weights is None:
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if known else None
    stack = np.stack(found)  # (labels, R)
    known = ~np.isnan(stack)
    total = np.where(known, stack, 0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(stack.shape[1], np.nan),
                     where=known.any(axis=0))  # fmt: skip


def confusion(label: np.ndarray, predicted: np.ndarray, k: int) -> np.ndarray:
    """(k, k) counts: a row a true label, a column a predicted one."""
    counted = k * np.asarray(label, dtype=int) + np.asarray(predicted, dtype=int)
    return np.bincount(counted, minlength=k * k).reshape(k, k)
