"""One spelling a number; the greedy answer beside the samples."""

import pytest

from lib.tasks.symbolic.grading import grade, written
from lib.tasks.symbolic.task import TASK

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


def test_samples_are_graded_beside_the_greedy_answer() -> None:
    samples = ["it is 1800", "17", "none", "$1,800.0"]
    graded = grade(ROW, {"id": "a", "outputs": samples, "greedy": "so 1,800"})
    assert graded["answers"] == ["1800", "17", None, "1800"]
    assert graded["right"] == [True, False, False, True]
    assert (graded["greedy_answer"], graded["correct"]) == ("1800", True)
    alone = grade(ROW, {"outputs": [], "greedy": "3"})
    assert alone == {"answers": [], "right": [], "greedy_answer": "3", "correct": False}
    assert TASK.summary([graded, alone]) == "right 50.0 %"
    with pytest.raises(KeyError, match="greedy"):
        grade(ROW, {"id": "a", "outputs": ["17"]})
