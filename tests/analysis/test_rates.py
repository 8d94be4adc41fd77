"""Rates and means of items: which interval each gets."""

import numpy as np
import pytest

from lib.analysis.rates import difference, difference_interval
from lib.analysis.statistics import percentile_interval, resample_counts

LEVEL = 0.95


@pytest.mark.parametrize("sign", [1, -1])
def test_differences_that_are_alike_get_tangos_interval(sign):
    """z² = 3.8415: ± 3.8415/7.8415 where 4 pairs agree; from 0.1585/7.8415 where they differ."""
    counts = resample_counts(4, 200)
    same = difference(np.zeros(4), counts, 4, LEVEL)
    assert (same["low"], same["high"]) == pytest.approx((-0.48989, 0.48989), abs=1e-5)
    apart = difference(np.full(4, float(sign)), counts, 4, LEVEL)
    ends = sorted((sign * 0.02021, float(sign)))
    assert (apart["low"], apart["high"]) == pytest.approx(tuple(ends), abs=1e-5)
    half = difference(np.full(400, sign / 2), resample_counts(400, 200), 400, LEVEL)
    assert -1 < half["low"] < sign / 2 < half["high"] < 1


def test_tangos_interval_is_where_his_statistic_is_z():
    """(b − c − nΔ)² = z²·n(2q + Δ − Δ²), q the likeliest share of c: 0 where b = c = 0."""
    n, z2 = 30, 3.841458820694124
    delta = difference(np.zeros(n), resample_counts(n, 50), n, LEVEL)["high"]
    assert (n * delta) ** 2 == pytest.approx(z2 * n * (delta - delta**2))


def test_differences_that_vary_are_resampled_and_clusters_are_the_units():
    values = np.array([1, 0, -1, 1, 0, 0.0])
    counts = resample_counts(6, 500)
    found = difference(values, counts, 6, LEVEL)
    assert (found["low"], found["high"]) == pytest.approx(
        percentile_interval(counts.astype(float) @ values / 6)
    )
    clustered = difference(np.zeros(6), resample_counts(6, 50, 0, list("aabbcc")), 3, LEVEL)
    assert clustered["high"] == pytest.approx(3.8415 / 6.8415, abs=1e-4)
    wide = difference_interval(0.0, np.zeros(50), 4, LEVEL, span=9.0)
    assert wide.high == pytest.approx(9 * 0.48989, abs=1e-4)
    assert difference(np.array([]), np.empty((0, 0)), 0, LEVEL)["value"] is None
