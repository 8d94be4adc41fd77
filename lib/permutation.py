"""Exact sign-flip test of paired differences."""

import numpy as np

SMALLEST = 1e-12  # p-value told from rounding: the transform's sums are good to some 1e-15


def sign_flip(
    differences: np.ndarray, unit: float, clusters: np.ndarray | None = None
) -> float | None:
    """Two-sided p-value that paired differences (n,) are as often against as in favour.

    Under the null, the sign of each row's difference is a coin, so their sum is one of 2ⁿ equally
    likely ones; the p-value is the share of sums at least as far from 0 as the observed one. It is
    exact for differences that are whole multiples of `unit`; others are rounded to it. One below
    SMALLEST is given as SMALLEST. With `clusters` (n labels), all rows of one label share a coin.
    For differences of −1, 0 and 1 this is McNemar's exact test. None without rows; 1 where no row
    differs.

    The sum's distribution comes from its characteristic function Π cos(aθ), a the sizes in units.
    Source: Fisher 1935, §21; Pagano & Tritchler 1983 (the transform). ValueError on nan, unit ≤ 0.
    """
    differences = np.asarray(differences, dtype=float)
    if differences.ndim != 1 or np.isnan(differences).any():
        raise ValueError(f"differences: expected (n,) without nan, shape {differences.shape}")
    if not unit > 0:
        raise ValueError(f"unit: {unit}, expected more than 0")
    if not len(differences):
        return None
    steps = np.rint(differences / unit)
    if clusters is not None:
        _, member = np.unique(np.asarray(clusters), return_inverse=True)
        steps = np.bincount(member, steps)
    sizes, times = np.unique(np.abs(steps[steps != 0]).astype(int), return_counts=True)
    if not len(sizes):
        return 1.0
    divisor = int(np.gcd.reduce(sizes))
    sizes, observed = sizes // divisor, abs(int(steps.sum())) // divisor
    total = int(sizes @ times)
    length = 1 << (2 * total + 1).bit_length()  # room for every sum from −total to total
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    transform = np.ones_like(angles)
    for size, count in zip(sizes, times, strict=True):
        transform *= np.cos(size * angles) ** count
    shares = np.fft.irfft(transform, length)[: total + 1]  # of sum 0, 1, …; negative ones mirror
    tail = 2 * shares[observed:].sum() - (shares[0] if observed == 0 else 0)
    return float(min(1.0, max(tail, SMALLEST)))
