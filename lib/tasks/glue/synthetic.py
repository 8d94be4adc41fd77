"""Sentences with a label that any machine can learn to tell: `data.source: synthetic`.

Each task is posed as GLUE poses it, with a rule that a person sees at once: the adjective of a
review; whether a second sentence says no more than the first; or says it, leaves it open or denies
it. Columns are those of the real sets.
"""

from __future__ import annotations

from random import Random
from typing import Any

TRAIN_ROWS, DEV_ROWS = 400, 100  # where the study says nothing

GOOD = ("superb", "moving", "delightful", "witty", "gripping", "charming")
BAD = ("dull", "clumsy", "tiresome", "shallow", "dreadful", "lifeless")
PARTS = ("plot", "cast", "score", "script", "finale", "pace")
KINDS = ("thriller", "comedy", "drama", "musical", "western", "documentary")
TIMES = ("throughout", "from start to finish", "in every scene", "by any measure", "all the same")
PEOPLE = ("Ada", "Karl", "Mina", "Otto", "Vera", "Hugo", "Lena", "Jan")
THINGS = ("lamp", "boat", "violin", "ladder", "kettle", "bicycle", "map", "clock")
PLACES = ("Oslo", "Ghent", "Turin", "Porto", "Graz", "Lund")
YEARS = range(1950, 2020)


def generate(task: str, part: str, rows: int, seed: int) -> list[dict[str, Any]]:
    """`rows` rows of a set of a task, with the columns of the real one; the label is a number.

    A row depends on seed, task, set and its number alone.
    """
    return [MAKERS[task](Random(f"{seed}/{task}/{part}/{n}"), n) for n in range(rows)]


def _sst2(draw: Random, number: int) -> dict[str, Any]:
    label = number % 2
    word, part, kind = draw.choice(GOOD if label else BAD), draw.choice(PARTS), draw.choice(KINDS)
    sentence = f"the {part} of this {draw.choice(YEARS)} {kind} is {word} {draw.choice(TIMES)}"
    return {"sentence": sentence, "label": label}


def _rte(draw: Random, number: int) -> dict[str, Any]:
    who, what, where, year = _fact(draw)
    label = number % 2
    buyer = draw.choice([person for person in PEOPLE if person != who]) if label else who
    return {
        "sentence1": f"In {year} {who} bought a {what} in {where}.",
        "sentence2": f"{buyer} bought a {what}.",
        "label": label,
    }


def _mnli(draw: Random, number: int) -> dict[str, Any]:
    who, what, where, year = _fact(draw)
    hypotheses = (
        f"{who} bought a {what}.",
        f"{who} paid for a {what} with borrowed money.",
        f"{who} has never bought a {what}.",
    )
    return {
        "premise": f"In {year} {who} bought a {what} in {where}.",
        "hypothesis": hypotheses[number % 3],
        "label": number % 3,
    }


def _fact(draw: Random) -> tuple[str, str, str, int]:
    return draw.choice(PEOPLE), draw.choice(THINGS), draw.choice(PLACES), draw.choice(YEARS)


MAKERS = {"sst2": _sst2, "rte": _rte, "mnli": _mnli}
