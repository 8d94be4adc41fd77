"""Variance over the levels of an axis, by hand and on simulated wins."""

import numpy as np
import pytest

from lib.analysis.statistics import percentile_interval, resample_counts
from lib.analysis.variance import reduction, stretched, variance_over

NONE, HALF, FULL = [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]


def of_lines(*lines):
    """(value, resamples) at each level of each line; a line: items (n,) at each level."""
    counts = resample_counts(len(lines[0][0]), 500, 0)
    return [[(np.mean(items), counts @ np.array(items, float) / counts.sum(axis=1))
             for items in line] for line in lines]  # fmt: skip


def test_variance_and_reduction_by_hand():
    """Means 0, ½, 1: variance ¼; ½, ½, 1: 1/12; ½, ½, ½: 0."""
    base, some, still = of_lines([NONE, HALF, FULL], [HALF, HALF, FULL], [HALF] * 3)
    values = [variance_over(line)[0] for line in (base, some, still)]
    assert values == pytest.approx([1 / 4, 1 / 12, 0])
    reductions = [reduction(ours, base, 0.95)["value"] for ours in ([some], [still], [some, still])]
    assert reductions == pytest.approx([2 / 3, 1, 5 / 6])


def drawn(chances, seed, n=120):
    """Wins of n items at four levels with these chances."""
    rng = np.random.default_rng([4, seed])
    return of_lines(*[[rng.random(n) < chance for chance in line] for line in chances])


@pytest.mark.parametrize("seed", range(8))
def test_what_the_draw_of_items_adds_is_no_variance(seed):
    """One chance at all levels: the true variance, 0, is in the interval."""
    base, still = drawn([(0.2, 0.5, 0.8, 0.5), [0.6] * 4], seed)
    value, resampled = variance_over(still)
    low, high = stretched(value, percentile_interval(resampled, flat=True))
    assert low == 0 < value <= high
    found = reduction([still], base, 0.95)
    assert found["low"] <= found["value"] < found["high"]
    assert found["high"] == pytest.approx(1)


def test_a_base_that_the_draw_explains_gives_no_interval():
    flat, ours = drawn([[0.6] * 4, (0.2, 0.5, 0.8, 0.5)], 1)
    found = reduction([ours], flat, 0.95)
    assert found["value"] < 0
    assert (found["low"], found["high"]) == (None, None)
    assert "varies no more than another draw" in found["reason"]


def test_a_base_that_does_not_vary_gives_no_reduction():
    still, ours = of_lines([HALF, HALF], [HALF, FULL])
    assert reduction([ours], still, 0.95)["value"] is None
