"""Which questions are the same, and which only look alike."""

from itertools import combinations

import pytest

from lib.data.question_key import question_key

SYMBOLS = "+-×/÷*^=<>≤≥≠±%$€!:&|∈∪∩→°√¬#@~∘·"


def test_a_symbol_tells_questions_apart():
    keys = [question_key(f"What is a {symbol} b?") for symbol in [*SYMBOLS, ""]]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "questions",
    [
        ("3.5", "35", "3 5", "3,5", ".35", "0.35"),
        ("-5", "5", "5!", "|5|", "5%", "$5", "5°", "5'", '5"', "(5)"),
        ("x²", "x2", "x^2", "x_2", "x", "X", "√x", "x'", "½x"),
        ("(a + b) c", "a + b c", "a + (b c)"),
        ("5 mW", "5 MW"),
        ("2 : 3", "2 3", "2/3"),
        ("5 + ? = 8", "5 + = 8"),
        ("3, -5", "3 -5", "3 5"),
    ],
)
def test_questions_that_are_two(questions):
    for one, other in combinations(questions, 2):
        assert question_key(f"What is {one} now?") != question_key(f"What is {other} now?")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 2 + 2?", "what is 2+2"),
        ("Question 5: what is it?", "QUESTION 5 WHAT IS IT?"),
        ("Tom's dog, Rex, has 3 bones.  How many?", "TOM’S DOG REX HAS 3 BONES. How many"),
        ("5 − 3", "5 – 3"),
        ("5 − 3", "5 - 3"),
        ("A farmer has a cow.", "a FARMER HAS A COW"),
        ('He said "stop" now.', "He said “stop” now"),
        ("Find\u00a0x + 1.", "Find x +\n1?"),
        ("cafe\u0301", "café"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)
def test_typography_is_no_difference(one, other):
    assert question_key(one) == question_key(other)
