"""Ratings by turn and category, worked out by hand."""

import numpy as np
import pytest

from lib.config.errors import BadInput
from lib.config.schema import Evaluate
from lib.tasks.mt_bench.outcomes import outcomes, point_extras
from tests.analysis.measuring import estimates_of

SETTINGS = Evaluate(baseline={}, resamples=500)


def row(name: str, category: str = "writing") -> dict:
    return {"id": name, "category": category, "turns": ["a", "b"], "reference": None}


def judged(name: str, *raws: str | None, judge: str = "gpt-x") -> dict:
    return {
        "id": name,
        "outputs": ["", ""],
        # The rating that was read then is not what counts.
        "judgments": [
            {"rating": 1.0, "raw": raw, "judge": judge, "prompts_hash": "abc"} for raw in raws
        ],
    }


ROWS = [row("a"), row("b"), row("c", "math")]
JUDGED = [judged("a", "[[8]]", "[[6]]"), judged("b", "[[10]]", "none"),
          judged("c", "[[2]]", "[[4]]")]  # fmt: skip


def test_worked_by_hand():
    found = estimates_of("mt_bench", ROWS, JUDGED, SETTINGS)
    values = {key: one.value for key, one in found.items()}
    assert values["", "score"] == pytest.approx(30 / 5)
    assert values["", "score_turn_1"] == pytest.approx(20 / 3)
    assert values["", "score_turn_2"] == pytest.approx(5)
    assert values["", "score_if_failures_were_1"] == pytest.approx(31 / 6)
    assert values["", "score_if_failures_were_10"] == pytest.approx(40 / 6)
    assert values["", "parsed"] == pytest.approx(5 / 6)
    writing = [found["category=writing", name] for name in ("score", "score_turn_1")]
    assert [(one.value, one.n, one.units) for one in writing] == [(8, 3, 2), (9, 2, 2)]
    low, high, method = found["", "score"].interval
    assert 3 <= low < 6 < high <= 10
    assert method == "bootstrap"
    assert (
        found["category=math", "score"].interval[2] is None
    )  # one question says nothing of others


def test_counts_and_standard_error():
    found = point_extras(ROWS, JUDGED, SETTINGS)
    assert found.pop("standard_error") == pytest.approx(np.std([7, 10, 3], ddof=1) / np.sqrt(3))
    assert found == {
        "rows": 3,
        "n_judged": 5,
        "parse_failures": 1,
        "unjudged": 0,
        "questions": {"a": [8, 6], "b": [10, None], "c": [2, 4]},
        "judge": "gpt-x",
        "prompts_hash": "abc",
    }


def test_the_two_turns_of_a_question_are_drawn_together():
    """With both turns equal, the interval is that of 40 values and not of 80."""
    values = np.random.default_rng(0).integers(1, 11, 40)
    rows = [row(f"{i:02d}") for i in range(40)]
    twice = [judged(f"{i:02d}", f"[[{v}]]", f"[[{v}]]") for i, v in enumerate(values)]
    found = estimates_of("mt_bench", rows, twice, SETTINGS)
    low, high, _ = found["", "score"].interval
    assert (low, high) == pytest.approx(found["", "score_turn_1"].interval[:2])
    error = point_extras(rows, twice, SETTINGS)["standard_error"]
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_what_could_not_be_had_is_told_from_what_could_not_be_read():
    answers = [judged("a", "[[5]]", None), judged("b", "[[11]]", None), {"id": "c", "outputs": []}]
    found = point_extras(ROWS, answers, SETTINGS)
    counts = [found[key] for key in ("n_judged", "parse_failures", "unjudged", "standard_error")]
    assert counts == [1, 1, 4, None]
    values = {
        key: one.value for key, one in estimates_of("mt_bench", ROWS, answers, SETTINGS).items()
    }
    assert values["", "score"] == 5
    assert ("", "score_turn_2") not in values
    bounds = [values["", f"score_if_failures_were_{end}"] for end in (1, 10)]
    assert bounds == [pytest.approx(10 / 6), pytest.approx(55 / 6)]


def test_without_a_judge_there_are_no_items():
    answers = [{"id": one["id"], "outputs": ["", ""], "judgments": None} for one in ROWS]
    assert not any(len(column) for column in outcomes(ROWS, answers, SETTINGS).values())
    found = point_extras(ROWS, answers, SETTINGS)
    assert [found[key] for key in ("n_judged", "parse_failures", "unjudged")] == [0, 0, 0]
    assert found["judge"] is found["prompts_hash"] is found["standard_error"] is None


def test_ratings_of_two_judges_are_two_sets():
    """They are no ratings on one scale, so they are not compared."""
    sets = {outcomes([row("a")], [judged("a", "[[5]]", "[[5]]", judge=judge)], SETTINGS)["set"][0]
            for judge in ("gpt-x", "other")}  # fmt: skip
    assert sets == {"gpt-x, prompts abc", "other, prompts abc"}
    both = [judged("a", "[[5]]", "[[5]]"), judged("b", "[[5]]", "[[5]]", judge="other")]
    assert point_extras(ROWS[:2], both, SETTINGS)["judge"] == "gpt-x + other"


def test_judgments_of_another_form_are_refused():
    with pytest.raises(BadInput, match="row a: judgments: found .*, expected null or one object"):
        outcomes([row("a")], [{"id": "a", "judgments": [{"raw": 5}, None]}], SETTINGS)
