from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib.analysis.metrics import weighted_mean
from lib.analysis.statistics import (
    Difference,
    holm,
    paired_bootstrap_difference,
    percentile_interval,
    reflected_interval,
    resample_counts,
    wilson,
)
from lib.analysis.trends import EXACT_ROWS, page_trend

# --- wilson


def test_wilson_by_hand():
    """z = 2 (level 0.9545), 4 of 8: centre (½ + 4/16)/(1 + 4/8) = ½,
    half 2/1.5 · √(¼/8 + 4/256) = 4/3 · √3/8 = 1/√12."""
    level = 2 * stats.norm.cdf(2) - 1
    low, high = wilson(4, 8, level)
    assert low == pytest.approx(0.5 - 1 / np.sqrt(12))
    assert high == pytest.approx(0.5 + 1 / np.sqrt(12))


@pytest.mark.parametrize("successes, n", [(0, 7), (7, 7), (1, 3), (130, 263), (2000, 2024)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_is_scipys(successes, n, level):
    expected = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_touches_the_ends_exactly():
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == 1.0


def test_wilson_of_no_rows_is_none():
    assert wilson(0, 0) is None


@pytest.mark.parametrize(
    "successes, n, level", [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 95), (1, 2, 0)]
)
def test_wilson_refuses(successes, n, level):
    with pytest.raises(ValueError, match="successes|level"):
        wilson(successes, n, level)


@pytest.mark.parametrize("n, rate", [(40, 0.1), (263, 0.3), (263, 0.9)])
def test_wilson_covers(n, rate):
    """Exact coverage: the binomial mass of the counts whose interval holds the rate."""
    holds = [wilson(k, n).low <= rate <= wilson(k, n).high for k in range(n + 1)]
    assert stats.binom.pmf(np.arange(n + 1), n, rate)[holds].sum() == pytest.approx(0.95, abs=0.025)


# --- resampling


def test_counts_are_resamples_of_rows():
    counts = resample_counts(50, resamples=400, seed=1)
    assert counts.shape == (400, 50)
    assert counts.dtype == np.float32
    assert (counts.sum(axis=1) == 50).all()
    # Each count is Binomial(50, 1/50): mean 1, variance 0.98, and a third of the rows are left out.
    assert counts.var() == pytest.approx(0.98, abs=0.05)
    assert (counts == 0).mean() == pytest.approx((49 / 50) ** 50, abs=0.01)


def test_counts_repeat_with_the_seed_only():
    assert (resample_counts(30, 10, seed=3) == resample_counts(30, 10, seed=3)).all()
    assert (resample_counts(30, 10, seed=3) != resample_counts(30, 10, seed=4)).any()


def test_clusters_move_together():
    """Clusters of 3, 1 and 2 rows: three draws a resample, one count for all rows of a cluster."""
    labels = np.array(["b", "a", "b", "c", "b", "c"])
    counts = resample_counts(6, resamples=300, clusters=labels)
    assert counts.flags.c_contiguous
    for label in "abc":
        of_label = counts[:, labels == label]
        assert (of_label == of_label[:, :1]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(set(counts.sum(axis=1))) > 1


@pytest.mark.parametrize("n, clusters", [(0, None), (1, None), (4, ["t"] * 4)])
def test_one_unit_cannot_be_resampled(n, clusters):
    counts = resample_counts(n, clusters=clusters)
    assert counts.shape == (0, n)
    assert percentile_interval(weighted_mean(np.ones(n), counts)) is None


def test_clusters_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match="clusters"):
        resample_counts(3, clusters=[1, 2])


def test_percentile_interval_by_hand():
    """0, 1, …, 100 at level 0.9: the quantiles 0.05 and 0.95 are 5 and 95."""
    assert percentile_interval(np.arange(101.0)[::-1], 0.9) == pytest.approx((5, 95))


def test_reflected_interval_by_hand():
    """Percentiles 5 and 95 around a value of 40: 80 − 95 and 80 − 5."""
    assert reflected_interval(40, np.arange(101.0), 0.9) == pytest.approx((-15, 75))
    assert reflected_interval(40, np.array([])) is None


def test_percentile_interval_leaves_out_undefined_resamples_up_to_a_half():
    nan = np.nan
    assert percentile_interval(np.array([1, nan, 3, nan]), 0.5) == pytest.approx((1.5, 2.5))
    assert percentile_interval(np.array([1, nan, nan]), 0.5) is None
    assert percentile_interval(np.array([])) is None


def test_bootstrap_of_a_mean_is_the_normal_interval():
    values = np.random.default_rng(0).normal(size=500)
    low, high = percentile_interval(weighted_mean(values, resample_counts(500)))
    half = 1.96 * values.std() / np.sqrt(500)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_clustered_bootstrap_covers_where_the_plain_one_does_not():
    """20 templates of 10 rows each, rows of a template nearly equal: 20 values, not 200."""
    rng = np.random.default_rng(0)
    template = np.repeat(np.arange(20), 10)
    clustered, plain = resample_counts(200, 300, clusters=template), resample_counts(200, 300)
    covered = {"clustered": 0, "plain": 0}
    for _ in range(200):
        values = rng.normal(size=20)[template] + 0.1 * rng.normal(size=200)
        for name, counts in (("clustered", clustered), ("plain", plain)):
            low, high = percentile_interval(weighted_mean(values, counts))
            covered[name] += low <= 0 <= high
    assert 0.87 <= covered["clustered"] / 200 <= 0.98
    assert covered["plain"] / 200 < 0.6


# --- paired tests


def test_paired_difference_cancels_what_rows_share():
    """b is a + 1 on every row: −1 in every resample, though both vary, so that none is drawn."""
    a = np.random.default_rng(0).normal(size=60)
    counts = resample_counts(60)
    difference = paired_bootstrap_difference(
        lambda w: weighted_mean(a, w), lambda w: weighted_mean(a + 1, w), counts
    )
    assert difference.value == pytest.approx(-1, abs=1e-5)
    assert difference[1:] == (None, None)
    resampled = weighted_mean(a, counts) - weighted_mean(a + 1, counts)
    assert percentile_interval(resampled, flat=True) == pytest.approx((-1, -1), abs=1e-5)


def test_paired_difference_is_the_interval_of_the_mean_difference():
    """For means, metric(a) − metric(b) is the mean of a − b, resample by resample."""
    a, b = np.random.default_rng(1).normal(size=(2, 80))
    counts = resample_counts(80)
    difference = paired_bootstrap_difference(
        lambda w: weighted_mean(a, w), lambda w: weighted_mean(b, w), counts
    )
    assert difference.value == pytest.approx((a - b).mean())
    expected = percentile_interval(weighted_mean(a - b, counts))
    assert difference[1:] == pytest.approx(expected, abs=1e-5)


def test_paired_difference_of_an_undefined_metric_is_none():
    undefined = paired_bootstrap_difference(lambda w: None, lambda w: 0.5, resample_counts(5))
    assert undefined == Difference(None, None, None)


# --- holm


def test_holm_by_hand():
    """Sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04; the last may not fall below .06."""
    adjusted = holm({"w": 0.04, "x": 0.01, "y": 0.03, "z": 0.02})
    assert adjusted == pytest.approx({"w": 0.06, "x": 0.04, "y": 0.06, "z": 0.06})
    assert list(adjusted) == ["w", "x", "y", "z"]


def test_holm_does_not_count_what_has_no_p_value():
    assert holm({"a": None, "b": 0.02, "c": 0.5}) == pytest.approx({"a": None, "b": 0.04, "c": 0.5})
    assert holm({"a": None}) == {"a": None}
    assert holm({}) == {}


@pytest.mark.parametrize("p", [1.1, -0.1, float("nan")])
def test_holm_refuses(p):
    with pytest.raises(ValueError, match="p_values: bad"):
        holm({"good": 0.5, "bad": p})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1000).map(lambda k: k / 1000), min_size=1, max_size=7))
def test_holm_is_the_step_down_procedure(ps):
    """At level α Holm rejects while p_(i) ≤ α/(m − i + 1); adjusted p ≤ α says the same."""
    adjusted = holm({str(i): p for i, p in enumerate(ps)})
    for alpha in (0.0105, 0.0505, 0.2505, 0.9005):
        rejected = set()
        for step, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
            if ps[i] > alpha / (len(ps) - step):
                break
            rejected.add(str(i))
        assert rejected == {name for name, p in adjusted.items() if p <= alpha}


# --- trends


def page_by_brute_force(scores):
    """P(L ≥ observed) over every way to permute every row."""
    ranks = stats.rankdata(scores, axis=1)
    position = np.arange(1, ranks.shape[1] + 1)
    observed = (ranks @ position).sum()
    rows = [[np.dot(order, position) for order in permutations(row)] for row in ranks]
    sums = np.array([sum(choice) for choice in product(*rows)])
    return observed, (sums >= observed - 1e-9).mean()


@pytest.mark.parametrize(
    "scores",
    [
        [[1, 2, 3]],
        [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]],
        [[3, 1, 2, 4], [1, 2, 2, 5], [0, 0, 0, 0]],
        [[3, 2, 1], [1, 2, 2], [0.5, 0.1, 0.7], [1, 0, 0], [2, 1, 2]],
    ],
)
def test_page_trend_is_the_permutation_test(scores):
    trend = page_trend(scores)
    assert trend.method == "exact"
    assert (trend.statistic, trend.p_value) == pytest.approx(page_by_brute_force(scores))


def test_page_trend_of_one_row_by_hand():
    """One of 3! orders is rising, so p = 1/6; L = 1·1 + 2·2 + 3·3."""
    assert page_trend([[0.1, 0.2, 0.9]])[:3] == (14, pytest.approx(1 / 6), "exact")


def test_page_trend_is_scipys_without_ties():
    rng = np.random.default_rng(3)
    for rows, levels, method in ((8, 4, "exact"), (300, 4, "normal"), (5, 9, "normal")):
        scores = rng.random((rows, levels)) + 0.02 * np.arange(levels)
        expected = stats.page_trend_test(scores)
        trend = page_trend(scores)
        assert trend.method == method
        assert trend[:2] == pytest.approx((expected.statistic, expected.pvalue))


def test_page_trend_normal_meets_exact_where_they_part(monkeypatch):
    """0/1 decisions on EXACT_ROWS differing rows among many equal ones, both ways."""
    rng = np.random.default_rng(4)
    scores = np.repeat(rng.integers(0, 2, (1000, 1)), 4, axis=1)
    scores[:EXACT_ROWS] = rng.permuted(np.tile([0, 0, 1, 1], (EXACT_ROWS, 1)), axis=1)
    exact = page_trend(scores)
    monkeypatch.setattr("lib.analysis.trends.EXACT_ROWS", 0)
    normal = page_trend(scores)
    assert (exact.method, normal.method) == ("exact", "normal")
    assert exact.statistic == normal.statistic
    assert normal.p_value == pytest.approx(exact.p_value, abs=0.02)


def test_page_trend_keeps_its_level_under_ties():
    """2,024 decisions at four levels, 3 % flipped at random: no trend. p is uniform, so a tenth
    falls below 0.1; scipy's p, blind to ties, never does."""
    rng = np.random.default_rng(5)
    ours, blind = [], []
    for _ in range(300):
        scores = (rng.random((2024, 1)) < 0.5) ^ (rng.random((2024, 4)) < 0.03)
        ours.append(page_trend(scores).p_value)
        blind.append(stats.page_trend_test(scores).pvalue)
    assert np.mean(np.array(ours) < 0.1) == pytest.approx(0.1, abs=0.05)
    assert np.mean(np.array(blind) < 0.1) < 0.02


def test_page_trend_ignores_the_order_of_rows_and_knows_directions():
    scores = np.random.default_rng(6).random((40, 4)) + 0.2 * np.arange(4)
    assert page_trend(scores[::-1]) == page_trend(scores)
    assert page_trend(scores).p_value < 0.01
    assert page_trend(-scores).p_value > 0.99


def test_page_trend_outcomes_without_a_test():
    assert page_trend(np.zeros((5, 2))) == (
        None,
        None,
        None,
        "2 levels: Page's test needs at least 3",
    )
    assert page_trend(np.zeros((0, 3))) == (None, None, None, "no rows")
    assert page_trend(np.ones((5, 3))).p_value == 1.0
    assert page_trend(np.ones((5, 9))).p_value == 1.0


@pytest.mark.parametrize("scores", [[1, 2, 3], [[1, 2, np.nan]]])
def test_page_trend_refuses(scores):
    with pytest.raises(ValueError, match="scores"):
        page_trend(scores)
