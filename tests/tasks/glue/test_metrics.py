"""Accuracy, F1 and confusion by hand and against scikit-learn's definition."""

import numpy as np
import pytest

from lib.analysis.statistics import resample_counts, wilson
from lib.tasks.glue.metrics import confusion, f1, set_metrics


def by_hand(label, predicted, kind):
    """2·tp / (given + predicted), as sklearn's f1_score has it for one label."""
    hits = sum(a == b == kind for a, b in zip(label, predicted, strict=True))
    total = sum(a == kind for a in label) + sum(b == kind for b in predicted)
    return 2 * hits / total


def test_f1_of_two_labels_is_that_of_label_1():
    """tp 2, fp 1, fn 1: 4 / (3 + 3)."""
    label, predicted = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])
    assert f1(label, predicted, 2) == pytest.approx(4 / 6)


def test_f1_of_three_labels_is_the_plain_mean_of_those_that_occur():
    label, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    expected = np.mean([by_hand(label, predicted, kind) for kind in range(3)])
    assert f1(label, predicted, 3) == pytest.approx(expected)
    assert f1(np.array([0, 0]), np.array([0, 1]), 3) == pytest.approx((2 / 3 + 0) / 2)


def test_weights_mean_repeated_rows():
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    counts = rng.integers(0, 3, (5, 40)).astype(float)
    repeated = [
        f1(np.repeat(label, row.astype(int)), np.repeat(predicted, row.astype(int)), 3)
        for row in counts
    ]
    assert f1(label, predicted, 3, counts) == pytest.approx(repeated)


def test_f1_without_the_positive_label_is_unknown():
    zeros = np.zeros(4, dtype=int)
    assert f1(zeros, zeros, 2) is None
    assert np.isnan(f1(zeros, zeros, 2, np.ones((2, 4)))).all()
    found = set_metrics(zeros, zeros, 2, resample_counts(4, 100), 4, 0.95)
    assert found["metrics"]["f1"] == {
        "value": None, "low": None, "high": None, "method": "bootstrap"}  # fmt: skip


def test_confusion_has_true_labels_in_rows():
    label, predicted = np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1])
    assert confusion(label, predicted, 3).tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]


def test_accuracy_of_independent_rows_has_wilsons_interval():
    label, predicted = np.array([0, 1] * 50), np.array([0, 1] * 40 + [1, 0] * 10)
    found = set_metrics(label, predicted, 2, resample_counts(100, 200), 100, 0.95)
    accuracy = found["metrics"]["accuracy"]
    assert (accuracy["value"], accuracy["method"]) == (0.8, "wilson")
    assert (accuracy["low"], accuracy["high"]) == wilson(80, 100)
    assert (found["rows"], found["clusters"], found["majority"]) == (100, 100, 0.5)
    f = found["metrics"]["f1"]
    assert f["value"] == pytest.approx(0.8)
    assert f["low"] < 0.8 < f["high"]


def test_rows_that_are_copies_of_each_other_count_once():
    """Four copies of 25 rows: the bootstrap by group is as wide as that of 25 rows."""
    label, predicted = np.zeros(25, dtype=int), np.array([0] * 20 + [1] * 5)
    groups = tuple(str(i) for i in range(25)) * 4
    counts = resample_counts(100, 2000, 0, groups)
    four = set_metrics(np.tile(label, 4), np.tile(predicted, 4), 2, counts, 25, 0.95)
    accuracy = four["metrics"]["accuracy"]
    assert accuracy["method"] == "bootstrap"
    assert accuracy["high"] - accuracy["low"] == pytest.approx(2 * 1.96 * 0.4 / 5, rel=0.15)
