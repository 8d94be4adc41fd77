"""The sign-flip test against enumeration, McNemar's test and hand-worked cases."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from lib.analysis.statistics import SMALLEST, sign_flip


def test_by_hand():
    """1 and 2: sums ±3, ±1; as far as 3 are two of four. 1 and −2: all of four are as far as 1."""
    assert sign_flip([1, 2], 1) == pytest.approx(0.5)
    assert sign_flip([1, -2], 1) == pytest.approx(1.0)
    assert sign_flip([1, 1, 1, 0], 1) == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(5))
def test_is_the_enumeration_of_all_signs(seed):
    rng = np.random.default_rng(seed)
    d = rng.integers(-6, 7, 11) / 6
    sums = np.array([np.array(s) @ d for s in product((1, -1), repeat=len(d))])
    expected = np.mean(np.abs(sums) >= abs(d.sum()) - 1e-9)
    assert sign_flip(d, 1 / 6) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("share", [0.7, 0.8, 0.97])
def test_small_p_values_are_never_below_the_true_ones(share):
    """Against whole numbers: the distribution of the sum, convolved exactly."""
    rng = np.random.default_rng(2)
    d = np.where(rng.random(150) < share, 1, -1) * rng.integers(0, 7, 150)
    ways = np.ones(1, dtype=object)
    for size in np.abs(d[d != 0]):
        wider = np.zeros(len(ways) + 2 * size, dtype=object)
        wider[: len(ways)] += ways
        wider[2 * size :] += ways
        ways = wider
    far = np.abs(np.arange(len(ways)) - len(ways) // 2) >= abs(d.sum())
    true = ways[far].sum() / ways.sum()
    assert sign_flip(d, 1) == pytest.approx(max(true, SMALLEST), rel=1e-3)


def test_is_mcnemar_for_one_seed():
    rng = np.random.default_rng(3)
    a, b = rng.random(900) < 0.7, rng.random(900) < 0.64
    assert sign_flip(a.astype(float) - b, 0.5) == pytest.approx(
        binomtest(int((a > b).sum()), int((a != b).sum())).pvalue, rel=1e-9
    )


def test_clusters_share_a_coin():
    """Ten copies of a row are one coin, not ten."""
    assert sign_flip(np.ones(10), 1, ["a"] * 10) == pytest.approx(1.0)
    assert sign_flip(np.ones(4), 1, list("aabb")) == pytest.approx(0.5)
    d = np.array([1.0, -1.0, 1.0])
    assert sign_flip(d, 1, list("xyz")) == pytest.approx(sign_flip(d, 1))


def test_edges():
    assert sign_flip([], 1) is None
    assert sign_flip(np.zeros(5), 1) == 1.0
    assert sign_flip(np.ones(3000), 1) == SMALLEST
    for bad, unit in (([np.nan], 1), ([[1.0]], 1), ([1.0], 0)):
        with pytest.raises(ValueError, match="expected"):
            sign_flip(bad, unit)
