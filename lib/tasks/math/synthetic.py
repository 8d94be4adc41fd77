"""Small word problems with worked answers, as many as are asked for: `data.source: synthetic`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo")
THINGS = ("apples", "books", "coins", "pens", "shells", "stamps")
# A step: (sentence, operator, function); {n} is the number that it brings in.
STEPS: tuple[tuple[str, str, Callable[[int, int], int]], ...] = (
    ("{name} gets {n} more.", "+", int.__add__),
    ("{name} gives {n} away.", "-", int.__sub__),
    ("Then {name} has {n} times as many.", "*", int.__mul__),
)
MOST = 4  # steps of one problem


def generate(n: int, seed: str) -> list[dict[str, Any]]:
    """`n` rows {"id", "question", "answer"}; a row depends on (seed, its number) alone.

    Answers are worked as GSM8K's are, with calculator annotations and `#### number` at the end.
    Questions may repeat: where rows are many, some do.
    """
    return [_row(number, seed) for number in range(n)]


def _row(number: int, seed: str) -> dict[str, Any]:
    draw = Random(f"{seed}/{number}")
    name, things = draw.choice(NAMES), draw.choice(THINGS)
    have = draw.randrange(2, 100)
    sentences, worked = [f"{name} has {have} {things}."], []
    for _ in range(draw.randrange(1, MOST + 1)):
        # Nothing falls below 0, and no number grows past what is easily read.
        possible = [s for s in STEPS if (s[1] != "-" or have > 1) and (s[1] != "*" or have < 300)]
        sentence, operator, apply = draw.choice(possible)
        most = {"+": 100, "-": have, "*": 5}[operator]
        n = draw.randrange(2 if operator == "*" else 1, most)
        sentences.append(sentence.format(name=name, n=n))
        now = apply(have, n)
        task = f"{have}{operator}{n}"
        worked.append(f"{name} now has {have} {operator} {n} = <<{task}={now}>>{now} {things}.")
        have = now
    question = f"{' '.join(sentences)} How many {things} does {name} have now?"
    return {"id": number, "question": question, "answer": "\n".join([*worked, f"#### {have}"])}
