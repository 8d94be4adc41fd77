"""Settings against each other on the same items: McNemar, seeds, unknown items, exactness."""

import math
from itertools import product

import numpy as np
import pytest

from lib.analysis.paired import Measure, averages, paired
from lib.analysis.statistics import mcnemar, resample_counts


def measure(values, resamples=500, unit=0.5, clusters=None):
    """One number an item of each named point."""
    n = len(next(iter(values.values())))
    counts = resample_counts(n, resamples, 0, clusters)
    clusters = clusters or tuple(map(str, range(n)))
    return Measure({k: np.array(v, float) for k, v in values.items()}, counts, clusters, unit)


def test_paired_is_mcnemar_for_one_seed():
    rng = np.random.default_rng(0)
    a, b = rng.random(200) < 0.7, rng.random(200) < 0.55
    found = paired(measure({"a": a, "b": b}), ["a"], ["b"], 0.95)
    assert found["p_value"] == pytest.approx(mcnemar(a, b).p_value)
    assert found["difference"]["value"] == pytest.approx(a.mean() - b.mean())
    assert found["rate"]["value"] == pytest.approx(a.mean() / b.mean() - 1)
    assert found["difference"]["low"] < found["difference"]["value"] < found["difference"]["high"]


def test_copies_of_a_seed_change_nothing():
    """Three equal seeds are no more evidence than one."""
    rng = np.random.default_rng(1)
    a, b = rng.random(60) < 0.7, rng.random(60) < 0.5
    one = paired(measure({"a": a, "b": b}), ["a"], ["b"], 0.95)
    copies = measure({"a": a, "a2": a, "a3": a, "b": b, "b2": b})
    three = paired(copies, ["a", "a2", "a3"], ["b", "b2"], 0.95)
    assert three["p_value"] == pytest.approx(one["p_value"])
    assert three["difference"]["value"] == pytest.approx(one["difference"]["value"])


def test_items_that_one_side_does_not_know_are_left_out():
    nan = math.nan
    made = measure({"a": [5, nan, 7], "b": [4, 9, nan], "c": [nan] * 3}, unit=1)
    found = paired(made, ["a"], ["b"], 0.95)
    assert (found["items"], found["difference"]["value"]) == (1, 1)
    assert paired(made, ["a"], ["c"], 0.95) is None
    assert paired(made, ["a"], ["unknown"], 0.95) is None
    assert averages(made, ["a", "b"])[0] == pytest.approx((6 + 6.5) / 2)


def test_the_test_is_exact_where_a_seed_lacks_an_item():
    """Means over one, two and three seeds: differences are multiples of ⅙, not of ⅓."""
    nan = math.nan
    a = {"a1": [9, 7, 1, 6], "a2": [10, nan, 2, 7], "a3": [nan, nan, nan, 7]}
    found = paired(measure({**a, "b": [7, 7, 2, 6]}, unit=1), list(a), ["b"], 0.95)
    differences = np.array([5 / 2, 0, -1 / 2, 2 / 3])
    assert found["difference"]["value"] == pytest.approx(differences.mean())
    sums = [np.array(s) @ differences for s in product((1, -1), repeat=4)]
    share = np.mean(np.abs(sums) >= differences.sum() - 1e-9)
    assert found["p_value"] == pytest.approx(share)
