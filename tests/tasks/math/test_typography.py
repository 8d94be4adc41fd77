"""Numbers in the typography of people and LaTeX: read as one number, or as none."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.config.errors import BadInput
from lib.tasks.math.grading import flexible, grade, number, same, strict
from lib.tasks.math.problems import Problem
from lib.tasks.math.typography import plain
from lib.tasks.symbolic.grading import written

THIN, NARROW, NO_BREAK = "\u2009", "\u202f", "\u00a0"

# The last number of a text; None: a number is there, and it can be read in two ways.
READ = {
    # signs
    "it is −5": "-5", "it is –5": "-5", "it is —5": "-5", "‒5": "-5", "‑5": "-5", "－5": "-5",
    "﹣5": "-5", "➖5": "-5", "(−5)": "-5", "**−5**": "-5", r"\boxed{−5}": "-5", "$−5$": "-5",
    "−0.5": "-0.5", "−.5": "-0.5", "−\u200e5": "-5", "- 5": "5", "x = − 5": "-5", "= – 5": "-5",
    # between two
    "3–5": "5", "3—5": "5", "5−3": "3", "$3–$5": "5", "3%–5%": "5", "10 − 5": "5", "3 – 5": "5",
    "is—5": "5", "(2)−3": "3", "x²−5": "5", "$5$−3": "3", "6'–7'": "7", "5 −3": "-3",
    "Answer – 5": "5", "– 5 apples": "5",
    # a sign or something between
    "3 –5": None, "is − 5": None, r"\frac{1}{2}−5": None, "sum: – 5": None,
    "±5": None, r"x = \pm 5": None, "5 ± 2": None,
    # currency
    "−$5": "-5", r"-\$5": "-5", r"−\$5": "-5", "-€5": "-5", "−£5": "-5", "€-5": "-5", "¥5": "5",
    "10€-3€": "3", r"\$1{,}234.50": "1234.50", "＄７": "7",
    # thousands
    "1{,}234": "1234", r"1\,234": "1234", r"1,\!234": "1234", r"1\;234": "1234",
    r"1\text{,}234": "1234", r"1\,234\,567.5": "1234567.5", r"\boxed{1{,}234{,}567}": "1234567",
    f"1{THIN}234": "1234", f"1{NARROW}234{NARROW}567": "1234567", f"1{NO_BREAK}234": "1234",
    f"−1{THIN}234.5": "-1234.5", "1'234": "1234", "1’234’567": "1234567", "1_234": "1234",
    "10 000": "10000", "1 000 000": "1000000", "10~000": "10000",
    # a thousand or something else
    "1 234": None, "1 234 567": None, "1~234": None, r"12\,34": None, f"1234{THIN}567": None,
    r"3.141\,592": None, "1.234,5": None, "1.234.567,8": None, f"1{THIN}234,5": None,
    "1 234,5": None, "3{,}14": None, "1.2.3": None, "1.234.567": None, "12.05.2024": None,
    # two numbers
    f"10{NO_BREAK}20": "20", "1234 567": "567", "10 20": "20", "10,20": "20", "5'11": "11",
    "Q1 200": "200",
    # digits
    "１２３": "123", "１，２３４．５": "1234.5", "٣٤": "34", "١٬٢٣٤٫٥": "1234.5", "𝟏𝟐": "12",
    "१८": "18", "1\u200b234": "1234", "18。": "18", "18．": "18",
    # more than the digits alone
    "10²": None, "5×10³": None, "2½": None, "½": None, "from 10 to ½": None, "3万": None,
    "18…": None, "5 m²": "5", "x² is 9": "9",
    # as ever
    "5-3": "3", "3/4": "4", "20%": "20", "1e5": "5", "5:30": "30", "10^3": "3", "5 -3": "-3",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), READ.items())
def test_the_last_number(text, value):
    found = flexible(text)
    assert found is not None
    assert number(found) == (value and Decimal(value))
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("#### −5", "-5"), ("#### –5", "-5"), ("#### − 5", "-5"), ("#### 1{,}234", "1234"),
        (f"####{NO_BREAK}18", "18"), (f"#### 1{NARROW}234", "1234"), ("#### １８", "18"),
        ("#### 10 000", "10000"), ("#### 1 234", None), ("#### 1.234,5", None), ("#### 2½", None),
        ("#### 10²", None), ("#### 18.", "18"), ("#### 3-5", "3"), (f"#### 12{THIN}34", None),
    ],
)  # fmt: skip
def test_behind_the_mark(text, value):
    assert number(strict(text)) == (value and Decimal(value))


def test_minus_five_is_not_five_and_golds_are_read_alike():
    row = {"id": "a", "final": "−5", "steps": 1}
    assert grade(row, {"outputs": ["#### −5"]})["correct"]
    assert grade(row, {"outputs": ["#### -5"]})["correct_strict"]
    assert not grade(row, {"outputs": ["#### 5"]})["correct"]
    assert not grade(row | {"final": "5"}, {"outputs": ["so −5"]})["correct"]
    assert same("1\\,800", "1 800".replace(" ", NO_BREAK))
    Problem(question="What?", answer="#### −1{,}234")
    with pytest.raises(BadInput, match="x: row 1: answer: found no number behind ####.*'1 234'"):
        Problem(where="x: row 1", question="What?", answer="#### 1 234")


def test_votes_count_one_number_however_it_is_typeset():
    said = ["−1234", "-1,234", r"-1{,}234", f"–1{THIN}234", "－１２３４", "-1234.0"]
    assert {written(text) for text in said} == {"-1234"}
    assert written("1 234") is written("10²") is None


@given(st.text("0123456789-$., \n#()=+*/abc", max_size=40))
def test_plain_text_stays_as_it_is_but_for_groups_of_three(text):
    assert plain(text).replace(" ", "") == text.replace(" ", "")
    if " 0" not in text:
        assert plain(text) == text
