"""Ratings by turn and category, worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from lib.tasks.mt_bench.evaluate import evaluate

SETTINGS = SimpleNamespace(level=0.95, resamples=500, seed=0)


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


def test_worked_by_hand():
    rows = [row("a"), row("b"), row("c", "math")]
    found = evaluate(
        rows,
        [
            judged("c", "[[2]]", "[[4]]"),
            judged("a", "[[8]]", "[[6]]"),
            judged("b", "[[10]]", "none"),
        ],
        SETTINGS,
    )
    assert found["mean"] == pytest.approx(30 / 5)
    assert found["turn1"] == pytest.approx(20 / 3)
    assert found["turn2"] == pytest.approx(5)
    assert found["bounds"] == [pytest.approx(31 / 6), pytest.approx(40 / 6)]
    assert found["standard_error"] == pytest.approx(np.std([7, 10, 3], ddof=1) / np.sqrt(3))
    counts = {k: found[k] for k in ("rows", "n_judged", "parse_failures", "unjudged")}
    assert counts == {"rows": 3, "n_judged": 5, "parse_failures": 1, "unjudged": 0}
    assert found["questions"] == {"a": [8, 6], "b": [10, None], "c": [2, 4]}
    assert (found["judge"], found["prompts_hash"]) == ("gpt-x", "abc")
    assert list(found["categories"]) == ["writing", "math"]
    writing = found["categories"]["writing"]
    assert [writing[k] for k in ("mean", "turn1", "turn2", "n")] == [8, 9, 6, 3]
    low, high = found["intervals"]["mean"]
    assert 3 <= low < 6 < high <= 10
    assert found["categories"]["math"]["intervals"] == dict.fromkeys(("mean", "turn1", "turn2"))


def test_the_two_turns_of_a_question_are_drawn_together():
    """With both turns equal, the interval is that of 40 values and not of 80."""
    rng = np.random.default_rng(0)
    values = rng.integers(1, 11, 40)
    rows = [row(str(i)) for i in range(40)]
    twice = evaluate(rows, [judged(str(i), f"[[{v}]]", f"[[{v}]]") for i, v in enumerate(values)],
                     SETTINGS)  # fmt: skip
    assert twice["intervals"]["mean"] == pytest.approx(twice["intervals"]["turn1"])
    low, high = twice["intervals"]["mean"]
    assert (high - low) / 2 == pytest.approx(1.96 * twice["standard_error"], rel=0.15)


def test_what_could_not_be_had_is_told_from_what_could_not_be_read():
    rows = [row("a"), row("b"), row("c")]
    answers = [judged("a", "[[5]]", None), judged("b", "[[11]]", None)]
    found = evaluate(rows, answers, SETTINGS)
    assert (found["n_judged"], found["parse_failures"], found["unjudged"]) == (1, 1, 4)
    assert found["mean"] == 5
    assert found["turn2"] is None
    assert found["bounds"] == [pytest.approx(10 / 6), pytest.approx(55 / 6)]
    assert found["standard_error"] is None


@pytest.mark.parametrize("answers", [[], [{"id": "a", "outputs": ["", ""], "judgments": None}]])
@pytest.mark.parametrize("rows", [[], [row("a")]])
def test_without_a_judge_all_is_null(rows, answers):
    found = evaluate(rows, answers, SETTINGS)
    for key in ("mean", "turn1", "turn2", "bounds", "standard_error", "judge", "prompts_hash"):
        assert found[key] is None
    assert found["n_judged"] == found["parse_failures"] == found["unjudged"] == 0
    assert found["intervals"] == dict.fromkeys(("mean", "turn1", "turn2"))


def test_only_failures():
    found = evaluate([row("a")], [judged("a", "no", "[[12]]")], SETTINGS)
    assert found["mean"] is None
    assert found["bounds"] == [1, 10]
    assert found["parse_failures"] == 2


def test_two_judges_are_both_named():
    answers = [judged("a", "[[5]]", "[[5]]"), judged("b", "[[5]]", "[[5]]", judge="other")]
    assert evaluate([row("a"), row("b")], answers, SETTINGS)["judge"] == "gpt-x + other"
