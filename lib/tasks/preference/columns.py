"""Rows of a source, with the preferred of two completions identified."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lib.config.errors import BadInput, nearest
from lib.data.fields import is_missing, shown, unread_columns
from lib.data.records import columns_of, find_columns, read_records
from lib.data.sources import Placed
from lib.tasks.preference.conversations import is_plain
from lib.tasks.preference.schema import DIRECT, JUDGED, PairRow

TIES = ("tie", "ties", "tied", "equal", "same", "draw", "both", "neither")
# a, B, completion_a, "model b"; 0, 1, 2, 1.0, "response 1". Other words may turn it round: "not a"
NOUN = r"(?:(?:answer|assistant|candidate|completion|model|option|output|response)[ _-]?)?"
LETTER = re.compile(NOUN + r"([ab])")
NUMBER = re.compile(NOUN + r"([012])(?:\.0)?")


def read_rows(
    placed: Placed, source: str, given: Mapping[str, str]
) -> tuple[list[PairRow], int, list[str]]:
    """Rows with `chosen` and `rejected`, how many ties were left out, and the columns not read.

    given: our name → the source's, as `data.columns` has it. Raises BadInput for missing columns
    and for choices that cannot be read.
    """
    found = columns_of(placed)
    judged = (
        not any(ours in given for ours in DIRECT)
        and any(ours in given or ours in found for ours in JUDGED)
        and not all(ours in found for ours in DIRECT)
    )
    needed = list(JUDGED if judged else DIRECT)
    answer = given.get(needed[0], needed[0])
    if any(is_plain(row.get(answer)) and row[answer] for _, row in placed):
        needed.insert(0, "prompt")
    names = find_columns(PairRow, placed, source, given, needed)
    if names.get("prompt") != "instruction":
        names.pop("input", None)
    unread = unread_columns(placed, names.values())
    rows = read_records(PairRow, placed, names)
    for row in rows:
        parts = (row.prompt, row.input)
        if all(isinstance(part, str) for part in parts) and row.input.strip():
            row.prompt = "\n\n".join(parts)
    if not judged:
        return rows, 0, unread
    decided = []
    for row, choice in zip(rows, choices((r.where, r.choice) for r in rows), strict=True):
        if choice is not None:
            answers = (row.completion_a, row.completion_b)
            row.chosen, row.rejected = answers if choice == "a" else answers[::-1]
            decided.append(row)
    return decided, len(rows) - len(decided), unread


def choices(placed: Iterable[tuple[str, Any]], column: str = "choice") -> list[str | None]:
    """ "a" or "b" for each choice, None for a tie.

    Numbers are read as 0/1 or as 1/2, whichever all of them fit. Raises BadInput, with the row, for
    what is neither, and where only 1 occurs, which could be either.
    """
    # True and false say nothing of the order: they stay words.
    plain = [
        (where, "" if is_missing(value) else str(value).strip().casefold())
        for where, value in placed
    ]
    numbers = [(where, match[1]) for where, value in plain if (match := NUMBER.fullmatch(value))]
    values = {number for _, number in numbers}
    if {"0", "2"} <= values:
        where = next(where for where, number in numbers if number == "2")
        raise BadInput(
            f"{where}: {column}: found 2 where other rows have 0, expected numbers 0 and 1, or 1 "
            f"and 2; name a tie 'tie'"
        )
    if values == {"1"}:
        raise BadInput(
            f"{numbers[0][0]}: {column}: found 1 and no other number in any row: 1 may be the "
            f"first of 1 and 2 or the second of 0 and 1; expected a or b"
        )
    letters = dict(zip("01" if "0" in values else "12", "ab", strict=True))
    preferred: list[str | None] = []
    for where, value in plain:
        if value in TIES or value.startswith("tie "):
            preferred.append(None)
        elif match := NUMBER.fullmatch(value):
            preferred.append(letters[match[1]])
        elif match := LETTER.fullmatch(value):
            preferred.append(match[1])
        else:
            raise BadInput(
                f"{where}: {column}: found {shown(value)!r}, expected a, b, completion_a, "
                f"completion_b, 0 and 1, 1 and 2, or tie{nearest(value, (*JUDGED[:2], 'tie'))}"
            )
    return preferred
