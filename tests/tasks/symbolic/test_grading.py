"""One spelling a number; the greedy answer beside the samples."""

import pytest

from lib.tasks.symbolic.grading import correct, grade, regrade, summary, written

ROW = {"id": "a", "final": "1,800"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so $1,800.", "1800"),
        ("#### 1800.00", "1800"),
        ("18.50 euros", "18.5"),
        ("0.0", "0"),
        ("it falls by -0.0", "0"),
        ("-5 degrees", "-5"),
        ("100", "100"),
        ("18...", None),
        ("no number", None),
        ("", None),
    ],
)
def test_numbers_in_one_spelling(text: str, found: str | None) -> None:
    assert written(text) == found


def test_grade_of_samples() -> None:
    graded = grade(ROW, ["it is 1800", "17", "none", "$1,800.0"], None)
    assert graded["answers"] == ["1800", "17", None, "1800"]
    assert graded["right"] == [True, False, False, True]


def test_the_only_output_is_the_greedy_answer() -> None:
    graded = grade(ROW, ["1800"], None)
    assert (graded["greedy_answer"], graded["correct"], correct(graded)) == ("1800", True, True)
    assert grade(ROW, [], None) == {
        "answers": [], "right": [], "greedy_answer": None, "correct": False,
    }  # fmt: skip


def test_a_greedy_answer_of_its_own() -> None:
    prediction = {"id": "a", "outputs": ["17", "1800"], "greedy": "so 1,800"}
    graded = regrade(ROW, prediction)
    assert graded["right"] == [False, True]
    assert (graded["greedy_answer"], graded["correct"]) == ("1800", True)
    assert summary([graded, grade(ROW, ["3"], None)]) == "right 50.0 %"
    with pytest.raises(KeyError, match="greedy"):
        regrade(ROW, {"id": "a", "outputs": ["17"]})
