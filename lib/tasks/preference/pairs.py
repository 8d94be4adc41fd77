"""Records of a source → pairs, each with the prompt that both of its sides share.

Dropped, and counted: ties; pairs whose sides are equal, or part before the last answer; pairs whose
last answers follow an answer, not a question; repeats; with `data.drop_empty`, pairs without a
prompt or with an empty answer. A pair that stands there both ways round, as where two people
disagreed, is kept and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.tasks import Message, Row
from lib.data.fields import identifier, is_missing
from lib.data.fields import text as text_of
from lib.data.sources import Placed
from lib.tasks.preference.columns import Record, records
from lib.tasks.preference.conversations import is_plain, split, whole
from lib.tasks.preference.schema import DIRECT

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
Parts = tuple[list[Message], str, str]  # shared messages, chosen answer, rejected answer


class Pair(NamedTuple):
    """A row, the key that all pairs of one prompt share, and the split that its source names."""

    row: Row
    prompt: str
    split: str | None


class Dropped(NamedTuple):
    """Why a row is no pair: the count that it belongs to, and what an error would say."""

    count: str
    why: str = ""


NO_PROMPT = Dropped("dropped_empty", "prompt: found an empty prompt, expected text")


def read_pairs(data: Any, source: str, placed: Placed) -> tuple[list[Pair], Row]:
    """Pairs of the rows of a source, in their order, and counts of what was dropped.

    Raises BadInput that names file and row.
    """
    read, ties, unread = records(placed, source, data.columns)
    counts = Counter(dict.fromkeys(COUNTS, 0) | {"dropped_ties": ties})
    pairs: list[Pair] = []
    seen: set[tuple[str | None, ...]] = set()
    ids: set[str] = set()
    for where, record in read:
        made = _parts(record, where)
        if isinstance(made, Dropped):
            if made.why and not data.drop_empty:
                raise BadInput(
                    f"{where}: {made.why}; leave such rows out with data.drop_empty=true"
                )
            counts[made.count] += 1
            continue
        messages, chosen, rejected = made
        name, source_of = (
            identifier(record.get(column), where, column) for column in ("id", "source")
        )
        # The splits of a file may share a pair: that is sorted out where they are taken apart.
        key, given = prompt_key(messages), identifier(record.get("split"), where, "split")
        if (given, key, chosen, rejected) in seen:
            counts["dropped_duplicates"] += 1
            continue
        counts["contradictions"] += (given, key, rejected, chosen) in seen
        seen.add((given, key, chosen, rejected))
        made_id = digest([messages, chosen, rejected])
        name = name or made_id
        if name in ids:  # the pairs of one prompt often share its id
            name = f"{name}-{made_id}{len(ids) if f'{name}-{made_id}' in ids else ''}"
            counts["repeated_ids"] += 1
        ids.add(name)
        pairs.append(Pair(_row(name, made, source_of), key, given))
    return pairs, {**counts, "columns_not_read": unread}


def prompt_key(messages: list[Message]) -> str:
    """What prompts share that differ in case and white space alone."""
    return digest([[m["role"], " ".join(m["content"].split()).casefold()] for m in messages])


def described(pairs: Collection[Pair]) -> Row:
    """Counts of pairs and of different prompts, and of pairs by source where rows tell it."""
    sources = Counter(pair.row["source"] for pair in pairs if "source" in pair.row)
    counts = {"rows": len(pairs), "prompts": len({pair.prompt for pair in pairs})}
    return counts | ({"sources": dict(sorted(sources.items()))} if sources else {})


def _parts(record: Record, where: str) -> Parts | Dropped:
    prompt, answers = record.get("prompt"), [record.get(column) for column in DIRECT]
    for column, answer in zip(DIRECT, answers, strict=True):
        if _blank(answer):
            return Dropped("dropped_empty", f"{column}: found an empty answer, expected text")
    prompt = None if is_missing(prompt) else prompt
    if any(map(is_plain, answers)) and _blank(prompt):
        return NO_PROMPT
    sides = [
        whole(answer, prompt, where, column) for column, answer in zip(DIRECT, answers, strict=True)
    ]
    sides = [_with_system(side, record.get("system"), where) for side in sides]
    parted = split(*sides, where)
    if parted is None:
        return Dropped("dropped_parted")
    messages, *ends = parted
    for column, end in zip(DIRECT, ends, strict=True):
        if _blank(end):
            return Dropped("dropped_empty", f"{column}: found an empty answer, expected text")
    if all(_blank(m["content"]) for m in messages if m["role"] == "user"):
        return NO_PROMPT
    if messages[-1]["role"] == "assistant":
        return Dropped("dropped_unasked")
    if ends[0].strip() == ends[1].strip():
        return Dropped("dropped_equal")
    return parted


def _with_system(said: list[Message], system: Any, where: str) -> list[Message]:
    """A conversation that begins with the row's system message, where it has one."""
    content = text_of(system, where, "system")
    if not content or not content.strip():
        return said
    if said[0]["role"] != "system":
        return [{"role": "system", "content": content}, *said]
    if said[0]["content"].strip() != content.strip():
        raise BadInput(
            f"{where}: system: found another text than the system message of the conversation, "
            f"expected one of the two"
        )
    return said


def _row(name: str, parts: Parts, source: str | None) -> Row:
    messages, chosen, rejected = parts
    row = {
        "id": name,
        "prompt": {"messages": messages},
        "chosen": chosen,
        "rejected": rejected,
        "target": chosen,
    }
    return row | ({"source": source} if source else {})


def _blank(value: Any) -> bool:
    return is_missing(value) or value == [] or (isinstance(value, str) and not value.strip())
