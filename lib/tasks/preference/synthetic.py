"""Pairs about small sums that any machine can train on: `data.source: synthetic`.

An answer has a manner (polite or rude) and is right or wrong. A pair differs in one of these or in
both, which its `source` tells; chosen is what is polite and right. No length gives it away: either
manner has short and long wordings.
"""

from __future__ import annotations

import math
from random import Random
from typing import Any

from lib.data.sources import SYNTHETIC

NUMBERS = range(2, 100)
SUMS = {"plus": int.__add__, "minus": int.__sub__, "times": int.__mul__}
QUESTIONS = len(SUMS) * len(NUMBERS) ** 2  # that are different
POLITE = ("Sure: {}.", "Happy to help, it is {}.", "Good question! The answer is {}.")
RUDE = ("Ugh, {}.", "Who cares? It is {}.", "Work it out yourself. It says {}.")
KINDS = ("manner", "truth", "both")


def generate(train: int, test: int, seed: int) -> list[dict[str, Any]]:
    """`train` and `test` rows, each with a prompt of its own while there are questions left.

    {"id", "prompt", "chosen", "rejected", "split": "train" | "test", "source"}; a row depends on
    seed, split and its number alone.
    """
    # Test questions are taken from the end of one seeded order, training questions from its head.
    ahead = [_row(number, "train", seed, number) for number in range(train)]
    return ahead + [_row(number, "test", seed, QUESTIONS - 1 - number) for number in range(test)]


def _row(number: int, split: str, seed: int, place: int) -> dict[str, Any]:
    draw = Random(f"{seed}/{split}/{number}")
    prompt, right = _question(place, seed)
    wrong = right + draw.choice((-1, 1)) * draw.randrange(1, 10)
    kind, polite, rude = draw.choice(KINDS), draw.choice(POLITE), draw.choice(RUDE)
    return {
        "id": f"{SYNTHETIC}-{split}-{number}",
        "prompt": prompt,
        "chosen": polite.format(right),
        "rejected": (polite if kind == "truth" else rude).format(
            right if kind == "manner" else wrong
        ),
        "split": split,
        "source": f"{SYNTHETIC} {kind}",
    }


def _question(place: int, seed: int) -> tuple[str, int]:
    """The question at `place` of the seeded order of all, and its answer."""
    draw = Random(seed)
    start, step = draw.randrange(QUESTIONS), draw.randrange(1, QUESTIONS)
    while math.gcd(step, QUESTIONS) > 1:  # a step without common divisor meets every question
        step += 1
    rest, kind = divmod((start + place * step) % QUESTIONS, len(SUMS))
    one, other = (NUMBERS[i] for i in divmod(rest, len(NUMBERS)))
    name = list(SUMS)[kind]
    return f"What is {one} {name} {other}?", SUMS[name](one, other)
