"""Numbers in answers, by hand and against the regular expressions of lm-evaluation-harness."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.tasks.math.grading import (
    final,
    flexible,
    grade,
    number,
    plain,
    same,
    steps,
    strict,
    summary,
)

GOLD = (
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"
    "Natalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n#### 72"
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", "18"), ("18.00", "18"), ("$18", "18"), ("18.", "18"), ("18,", "18"), (" 18 ", "18"),
        ("1,800", "1800"), ("1800", "1800"), ("$1,234.50", "1234.5"), ("-5", "-5"), ("-$5", "-5"),
        (".5", "0.5"), ("1,234,567", "1234567"), ("007", "7"),
    ],
)  # fmt: skip
def test_one_number_however_it_is_written(text, value):
    assert number(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    ["18...", "18..", "1,80", "1,8000", "5-3", "1.2.3", "eggs", "", None, "-", "$", ".", ",",
     "--5", "-$-5"],
)  # fmt: skip
def test_what_is_no_number(text):
    assert number(text) is None


def test_numbers_are_compared_as_numbers():
    assert all(same(said, "18") for said in ("18", "18.00", "$18", "18."))
    assert same("1,800", "1800.0")
    # Without dots and commas "18.00" would be "1800", and "18..." would be "18".
    assert not same("18.00", "1,800")
    assert not same("18...", "18")
    assert not same(None, "18")


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("5-3", "3"),  # not −3
        ("(2+3)-4", "4"), ("a-3", "3"), ("10-$3", "$3"),
        ("x=-3", "-3"), ("it is -3", "-3"), ("-$5", "-$5"), ("5 -3", "-3"),
        ("so 18.", "18"), ("18 eggs, not 20.", "20"), ("**18**", "18"), (r"\boxed{18}", "18"),
        ("10,20", "20"), ("1,800 pounds", "1,800"), ("1,8000", "8000"), ("3/4", "4"),
        ("20%", "20"), ("about 18...", "18..."), ("5 dollars...", "5"), ("no idea...", None),
        ("", None), ("2.5.", "2.5"), ("#### 72\nQ: 3 + 4", "4"),
    ],
)  # fmt: skip
def test_the_last_number_of_a_text(text, last):
    assert flexible(text) == last


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("so\n#### 72", "72"), ("#### 1,800.", "1,800."), ("#### -5", "-5"),
        ("#### 72\n\nQuestion: …\n#### 9", "72"),  # the first: what follows is another problem
        ("####72", None), ("#### $72", None), ("#### seventy", None), ("72", None),
        ("#### 18...", "18..."),
    ],
)  # fmt: skip
def test_what_stands_behind_the_mark(text, told):
    assert strict(text) == told


# lm_eval/tasks/gsm8k/gsm8k.yaml: the two filters, and what exact_match leaves out of both sides.
HARNESS = {"strict": r"#### (\-?[0-9\.\,]+)", "flexible": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"}
IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")


def harness(text: str, kind: str) -> str:
    """Return what the harness compares."""
    found = re.findall(HARNESS[kind], text)
    if not found:
        return "[invalid]"
    one = found[0] if kind == "strict" else next(part for part in found[-1] if part)
    for pattern in IGNORED:
        one = re.sub(pattern, "", one)
    return one


plain_number = st.integers(-9999, 99999).map(lambda n: f"{n:,}")


@given(plain_number, st.sampled_from(["", ".", " eggs", " dollars."]), st.integers(-99, 99999))
def test_plain_answers_are_judged_as_the_harness_judges_them(said, behind, gold):
    text = f"First 3 and 4 make 7.\n#### {said}{behind}"
    for kind, extract in (("strict", strict), ("flexible", flexible)):
        theirs = harness(text, kind) == re.sub(",", "", str(gold))
        assert same(extract(text), str(gold)) == theirs
        assert same(extract(text), harness(text, kind))


def test_a_worked_answer():
    assert final(GOLD) == "72"
    assert steps(GOLD) == 2
    assert "<<" not in plain(GOLD)
    assert plain(GOLD).startswith("Natalia sold 48/2 = 24 clips in May.\n")
    assert steps(plain(GOLD)) == 2  # by its lines
    assert final("no mark: 72") is None
    assert final("72\n#### ") is None
    assert final("#### 1\n#### 2") == "2"


def test_grade_reports_both_readings():
    row = {"id": "a", "final": "1,800", "steps": 3}
    got = grade(row, {"outputs": ["It is 1800.\n#### 1800.00 in all, of 2000"]})
    assert got == {
        "strict": "1800.00", "flexible": "2000", "correct_strict": True, "correct": False,
        "steps": 3,
    }  # fmt: skip
    nothing = grade(row, {"outputs": []})
    assert (nothing["strict"], nothing["flexible"], nothing["correct"]) == (None, None, False)
    assert summary([got, got | {"correct": True}]) == "right 50.0 %"
