"""Rows of a source → records of our columns, with the preferred of two completions told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.data.fields import SYSTEM, is_missing, shown, unread_columns
from lib.data.sources import Placed, guess_column
from lib.tasks.preference.conversations import is_plain
from lib.tasks.preference.schema import COLUMNS, DIRECT, JUDGED

Record = dict[str, Any]  # id, prompt, system, chosen, rejected, split, source: those there are

EXPECTED = (
    "chosen and rejected, or completion_a, completion_b and choice, and prompt where the answers "
    "are text"
)
# What other people call our columns.
ALIASES = {
    "prompt": ("instruction", "question", "query", "input", "context", "user"),
    "chosen": ("preferred", "better", "accepted", "winner", "chosen_response"),
    "rejected": ("dispreferred", "worse", "refused", "loser", "rejected_response"),
    "completion_a": ("response_a", "answer_a", "output_a", "response1", "output1", "answer1"),
    "completion_b": ("response_b", "answer_b", "output_b", "response2", "output2", "answer2"),
    "choice": ("preference", "preferred", "label", "winner", "verdict", "better"),
}
# Columns that are taken for ours, where a source has none of our name.
USUAL = (
    ("prompt", "instruction"),
    ("prompt", "conversations"),
    ("source", "dataset"),
    *(("system", name) for name in SYSTEM),
)
TIES = ("tie", "ties", "tied", "equal", "same", "draw", "both", "neither")
# a, B, completion_a, "model b"; 0, 1, 2, 1.0, "response 1". Other words may turn it round: "not a"
NOUN = r"(?:(?:answer|assistant|candidate|completion|model|option|output|response)[ _-]?)?"
LETTER = re.compile(NOUN + r"([ab])")
NUMBER = re.compile(NOUN + r"([012])(?:\.0)?")


def records(
    placed: Placed, source: str, given: Mapping[str, str]
) -> tuple[list[tuple[str, Record]], int, list[str]]:
    """(where, record) of every row, how many ties were left out, and the columns not read.

    given: our name → the source's, as `data.columns` has it. Where the source tells two completions
    and a choice, chosen and rejected are made of them. Raises BadInput for missing columns and for
    choices that cannot be told.
    """
    found = list(dict.fromkeys(key for _, row in placed for key in row))
    names = {ours: given.get(ours, ours) for ours in COLUMNS}
    for ours, other in USUAL:
        if ours not in given and ours not in found and other in found and names[ours] not in found:
            names[ours] = other
    judged = _is_judged(found, given, names)
    _check(placed, source, given, names, found, JUDGED if judged else DIRECT)
    made = [(where, {o: row[n] for o, n in names.items() if n in row}) for where, row in placed]
    with_input = names["prompt"] == "instruction" and "input" in found
    unread = unread_columns(placed, {*names.values(), *(["input"] if with_input else [])})
    if with_input:
        for (_, record), (_, row) in zip(made, placed, strict=True):
            record["prompt"] = _with_input(record.get("prompt"), row.get("input"))
    if not judged:
        return made, 0, unread
    first = choices([(where, record.get("choice")) for where, record in made], names["choice"])
    decided = [
        (where, {**record, "chosen": record.get(a), "rejected": record.get(b)})
        for (where, record), preferred in zip(made, first, strict=True)
        if preferred is not None
        for a, b in [JUDGED[:2] if preferred == "a" else JUDGED[1::-1]]
    ]
    return decided, len(made) - len(decided), unread


def choices(placed: Iterable[tuple[str, Any]], column: str) -> list[str | None]:
    """ "a" or "b" for each choice, None for a tie.

    Numbers are read as 0/1 or as 1/2, whichever all of them fit. Raises BadInput, with the row, for
    what is neither, and where only 1 occurs, which could be either.
    """
    plain = [(where, _plain(value)) for where, value in placed]
    matches = [NUMBER.fullmatch(value) for _, value in plain]
    numbers = {match[1] for match in matches if match}
    if "0" in numbers and "2" in numbers:
        where = next(w for (w, _), m in zip(plain, matches, strict=True) if m and m[1] == "2")
        raise BadInput(
            f"{where}: {column}: found 2 where other rows have 0, expected numbers 0 and 1, or 1 "
            f"and 2; name a tie 'tie'"
        )
    if numbers == {"1"}:
        where = next(w for (w, _), m in zip(plain, matches, strict=True) if m)
        raise BadInput(
            f"{where}: {column}: found 1 and no other number in any row: 1 may be the first of 1 "
            f"and 2 or the second of 0 and 1; expected a or b"
        )
    first = "0" if "0" in numbers else "1"
    told = []
    for (where, value), match in zip(plain, matches, strict=True):
        if value in TIES or value.startswith("tie "):
            told.append(None)
        elif match:
            told.append("a" if match[1] == first else "b")
        elif letter := LETTER.fullmatch(value):
            told.append(letter[1])
        else:
            raise BadInput(
                f"{where}: {column}: found {shown(value)!r}, expected a, b, completion_a, "
                f"completion_b, 0 and 1, 1 and 2, or tie{nearest(value, (*JUDGED[:2], 'tie'))}"
            )
    return told


def _is_judged(found: list[str], given: Mapping[str, str], names: Mapping[str, str]) -> bool:
    """Whether rows tell two completions and a choice, not chosen and rejected."""
    if any(ours in given for ours in DIRECT):
        return False
    return any(ours in given or ours in found for ours in JUDGED) and not all(
        names[ours] in found for ours in DIRECT
    )


def _check(
    placed: Placed,
    source: str,
    given: Mapping[str, str],
    names: Mapping[str, str],
    found: list[str],
    wanted: tuple[str, ...],
) -> None:
    """Every column that is named in `given`, or that a pair cannot do without, is there."""
    needed = {*given, *wanted}
    answers = [row.get(names[wanted[0]]) for _, row in placed]
    if any(is_plain(answer) and answer for answer in answers):
        needed.add("prompt")
    for ours in sorted(needed, key=COLUMNS.index):
        name = names[ours]
        if name in found:
            continue
        others = [column for column in found if column not in names.values()]
        close = guess_column(name, ALIASES.get(ours, ()), others)
        said = f"{name!r} (data.columns.{ours})" if ours in given else repr(name)
        mean = f"did you mean {close!r}? " if close else ""
        raise BadInput(
            f"{source}: no column {said}, found {listed(found, 20)}; expected {EXPECTED}; {mean}"
            f"Say data.columns.{ours}={close or 'COLUMN'}"
        )


def _with_input(instruction: Any, text: Any) -> Any:
    """An instruction and what it is about, where a row has both, as in Alpaca's data."""
    if isinstance(instruction, str) and isinstance(text, str) and text.strip():
        return f"{instruction}\n\n{text}"
    return instruction


def _plain(value: Any) -> str:
    """A choice as it is compared. True and false tell nothing: they stay words."""
    return "" if is_missing(value) else str(value).strip().casefold()
