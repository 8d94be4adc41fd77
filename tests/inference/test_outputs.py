"""Predictions and judgments of another form than stage 3 writes: one line each, no traceback."""

import math

import pytest

from lib.config.errors import BadInput
from lib.config.schema import Evaluate
from lib.inference.outputs import log_probabilities, texts
from lib.tasks.decision.grading import grade as grade_decision
from lib.tasks.math.grading import grade as grade_number
from lib.tasks.mt_bench.outcomes import outcomes as rate
from lib.tasks.preference.outcomes import outcomes as compare_pairs
from lib.tasks.symbolic.grading import grade as grade_samples
from lib.tasks.symbolic.outcomes import outcomes as votes_of

SETTINGS = Evaluate(baseline={"variant": "base"}, resamples=100)
ROW = {"id": "r1", "final": "7", "steps": 1}


@pytest.mark.parametrize("scores", [None, [None, -1.0], [math.nan, -1.0], [-1.0, math.nan]])
def test_scores_that_are_not_there(scores):
    assert log_probabilities(ROW, scores, 2) is None
    assert grade_decision(ROW, {"outputs": ["Accept"], "scores": scores})["log_odds"] is None


@pytest.mark.parametrize(
    "scores",
    [[], [-1.0], [-1.0, -1.0, -1.0], -1.0, "x", ["-1", -1.0], [True, -1.0], [[-1.0], -1.0],
     {"a": -1.0}, [math.inf, -1.0], [2.0, -1.0], [None], [math.nan]],
)  # fmt: skip
def test_scores_of_another_form(scores):
    with pytest.raises(BadInput, match="^row r1: scores: found .*, expected null or 2 log-prob"):
        grade_decision(ROW, {"outputs": ["Accept"], "scores": scores})


@pytest.mark.parametrize("outputs", [None, "7", [None], [7], [["7"]], {"0": "7"}])
def test_outputs_that_are_no_texts(outputs):
    for grade in (grade_decision, grade_number, grade_samples):
        with pytest.raises(BadInput, match="^row r1: outputs: found .*, expected a list of texts"):
            grade(ROW, {"outputs": outputs, "greedy": "7"})
    with pytest.raises(BadInput, match="found 1 texts, expected 2"):
        texts(ROW, ["7"], 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [("greedy", None), ("greedy", ["7"]), ("seeds", [1]), ("seeds", 3), ("seeds", {})],
)
def test_samples_that_do_not_go_together(key, value):
    whole = {"id": "r1", "outputs": ["7", "8"], "greedy": "7", "seeds": [1, 2]}
    assert grade_samples(ROW, whole)["right"] == [True, False]
    with pytest.raises(BadInput, match=f"row r1: {key}: found"):
        grade_samples(ROW, whole | {key: value})


PAIR = {"id": "r1", "scores": [-1.0, -2.0], "reference": [-1.0, -1.5], "lengths": [3, 4]}


@pytest.mark.parametrize("key", ["scores", "reference", "lengths"])
@pytest.mark.parametrize("value", [[-1.0], [], "x", [1, 2, 3], ["1", 2], {"a": 1}, 3])
def test_what_is_no_pair(key, value):
    with pytest.raises(BadInput, match=f"row r1: {key}: found .*, expected null or two numbers"):
        compare_pairs([ROW], [PAIR | {key: value}], SETTINGS)


def test_pairs_without_numbers_are_unscored_and_lengths_are_counts():
    for scores in (None, [None, -1.0], [math.nan, -1.0], [-math.inf, -1.0]):
        found = compare_pairs([ROW], [PAIR | {"scores": scores}], SETTINGS)
        assert (found["scored"], math.isnan(found["accuracy"][0])) == ([0], True)
    for lengths in ([0, 4], [-1, 4], [math.nan, 4]):
        with pytest.raises(BadInput, match="row r1: lengths: found"):
            compare_pairs([ROW], [PAIR | {"lengths": lengths}], SETTINGS)


JUDGED = {"raw": "[[7]]", "judge": "j", "prompts_hash": "h"}


@pytest.mark.parametrize(
    "judgments", [[], [JUDGED], [JUDGED] * 3, "x", {}, [JUDGED, "x"], [JUDGED, {"raw": 7}]]
)
def test_ratings_of_another_form(judgments):
    row = {"id": "r1", "category": "math"}
    with pytest.raises(BadInput, match="row r1: judgments: found .*, expected null or one object"):
        rate([row], [{"id": "r1", "judgments": judgments}], SETTINGS)


@pytest.mark.parametrize(
    "judgments",
    ["x", [1.0, 2.0], {"rewards": [1.0]}, {"rewards": "x"}, {"rewards": [1.0, "2"]},
     {"rewards": [1.0, math.nan]}, {"rewards": [math.inf, 1.0]}],
)  # fmt: skip
def test_rewards_of_another_form(judgments):
    row = ROW | {"set": "new_templates", "template": "t", "prompt": {"question": "?"}}
    made = {"id": "r1", "outputs": ["7", "8"], "greedy": "7", "scores": None}
    made |= grade_samples(row, made)
    settings = SETTINGS.model_copy(update={"draws": [1, 2]})
    fine = {"rewards": [1.0, None]}
    assert votes_of([row], [made | {"judgments": fine}], settings)["best_2"].tolist() == [1.0]
    with pytest.raises(BadInput, match="row r1: .*rewards"):
        votes_of([row], [made | {"judgments": judgments}], settings)
