"""How well labels are predicted on one dev set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lib.analysis.columns import Metric, answer
from lib.analysis.metrics import decision_rates


def f1(columns: Mapping[str, np.ndarray], weights: np.ndarray | None = None) -> Metric:
    """F1 of label 1 where there are two labels, else the mean of every label's F1.

    columns: label and predicted, (n,) whole numbers in 0 … k − 1, and labels (k in every row).
    A float, None where undefined; with `weights` (R, n) shape (R,), nan where undefined. A label
    that is neither given nor predicted is in no mean.
    Source: sklearn.metrics.f1_score, "binary" and "macro".
    """
    label, predicted = columns["label"], columns["predicted"]
    k = int(columns["labels"][0])
    found = [
        decision_rates(label == kind, predicted == kind, weights)["f1"]
        for kind in ([1] if k == 2 else range(k))
    ]
    known = np.ma.masked_invalid(np.array(found, dtype=float))  # (labels,) or (labels, R)
    return answer(np.atleast_1d(np.ma.filled(known.mean(axis=0), np.nan)), weights)
