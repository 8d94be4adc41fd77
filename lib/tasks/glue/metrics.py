"""How well labels are told on one dev set: pure functions on numpy arrays of its n rows.

label, predicted   (n,) ints in 0 … k − 1, k labels
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lib.analysis.metrics import decision_rates
from lib.analysis.rates import rate
from lib.analysis.statistics import percentile_interval


def f1(
    label: np.ndarray, predicted: np.ndarray, k: int, weights: np.ndarray | None = None
) -> float | np.ndarray | None:
    """F1 of label 1 where there are two labels, else the mean of every label's F1.

    A float, None where undefined; with `weights` (R, n) shape (R,), nan where undefined. A label
    that is neither given nor predicted is in no mean. Source: sklearn.metrics.f1_score, "binary"
    and "macro".
    """
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
    return np.bincount(k * label + predicted, minlength=k * k).reshape(k, k)


def set_metrics(
    label: np.ndarray,
    predicted: np.ndarray,
    k: int,
    counts: np.ndarray,
    clusters: int,
    level: float,
) -> dict[str, Any]:
    """What metrics.json says of one dev set.

        {"rows": n, "clusters": rows that are independent, "confusion": k lists of k counts,
         "majority": share of the commonest label,
         "metrics": {"accuracy", "f1": {"value", "low", "high", "method"}}}

    counts: (R, n) multiplicities drawn by cluster.
    """
    right = (label == predicted).astype(float)
    value = f1(label, predicted, k)
    interval = (
        None if value is None else percentile_interval(f1(label, predicted, k, counts), level)
    )
    low, high = interval or (None, None)
    return {
        "rows": len(label),
        "clusters": clusters,
        "confusion": confusion(label, predicted, k).tolist(),
        "majority": float(np.bincount(label).max() / len(label)),
        "metrics": {
            "accuracy": rate(right, counts, clusters, level),
            "f1": {"value": value, "low": low, "high": high, "method": "bootstrap"},
        },
    }
