"""What log-probabilities of pairs come to, by hand."""

import math

import numpy as np
import pytest

from lib.config.errors import BadInput
from lib.tasks.preference.metrics import NATS, WINS
from lib.tasks.preference.outcomes import KEYS, outcomes, point_extras, wins


def prediction(number, scores, reference=(-10, -10), lengths=(10, 10), prompt=None):
    return {
        "id": f"r{number}",
        "prompt_hash": prompt or f"h{number}",
        "outputs": [],
        "scores": scores and list(scores),
        "reference": list(reference),
        "lengths": list(lengths),
    }


def rows(n, **more):
    return [{"id": f"r{i}", **more} for i in range(n)]


# ℓ: (1, −1) right, (−2, −1) wrong, (½, ½) a tie, (−1, −3) right.
FOUR = [
    prediction(0, (-9, -21), (-10, -20), (10, 30)),
    prediction(1, (-12, -11), (-10, -10), (20, 10)),
    prediction(2, (-9.5, -19.5), (-10, -20), (10, 10)),
    prediction(3, (-31, -13), (-30, -10), (31, 10)),
]


def test_hand_worked_pairs():
    found = outcomes(rows(4), FOUR, None)
    assert {name: list(found[name]) for name in WINS} == {
        "accuracy": [1, 0, 0.5, 1],
        "ranking_sum": [1, 0, 1, 0],
        "ranking_mean": [0, 1, 1, 1],  # −.9/−.7, −.6/−1.1, −.95/−1.95, −1/−1.3
        "reference_ranking_sum": [1, 0.5, 1, 0],
        "reference_ranking_mean": [0, 1, 1, 1],  # −1/−.67, −.5/−1, −1/−2, −.97/−1
        "longer_wins": [0, 1, 0.5, 1],
        "shorter_wins": [1, 0, 0.5, 0],
    }
    assert list(found["margin"]) == [2, -1, 0, 2]
    assert list(found["kl_chosen"]) == [1, -2, 0.5, -1]
    assert list(found["kl_rejected"]) == [-1, -1, 0.5, -3]
    assert list(found["kl_chosen_per_token"]) == pytest.approx([0.1, -0.1, 0.05, -1 / 31])
    assert list(found["scored"]) == [1, 1, 1, 1]


def test_what_metrics_json_has_beside_the_estimates():
    assert point_extras(rows(4), FOUR, None) == {
        "unscored": 0,
        "prompts": 4,
        "ties": {"accuracy": 1, "ranking_sum": 0, "ranking_mean": 0, "reference_ranking_sum": 1,
                 "reference_ranking_mean": 0, "longer_wins": 1, "shorter_wins": 1},
        "margin_quantiles": pytest.approx(
            {"0.05": -0.85, "0.25": -0.25, "0.5": 1, "0.75": 2, "0.95": 2}
        ),
        "length": {"chosen": 17.75, "rejected": 15.0},
    }  # fmt: skip


@pytest.mark.parametrize("broken", [None, (math.nan, -10), (-math.inf, -10)])
def test_a_pair_without_finite_scores_leaves_all_unknown(broken):
    """Which pairs lack scores is no accident; lengths are known all the same."""
    predictions = [prediction(i, (-9, -10), lengths=(4, 2)) for i in range(5)]
    predictions[2]["scores"] = broken and list(broken)
    found, extras = (fn(rows(5), predictions, None) for fn in (outcomes, point_extras))
    of_scores = {*WINS, *NATS} - {"longer_wins", "shorter_wins"}
    assert all(np.isnan(found[name]).all() for name in of_scores)
    assert list(found["longer_wins"]) == [1] * 5
    assert list(found["scored"]) == [1, 1, 0, 1, 1]
    assert (extras["unscored"], extras["margin_quantiles"]) == (1, None)
    assert (extras["ties"]["accuracy"], extras["ties"]["longer_wins"]) == (None, 0)


def test_pairs_of_one_prompt_are_a_cluster_and_sources_are_slices():
    predictions = [prediction(i, (-9, -10), prompt=f"p{i // 2}") for i in range(4)]
    found = outcomes([*rows(3, source="a"), {"id": "r3"}], predictions, None)
    assert found["cluster"] == ["p0", "p0", "p1", "p1"]
    assert found["source"] == ["a", "a", "a", None]


def test_no_rows():
    assert not any(len(column) for column in outcomes([], [], None).values())
    assert point_extras([], [], None)["length"] == {"chosen": None, "rejected": None}


def test_wins():
    assert wins(np.array([[2, 1], [1, 2], [1, 1.0]])).tolist() == [1, 0, 0.5]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [[-1.0], "12", [-1.0, "x"]])
def test_what_is_no_pair_is_refused(key, value):
    with pytest.raises(BadInput, match=f"row r0: {key}: found .*, expected null or two numbers"):
        outcomes(rows(1), [prediction(0, (-9, -10)) | {key: value}], None)
