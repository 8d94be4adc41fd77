"""Columns of one test set, checked, and their sums over weighted rows.

ValueError names the argument whose shape or values are wrong; nan is wrong everywhere.
"""

from collections.abc import Sequence

import numpy as np

Metric = float | np.ndarray | None  # float or None without weights, (R,) with them


def matrix(weights: np.ndarray | None, n: int) -> np.ndarray:
    """Weights as (R, n) floats; one row of ones for None."""
    if weights is None:
        return np.ones((1, n))
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.shape[1] != n:
        raise ValueError(f"weights: shape {weights.shape}, expected (resamples, {n})")
    if weights.size and not weights.min() >= 0:  # nan fails this too
        raise ValueError("weights: negative or nan")
    return weights if weights.dtype == np.float32 else weights.astype(float)


def sums(columns: Sequence[np.ndarray], n: int, weights: np.ndarray | None) -> np.ndarray:
    """(R, columns): weighted sums of per-row columns (n,), one product."""
    counts = matrix(weights, n)
    return (counts @ np.stack(columns, axis=1).astype(counts.dtype)).astype(float)


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom, nan where bottom is 0."""
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def answer(values: np.ndarray, weights: np.ndarray | None) -> Metric:
    """(R,) values with weights; without, the only value as a float, None for nan."""
    if weights is not None:
        return values
    return None if np.isnan(values[0]) else float(values[0])


def column(name: str, values: np.ndarray, n: int | None = None) -> np.ndarray:
    """`values` as (n,) finite floats."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or (n is not None and len(values) != n):
        raise ValueError(f"{name}: shape {values.shape}, expected ({'n' if n is None else n},)")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: holds nan or infinite values")
    return values


def _coded(name: str, values: np.ndarray, codes: tuple[int, ...], n: int | None) -> np.ndarray:
    values = column(name, values, n)
    if not np.isin(values, codes).all():
        raise ValueError(f"{name}: holds values other than {codes}")
    return values


def labels(y: np.ndarray) -> np.ndarray:
    """`y` as (n,) of 1 and 0."""
    return _coded("y", y, (0, 1), None)


def predictions(pred: np.ndarray, n: int) -> np.ndarray:
    """`pred` as (n,) of 1, 0 and −1."""
    return _coded("pred", pred, (1, 0, -1), n)


def probabilities(p: np.ndarray, n: int | None = None) -> np.ndarray:
    """`p` as (n,) of numbers in [0, 1]."""
    p = column("p", p, n)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p: holds values outside 0..1")
    return p
