"""Variance over the levels of an axis, by hand and on simulated wins."""

import math

import numpy as np
import pytest

from lib.analysis.statistics import resample_counts
from lib.analysis.variance import interval, reduction, variance

NONE, HALF, FULL = [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]


def of_lines(*lines):
    """The variance of each line; a line: items (n,) at each level."""
    counts = resample_counts(len(lines[0][0]), 500, 0)
    found = []
    for line in lines:
        items = np.array(line, dtype=float)
        found.append(variance(items.mean(axis=1), items @ counts.T / counts.sum(axis=1)))
    return found


def test_variance_and_reduction_by_hand():
    """Means 0, ½, 1: variance ¼; ½, ½, 1: 1/12; ½, ½, ½: 0."""
    base, some, still = of_lines([NONE, HALF, FULL], [HALF, HALF, FULL], [HALF] * 3)
    assert [one.value for one in (base, some, still)] == pytest.approx([1 / 4, 1 / 12, 0])
    reductions = [reduction(ours, base, 0.95) for ours in ([some], [still], [some, still])]
    assert [one.value for one in reductions] == pytest.approx([2 / 3, 1, 5 / 6])


def test_what_gives_no_reduction_says_why():
    (alone,), (still, base) = of_lines([HALF]), of_lines([HALF, HALF], [HALF, FULL])
    assert alone is None
    assert "fewer than two levels" in reduction([alone], base, 0.95).reason
    assert "does not vary" in reduction([base], still, 0.95).reason


def drawn(chances, seed, n=120):
    """Wins of n items at four levels with these chances."""
    rng = np.random.default_rng([4, seed])
    return of_lines(*[[rng.random(n) < chance for chance in line] for line in chances])


@pytest.mark.parametrize("seed", range(8))
def test_what_the_draw_of_items_adds_is_no_variance(seed):
    """One chance at all levels: the true variance, 0, is in the interval."""
    base, still = drawn([(0.2, 0.5, 0.8, 0.5), [0.6] * 4], seed)
    found, reduced = interval(still, 0.95), reduction([still], base, 0.95)
    assert found.low == 0 < found.value <= found.high
    assert reduced.low <= reduced.value < reduced.high
    assert reduced.high == pytest.approx(1)


def test_a_base_that_the_draw_explains_gives_no_interval():
    base, ours = drawn([[0.6] * 4, (0.2, 0.5, 0.8, 0.5)], 1)
    found = reduction([ours], base, 0.95)
    assert found.value < 0
    assert math.isnan(found.low)
    assert found.reason.startswith("no interval: the other side varies no more")
