"""Estimates and contrasts of items written by hand: intervals, seeds, matching, families."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from lib.analysis import items
from lib.analysis.contrasts import contrasts
from lib.analysis.estimates import estimates, measured
from lib.analysis.items import items_of, items_table
from lib.analysis.seeds import seed_draws, two_way
from lib.analysis.statistics import percentile_interval, resample_counts, wilson
from lib.config.metrics import TRAINING, Analysis, Metric, Pair

CONFIG = SimpleNamespace(level=0.95, resamples=400, seed=0)
RIGHT = Metric(name="accuracy", label="Accuracy", needs=("right",))
LOSS = Metric(name="loss", label="Loss", needs=("loss",), kind="mean", bounds=(None, None),
              step=None)  # fmt: skip
TASK = Analysis(outcomes=lambda *_: {}, metrics=lambda config: (RIGHT, LOSS), slices=("kind",))


def tables(answers, clusters=None, status=None, pairs=(), sets=None, analysis=TASK):
    """Estimates and contrasts of {(setting, seed): right or wrong of each item}."""
    parts, points = [], []
    for (setting, seed), right in answers.items():
        name = f"{setting}{seed}"
        n = len(right)
        loss = [None if one is None else 2.0 * one for one in right]
        parts.append(items_of("t", name, {
            "set": sets or ["test"] * n, "item": [f"i{k}" for k in range(n)],
            "cluster": clusters or list(range(n)), "right": right, "loss": loss,
            "kind": ["even" if k % 2 == 0 else None for k in range(n)],
        }))  # fmt: skip
        points.append({"point": name, "setting": setting, "seed": seed,
                       "status": (status or {}).get(name, "done"),
                       **{metric.name: np.nan for metric in TRAINING}})  # fmt: skip
    points = pd.DataFrame(points)
    found = measured(
        items.test_sets(items_table(parts), analysis, CONFIG), analysis, points, CONFIG
    )
    every = estimates(found, points, CONFIG).set_index(["name", "set", "slice", "metric"])
    return every, contrasts(found, [Pair("f", *pair) for pair in pairs], CONFIG)


def draw(n, rate, seed):
    return np.random.default_rng(seed).binomial(1, rate, n).tolist()


def test_a_rate_of_independent_items_has_wilsons_interval():
    every, _ = tables({("a", 1): [1, 1, 1, 0, 0]})
    row = every.loc["a1", "test", "", "accuracy"]
    assert (row["low"], row["high"]) == wilson(3, 5)
    assert (row["value"], row["method"], row["n"], row["units"]) == (0.6, "wilson", 5, 5)
    part = every.loc["a1", "test", "kind=even", "accuracy"]
    assert (part["value"], part["n"]) == (pytest.approx(2 / 3), 3)


def test_clusters_are_units_and_constant_ones_get_wilsons_of_as_many():
    every, _ = tables({("a", 1): [1, 1, 0, 0, 1, 1], ("b", 1): [1] * 6},
                      clusters=["x", "x", "y", "y", "z", "z"])  # fmt: skip
    varied, same = (every.loc[name, "test", "", "accuracy"] for name in ("a1", "b1"))
    assert (varied["method"], varied["units"]) == ("bootstrap", 3)
    assert (same["low"], same["high"]) == wilson(3, 3)
    assert np.isnan(every.loc["b1", "test", "", "loss"]["low"])  # nothing bounds a mean


def test_unknown_outcomes_are_left_out_and_not_wrong():
    every, _ = tables({("a", 1): [1, None, 1, 0]})
    row = every.loc["a1", "test", "", "accuracy"]
    assert (row["value"], row["n"]) == (pytest.approx(2 / 3), 3)


def test_two_ways_have_the_variance_of_new_seeds_and_new_items():
    """Means of S seeds that differ by fixed amounts: sd²/S, whatever S is."""
    for values in ([0.0, 1.0], [0.0, 1.0, 5.0], [1.0, 2.0, 4.0, 8.0]):
        resampled = two_way(np.repeat(np.array(values)[:, None], 40000, axis=1), 0)
        assert resampled.var() == pytest.approx(np.var(values, ddof=1) / len(values), rel=0.03)
        assert seed_draws(len(values), 100, 0).sum(axis=1) == pytest.approx(1)


def test_a_setting_is_the_mean_of_its_done_seeds():
    answers = {("a", s): draw(200, rate, s) for s, rate in ((1, 0.3), (2, 0.6), (3, 0.9))}
    every, _ = tables(answers | {("a", 4): [0] * 100}, status={"a4": "partial"})
    row = every.loc["a", "test", "", "accuracy"]
    values = [np.mean(answers["a", s]) for s in (1, 2, 3)]
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert (row["seeds"], row["method"]) == (3, "two-way")
    assert row["high"] - row["low"] > 0.2  # seeds vary more than items: 0.07 alone
    assert every.loc["a4", "test", "", "accuracy"]["n"] == 100


def test_seeds_are_matched():
    """b is a with a tenth fewer right at each seed; seeds themselves differ by far more."""
    answers = {}
    for seed, rate in ((1, 0.4), (2, 0.6)):
        right = draw(400, rate, seed)
        answers["a", seed] = right
        answers["b", seed] = [0 if k % 10 == 0 else one for k, one in enumerate(right)]
    answers["b", 3] = [0] * 400
    _, found = tables(answers, pairs=[("a", "b")])
    row = found[found["metric"] == "accuracy"].iloc[0]
    expected = np.mean([np.mean(answers["a", s]) - np.mean(answers["b", s]) for s in (1, 2)])
    assert row["difference"] == pytest.approx(expected)
    assert (row["seeds"], row["n"]) == (2, 400)
    assert row["low"] > 0
    assert row["high"] - row["low"] >= row["high_items"] - row["low_items"]


def test_without_a_seed_in_common_means_are_compared_and_said_to_be_so():
    answers = {("a", 1): [1, 1, 0, 0], ("a", 2): [1, 0, 0, 0], ("b", 3): [0, 0, 0, 1]}
    _, found = tables(answers, pairs=[("a", "b")])
    row = found[found["metric"] == "accuracy"].iloc[0]
    assert (row["seeds"], row["difference"]) == (0, pytest.approx(0.375 - 0.25))


def exact_mcnemar(a, b):
    """McNemar's exact p-value: the discordant items as tosses of a fair coin."""
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    return binomtest(only_a, only_a + only_b).pvalue


def test_one_seed_is_mcnemars_test_and_holm_is_within_a_metric():
    a, b, c = (draw(60, rate, 5 + place) for place, rate in enumerate((0.8, 0.5, 0.4)))
    _, found = tables({("a", 1): a, ("b", 1): b, ("c", 1): c}, pairs=[("a", "b"), ("a", "c")])
    rows = found[found["metric"] == "accuracy"]
    expected = [exact_mcnemar(np.array(a), np.array(other)) for other in (b, c)]
    assert rows["p"].tolist() == pytest.approx(expected)
    assert rows["p_holm"].max() == pytest.approx(max(*expected, 2 * min(expected)))
    assert found[found["metric"] == "loss"]["p"].notna().all()  # normal: its values have no step


def test_a_difference_counts_the_items_that_both_know():
    _, found = tables({("a", 1): [1, 1, None, 0], ("b", 1): [0, None, 1, 0]}, pairs=[("a", "b")])
    row = found[found["metric"] == "accuracy"].iloc[0]
    assert (row["difference"], row["n"]) == (0.5, 2)


def test_sides_that_agree_are_not_certain_to():
    _, found = tables({("a", 1): [1, 0, 1], ("b", 1): [1, 0, 1]}, pairs=[("a", "b")])
    right, loss = (found[found["metric"] == name].iloc[0] for name in ("accuracy", "loss"))
    assert right["low"] < 0 < right["high"]
    assert np.isnan(loss["low"])  # no bound, no interval
    assert right["p"] == 1


def test_the_mean_of_sets_weighs_each_one():
    analysis = Analysis(outcomes=lambda *_: {}, metrics=lambda config: (RIGHT,),
                        mean_of=("one", "two"))  # fmt: skip
    sets = ["one"] * 2 + ["two"] * 6
    answers = {("a", 1): [1, 1, 0, 0, 0, 1, 1, 1], ("b", 1): [1, 0, 0, 0, 0, 0, 0, 1]}
    every, found = tables(answers, sets=sets, analysis=with_kind(analysis), pairs=[("a", "b")])
    assert every.loc["a", "mean", "", "accuracy"]["value"] == pytest.approx(0.75)
    row = found[found["set"] == "mean"].iloc[0]
    assert row["difference"] == pytest.approx((0.5 + 2 / 6) / 2)
    assert 0 < row["p"] < 1


def with_kind(analysis):
    return Analysis(outcomes=analysis.outcomes, metrics=analysis.metrics, slices=("kind",),
                    mean_of=analysis.mean_of)  # fmt: skip


def test_pooled_sets_draw_what_they_share_once():
    """Cluster x is in both sets: resamples without it lack it in both."""
    analysis = Analysis(outcomes=lambda *_: {}, metrics=lambda config: (RIGHT,), pooled="all",
                        slices=("kind",))  # fmt: skip
    part = items_of("t", "p", {"set": ["one", "one", "two", "two"], "item": list("abcd"),
                               "cluster": list("xyxz"), "right": [1, 0, 1, 0],
                               "kind": [None] * 4})  # fmt: skip
    one, two, whole = items.test_sets(items_table([part]), analysis, CONFIG)
    assert (one.name, two.name, whole.name) == ("one", "two", "all")
    assert (one.counts(0)[:, 0] == two.counts(0)[:, 0]).all()
    assert whole.counts(0).shape == (400, 4)


def test_a_draw_follows_the_labels_of_clusters_and_not_the_order_of_rows():
    """As `resample_counts` numbers them: the interval of today is that of the rows as they came."""
    right, labels = draw(12, 0.5, 3), ["b", "a", "c", "b", "d", "a", "e", "c", "b", "d", "f", "e"]
    every, _ = tables({("a", 1): right}, clusters=labels)
    counts = resample_counts(12, CONFIG.resamples, CONFIG.seed, labels)
    low, high = percentile_interval(counts @ np.array(right, float) / counts.sum(axis=1))
    row = every.loc["a1", "test", "", "accuracy"]
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-6)
