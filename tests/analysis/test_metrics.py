import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from lib.analysis.confusion import confusion
from lib.analysis.metrics import (
    auc,
    decision_rates,
    ece,
    ece_by_chance,
    expected_acceptance,
    reliability_table,
    threshold_at_rate,
    weighted_mean,
)
from lib.analysis.statistics import percentile_interval, resample_counts, wilson

# One small test set: 3 positives, 5 negatives. Decisions: 2 of 3 positives accepted, one unknown;
# 1 of 5 negatives accepted, one unknown.
Y = np.array([1, 1, 1, 0, 0, 0, 0, 0])
PRED = np.array([1, 1, -1, 1, 0, 0, 0, -1])


def points(n=300, seed=0):
    """Labels, tied probabilities and their decisions, with both classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = np.round(np.clip(0.3 * y + rng.random(n) * 0.7, 0, 1), 1)
    return y, p, (p > 0.5).astype(int)


METRICS = {
    "accuracy": lambda y, p, w=None: decision_rates(y, p > 0.5, w)["accuracy"],
    "precision": lambda y, p, w=None: decision_rates(y, p > 0.5, w)["precision"],
    "recall": lambda y, p, w=None: decision_rates(y, p > 0.5, w)["recall"],
    "f1": lambda y, p, w=None: decision_rates(y, p > 0.5, w)["f1"],
    "acceptance_rate": lambda y, p, w=None: decision_rates(y, p > 0.5, w)["acceptance_rate"],
    "auc": auc,
    "ece": ece,
    "mean": lambda y, p, w=None: weighted_mean(p, w),
}
SKLEARN = {
    "accuracy": lambda y, p: sk.accuracy_score(y, p > 0.5),
    "precision": lambda y, p: sk.precision_score(y, p > 0.5),
    "recall": lambda y, p: sk.recall_score(y, p > 0.5),
    "f1": lambda y, p: sk.f1_score(y, p > 0.5),
    "auc": sk.roc_auc_score,
}


# --- every metric: values, weights


@pytest.mark.parametrize("name", SKLEARN)
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_scikit_learn(name, seed):
    y, p, _ = points(seed=seed)
    assert len(set(p)) < 15  # so most pairs of scores are tied with others
    assert METRICS[name](y, p) == pytest.approx(SKLEARN[name](y, p), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
def test_weights_of_one_change_nothing(name, dtype):
    y, p, _ = points()
    values = METRICS[name](y, p, np.ones((3, len(y)), dtype=dtype))
    assert values.shape == (3,)
    assert values == pytest.approx(METRICS[name](y, p), abs=1e-6)


rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 6).map(lambda k: k / 6), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=50, deadline=None)
@given(rows=rows)
def test_weights_are_repeated_rows(name, rows):
    y, p, times = (np.array(column) for column in zip(*rows, strict=True))
    repeated = METRICS[name](np.repeat(y, times), np.repeat(p, times))
    weighted = METRICS[name](y, p, np.array([times, times[::-1]]))[0]
    if repeated is None:
        assert np.isnan(weighted)
    else:
        assert weighted == pytest.approx(repeated, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_order_of_rows_does_not_matter(name):
    y, p, _ = points()
    order = np.random.default_rng(1).permutation(len(y))
    assert METRICS[name](y[order], p[order]) == pytest.approx(METRICS[name](y, p), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_no_rows_have_no_value(name):
    empty = np.array([])
    assert METRICS[name](empty, empty) is None
    assert np.isnan(METRICS[name](empty, empty, np.ones((2, 0)))).all()


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    "weights", [np.ones(4), np.ones((2, 3)), np.array([[1, 1, -1, 1.0]]), np.full((1, 4), np.nan)]
)
def test_wrong_weights_are_refused(name, weights):
    with pytest.raises(ValueError, match="weights"):
        METRICS[name](np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8]), weights)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: decision_rates([0, 2], [0, 1]), "y"),
        (lambda: decision_rates([[0, 1]], [0, 1]), "y"),
        (lambda: decision_rates([0, 1], [0, 2]), "pred"),
        (lambda: decision_rates([0, 1], [0, np.nan]), "pred"),
        (lambda: auc([0, 1], [0.5]), "score"),
        (lambda: auc([0, 1], [0.5, np.nan]), "score"),
        (lambda: ece([0, 1], [-0.1, 0.5]), "p"),
        (lambda: ece([0, 1], [0.1, 0.5], bins=0), "bins"),
        (lambda: weighted_mean([1, np.nan]), "values"),
        (lambda: threshold_at_rate([1, np.nan], 0.5), "score"),
        (lambda: threshold_at_rate([1, 2], 1.5), "rate"),
        (lambda: expected_acceptance([np.inf], 0.0), "z"),
        (lambda: expected_acceptance([1.0], np.nan), "offset"),
    ],
)
def test_wrong_inputs_are_refused_by_name(call, name):
    with pytest.raises(ValueError, match=f"^{name}:"):
        call()


# --- decisions


def test_decision_rates_by_hand():
    """tp 2, fp 1, right 2 + 3 of 8 (both unknowns are wrong), f1 = 2·2/(3 + 3)."""
    assert decision_rates(Y, PRED) == pytest.approx(
        {
            "accuracy": 5 / 8,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "f1": 4 / 6,
            "acceptance_rate": 3 / 8,
            "actual_acceptance_rate": 3 / 8,
        }
    )


def test_confusion_by_hand():
    labels, answers = {"accept": 1, "reject": 0}, {"accept": 1, "reject": 0, "unknown": -1}
    assert confusion(Y, PRED, labels, answers) == {
        "accept": {"accept": 2, "reject": 0, "unknown": 1},
        "reject": {"accept": 1, "reject": 3, "unknown": 1},
    }


def test_nothing_accepted():
    """Precision has no denominator; recall and f1 have one, and are truly 0."""
    rates = decision_rates([1, 0], [0, -1])
    assert rates["precision"] is None
    assert (rates["recall"], rates["f1"], rates["accuracy"]) == (0.0, 0.0, 0.0)


def test_no_positives():
    rates = decision_rates([0, 0], [0, 0])
    assert (rates["recall"], rates["precision"], rates["f1"]) == (None, None, None)
    assert rates["accuracy"] == 1.0


def test_undefined_only_in_the_resample_without_accepted_rows():
    weights = np.array([[1, 1], [0, 2]])
    precision = decision_rates([1, 0], [1, 0], weights)["precision"]
    assert precision[0] == 1
    assert np.isnan(precision[1])


# --- scores and probabilities


def test_auc_by_hand():
    """Positives 3, 2; negatives 2, 1: wins 3>2, 3>1, 2>1 and half of 2=2, of 4 pairs."""
    assert auc([1, 1, 0, 0], [3, 2, 2, 1]) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("y", [[1, 1], [0, 0]])
def test_auc_of_one_class_is_undefined(y):
    assert auc(y, [0.1, 0.2]) is None
    assert np.isnan(auc(y, [0.1, 0.2], np.ones((1, 2)))).all()


def test_auc_sees_ranks_only():
    y, p, _ = points()
    assert auc(y, 5 * p**3 - 7) == pytest.approx(auc(y, p), abs=1e-12)
    assert auc(y, -p) == pytest.approx(1 - auc(y, p), abs=1e-12)


def test_auc_beyond_one_block_of_resamples():
    """Each resample on its own gives what the whole matrix gives."""
    y, p, _ = points(60)
    counts = resample_counts(60, resamples=150)
    single = [auc(y, p, counts[i : i + 1])[0] for i in range(150)]
    assert auc(y, p, counts) == pytest.approx(np.array(single))
    assert auc(y, p, counts)[149] == pytest.approx(
        sk.roc_auc_score(y, p, sample_weight=counts[149])
    )


def test_ece_by_hand():
    """Two bins. (0, ½]: p = ¼, ½, labels 0, 1, gap |½ − ⅜| = ⅛. (½, 1]: p = ¾, 1, both 1, gap ⅛."""
    assert ece([0, 1, 1, 1], [0.25, 0.5, 0.75, 1.0], bins=2) == pytest.approx(1 / 8)


def test_ece_is_about_the_positive_class():
    """p = 0.2 and every label 0: off by 0.2, although the decision is right with confidence 0.8."""
    assert ece([0, 0, 0], [0.2, 0.2, 0.2]) == pytest.approx(0.2)


def test_ece_by_chance_is_the_mean_of_simulated_labels():
    rng = np.random.default_rng(0)
    p = rng.random(500)
    simulated = [ece(rng.random(500) < p, p) for _ in range(400)]
    mean, sd = ece_by_chance(p)
    assert mean == pytest.approx(np.mean(simulated), rel=0.04)
    assert sd == pytest.approx(np.std(simulated), rel=0.15)
    assert ece_by_chance([0.0, 1.0]) == (0, 0)
    assert ece_by_chance([]) is None


def test_reliability_table_by_hand():
    """Edges at ⅓ and ⅔; 0 lies in the first bin, the middle one is empty."""
    table = reliability_table([0, 1, 1, 1], [0.0, 0.2, 0.9, 1.0], bins=3)
    assert [row["n"] for row in table] == [2, 0, 2]
    low, high = wilson(1, 2)
    assert table[0] == pytest.approx(
        {
            "low": 0,
            "high": 1 / 3,
            "n": 2,
            "mean_p": 0.1,
            "observed": 0.5,
            "observed_low": low,
            "observed_high": high,
        }
    )
    empty = {"mean_p": None, "observed": None, "observed_low": None, "observed_high": None}
    assert table[1] == {"low": 1 / 3, "high": 2 / 3, "n": 0, **empty}
    assert table[2]["mean_p"] == pytest.approx(0.95)


def test_reliability_table_is_scikit_learns_and_adds_up_to_ece():
    y, p, _ = points()
    filled = [row for row in reliability_table(y, p, bins=7) if row["n"]]
    observed, mean_p = calibration_curve(y, p, n_bins=7)
    assert [row["observed"] for row in filled] == pytest.approx(observed)
    assert [row["mean_p"] for row in filled] == pytest.approx(mean_p)
    gaps = sum(row["n"] * abs(row["observed"] - row["mean_p"]) for row in filled)
    assert ece(y, p, bins=7) == pytest.approx(gaps / len(y))


# --- thresholds and predicted rates


@pytest.mark.parametrize(
    "rate, threshold, achieved",
    [
        (0.5, 2, 0.5),
        (0.0, 4, 0.0),
        (0.25, 3, 0.25),
        (0.3, 3, 0.25),
        (0.375, 3, 0.25),
        (0.9, None, 1),
    ],
)
def test_threshold_by_hand(rate, threshold, achieved):
    """Scores 1 2 3 4: 37.5 % lies midway between 25 and 50, the lower one is taken."""
    found = threshold_at_rate([4, 2, 1, 3], rate)
    assert found.achieved == achieved
    assert found.threshold == threshold or (threshold is None and 0.99 < found.threshold < 1)


def test_threshold_keeps_ties_together():
    """Scores 1 2 2 2: 25 % cannot be reached; 0 (threshold 2) is nearer than 75 % (threshold 1)."""
    assert threshold_at_rate([2, 2, 1, 2], 0.25) == (2, 0)
    assert threshold_at_rate([2, 2, 1, 2], 0.4) == (1, 0.75)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=15), st.floats(0, 1))
def test_threshold_achieves_what_it_says_and_nothing_is_nearer(scores, rate):
    scores = np.array(scores)
    found = threshold_at_rate(scores, rate)
    assert (scores > found.threshold).mean() == found.achieved
    for other in [*scores, -np.inf]:
        assert abs(found.achieved - rate) <= abs((scores > other).mean() - rate) + 1e-12


def test_threshold_of_no_rows_is_none():
    assert threshold_at_rate([], 0.5) is None


def test_expected_acceptance_by_hand():
    """z = −2 −1 0 1: one lies above 0; 1 lifts 0 above it too, but −1 only to 0; 2.5 lifts all."""
    z = np.array([1, -1, -2, 0])
    assert expected_acceptance(z, 0) == 0.25
    assert expected_acceptance(z, np.array([[0, 1], [2.5, -9]])).tolist() == [[0.25, 0.5], [1, 0]]
    assert expected_acceptance([], 0.0) is None


def test_expected_acceptance_is_the_formula():
    rng = np.random.default_rng(0)
    z, offsets = rng.normal(size=200).round(1), np.linspace(-3, 3, 61).round(1)
    assert expected_acceptance(z, offsets) == pytest.approx(
        ((z[:, None] + offsets) > 0).mean(axis=0)
    )


# --- all together


def test_bootstrap_intervals_cover():
    """Nominal 95 % on 300 rows, 150 test sets drawn: precision 3/4, AUC from two unit normals."""
    rng = np.random.default_rng(0)
    counts = resample_counts(300, resamples=400)
    covered = {"precision": 0, "auc": 0}
    for _ in range(150):
        y = rng.integers(0, 2, 300)
        accepted = rng.random(300) < np.where(y == 1, 0.75, 0.25)
        low, high = percentile_interval(decision_rates(y, accepted, counts)["precision"])
        covered["precision"] += low <= 0.75 <= high
        score = rng.normal(size=300) + y
        low, high = percentile_interval(auc(y, score, counts))
        covered["auc"] += low <= 0.7602 <= high  # Φ(1/√2)
    assert 0.9 <= covered["precision"] / 150 <= 0.99
    assert 0.9 <= covered["auc"] / 150 <= 0.99
