"""Rates and means of items: which interval each gets."""

import numpy as np
import pytest

from lib.rates import mean, rate, unknown
from lib.statistics import percentile_interval, resample_counts, wilson

LEVEL = 0.95


def test_independent_outcomes_of_0_and_1_get_wilsons_interval():
    values = np.array([1, 0, 1, 1.0])
    found = rate(values, resample_counts(4, 200), 4, LEVEL)
    assert found == {"value": 0.75, **wilson(3, 4)._asdict(), "method": "wilson"}


@pytest.mark.parametrize(
    ("values", "clusters"),
    [([1, 0, 1, 1, 0, 0], list("aabbcc")), ([0.25, 0, 1, 0.75, 0.5, 1], None)],
)
def test_clusters_and_shares_are_resampled(values, clusters):
    values = np.array(values, dtype=float)
    counts = resample_counts(6, 500, 0, clusters)
    found = rate(values, counts, 3 if clusters else 6, LEVEL)
    resampled = counts.astype(float) @ values / counts.sum(axis=1)
    low, high = percentile_interval(resampled)
    assert found["method"] == "bootstrap"
    assert (found["low"], found["high"]) == pytest.approx((low, high))


def test_units_that_are_alike_are_not_certain():
    counts = resample_counts(6, 200, 0, list("aabbcc"))
    found = rate(np.ones(6), counts, 3, LEVEL)
    assert found == {"value": 1.0, **wilson(3, 3)._asdict(), "method": "wilson"}
    assert mean(np.ones(6), counts, LEVEL)["low"] == 1.0


def test_nothing_is_unknown():
    none = np.array([])
    assert rate(none, np.empty((0, 0)), 0, LEVEL) == unknown() == mean(none, none, LEVEL)
    assert unknown()["value"] is None
    one = mean(np.array([2.0]), resample_counts(1, 100), LEVEL)
    assert (one["value"], one["low"]) == (2.0, None)
