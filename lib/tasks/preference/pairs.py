"""Rows of a source → pairs, each with the prompt that both of its sides share.

Dropped, and counted: ties; pairs whose sides are equal, or differ before the last answer; pairs
whose last answers follow an answer, not a question; repeats; with `data.drop_empty`, pairs without
a prompt or with an empty answer. A pair that is there both ways round, as where two people
disagreed, is kept and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.tasks import Message, Row
from lib.data.fields import is_blank
from lib.data.report import tally
from lib.data.sources import Placed
from lib.tasks.preference.columns import read_rows
from lib.tasks.preference.conversations import is_plain, split, whole
from lib.tasks.preference.schema import DIRECT, PairRow

COUNTS = (
    "dropped_ties",
    "dropped_empty",
    "dropped_equal",
    "dropped_parted",
    "dropped_unasked",
    "dropped_duplicates",
    "contradictions",
    "repeated_ids",
)


class Pair(NamedTuple):
    """A row, the key that all pairs of one prompt share, and the split that its source names."""

    row: Row
    prompt: str
    split: str | None


class Dropped(Exception):
    """A row is no pair: the count that it belongs to, and why it is refused, if it is."""

    def __init__(self, count: str, why: str = "") -> None:
        self.count, self.why = count, why


def read_pairs(data: Any, source: str, placed: Placed) -> tuple[list[Pair], Row]:
    """Pairs of the rows of a source, in their order, and counts of what was dropped.

    Raises BadInput that names file and row.
    """
    rows, ties, unread = read_rows(placed, source, data.columns)
    counts = Counter(dict.fromkeys(COUNTS, 0) | {"dropped_ties": ties})
    pairs: list[Pair] = []
    seen: set[tuple[str | None, ...]] = set()
    ids: set[str] = set()
    for row in rows:
        try:
            messages, chosen, rejected = _parts(row)
        except Dropped as dropped:
            if dropped.why and not data.drop_empty:
                raise BadInput(
                    f"{row.where}: {dropped.why}; leave such rows out with data.drop_empty=true"
                ) from None
            counts[dropped.count] += 1
            continue
        # The splits of a file may share a pair: that is sorted out where they are taken apart.
        key = prompt_key(messages)
        if (row.split, key, chosen, rejected) in seen:
            counts["dropped_duplicates"] += 1
            continue
        counts["contradictions"] += (row.split, key, rejected, chosen) in seen
        seen.add((row.split, key, chosen, rejected))
        own = digest([messages, chosen, rejected])
        name = row.id or own
        if name in ids:  # the pairs of one prompt often share its id
            name = f"{name}-{own}{len(ids) if f'{name}-{own}' in ids else ''}"
            counts["repeated_ids"] += 1
        ids.add(name)
        made = {
            "id": name,
            "prompt": {"messages": messages},
            "chosen": chosen,
            "rejected": rejected,
            "target": chosen,
        }
        made |= {"source": row.source} if row.source else {}
        pairs.append(Pair(made, key, row.split))
    return pairs, {**counts, "columns_not_read": unread}


def prompt_key(messages: list[Message]) -> str:
    """What prompts share that differ in case and white space alone."""
    return digest([[m["role"], " ".join(m["content"].split()).casefold()] for m in messages])


def described(pairs: Collection[Pair]) -> Row:
    """Counts of pairs and of different prompts, and of pairs by source where rows name it."""
    prompts = {pair.prompt for pair in pairs}
    return tally([pair.row for pair in pairs], "source") | {"prompts": len(prompts)}


def _parts(row: PairRow) -> tuple[list[Message], str, str]:
    """(shared messages, chosen answer, rejected answer). Raises Dropped where it is no pair."""
    answers = {column: getattr(row, column) for column in DIRECT}
    _check_answers(answers)
    no_prompt = Dropped("dropped_empty", "prompt: found an empty prompt, expected text")
    if any(map(is_plain, answers.values())) and is_blank(row.prompt):
        raise no_prompt
    sides = [
        _with_system(whole(answer, row.prompt, row.where, column), row)
        for column, answer in answers.items()
    ]
    parts = split(*sides, row.where)
    if parts is None:
        raise Dropped("dropped_parted")
    messages, *ends = parts
    _check_answers(dict(zip(DIRECT, ends, strict=True)))
    if all(is_blank(m["content"]) for m in messages if m["role"] == "user"):
        raise no_prompt
    if messages[-1]["role"] == "assistant":
        raise Dropped("dropped_unasked")
    if ends[0].strip() == ends[1].strip():
        raise Dropped("dropped_equal")
    return parts


def _check_answers(answers: dict[str, Any]) -> None:
    for column, answer in answers.items():
        if is_blank(answer):
            raise Dropped("dropped_empty", f"{column}: found an empty answer, expected text")


def _with_system(messages: list[Message], row: PairRow) -> list[Message]:
    """A conversation that begins with the row's system message, where it has one."""
    if not row.system or not row.system.strip():
        return messages
    if messages[0]["role"] != "system":
        return [{"role": "system", "content": row.system}, *messages]
    if messages[0]["content"].strip() != row.system.strip():
        raise BadInput(
            f"{row.where}: system: found another text than the system message of the conversation, "
            f"expected one of the two"
        )
    return messages
