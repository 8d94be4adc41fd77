"""Papers as they lie in a file or on the hub: every row, with the place it came from.

    JSONL, JSON, CSV (each also .gz), hub     title, abstract or text, decision, perhaps id and year
    ShareGPT, as LLaMA-Factory writes it      {"conversations": [{"from", "value"}], "system": …}
    chat messages                             {"messages": [{"role", "content"}]}

The content of a file tells the three apart, not its name. Nothing is interpreted here but columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.config.errors import BadInput, listed
from lib.data.conversations import read_messages
from lib.data.fields import SYSTEM, text, unread_columns
from lib.data.sources import Placed, guess_column, read_placed
from lib.tasks.decision.schema import COLUMNS

Record = dict[str, Any]  # our column names → values of one row

EXPECTED = "title, abstract or text, decision, and id and year where there are any"
# What other people call our columns.
ALIASES = {
    "title": ("paper_title", "name"),
    "abstract": ("summary", "abstracts", "text", "paper", "content", "body", "full_text"),
    "decision": ("accepted", "accept", "label", "outcome", "status", "verdict", "recommendation"),
}


def read_rows(
    source: str, split: str, columns: Mapping[str, str], system: str | None = None
) -> tuple[list[tuple[str, Record]], list[str]]:
    """(where, record) of every row of a file, or of a hub data set's `split`; columns not read.

    A record has those of our COLUMNS that the source has; `columns` maps our name → the source's.
    That of a conversation has `messages` (the prompt) and `answer` in place of title, text and
    decision. system: the study's own. Raises BadInput for what cannot be read, for no rows, for
    missing columns and for columns that carry meaning and are not read.
    """
    placed = read_placed(source, split, '{"title": …, "abstract": …, "decision": …}')
    names = {ours: columns.get(ours, ours) for ours in COLUMNS}
    _check_columns(placed, source, columns, names)
    read = {*names.values(), "conversations", "messages"}
    chat = [one for one in placed if _is_chat(one[1])]
    plain = [one for one in placed if not _is_chat(one[1])]
    unread = unread_columns(plain, read, system, "data.system")
    unread += unread_columns(chat, {*read, SYSTEM[0]})
    records = [(where, _record(row, where, names)) for where, row in placed]
    return records, list(dict.fromkeys(unread))


def _check_columns(placed: Placed, source: str, given: Mapping[str, str],
                   names: Mapping[str, str]) -> None:  # fmt: skip
    """Every column that is named in `given`, or that a paper cannot do without, is there."""
    found = dict.fromkeys(key for _, row in placed for key in row)
    needed = set(given)
    if not all(_is_chat(row) for _, row in placed):
        needed |= {"title", "decision"}
        if names["abstract"] not in found and names["text"] not in found:
            needed.add("abstract")
    for ours in sorted(needed, key=COLUMNS.index):
        name = names[ours]
        if name not in found:
            close = guess_column(
                name, ALIASES.get(ours, ()), [c for c in found if c not in names.values()]
            )
            said = f"{name!r} (data.columns.{ours})" if ours in given else repr(name)
            said += " or 'text'" if ours == "abstract" and ours not in given else ""
            mean = f"did you mean {close!r}? " if close else ""
            raise BadInput(f"{source}: no column {said}, found {listed(found, 20)}; expected "
                           f"{EXPECTED}; {mean}Say data.columns.{ours}={close or 'COLUMN'}"
                           )  # fmt: skip


def _is_chat(row: Mapping[str, Any]) -> bool:
    return "conversations" in row or "messages" in row


def _record(row: Mapping[str, Any], where: str, names: Mapping[str, str]) -> Record:
    record = {ours: row[name] for ours, name in names.items() if name in row}
    if not _is_chat(row):
        return record
    kept = {key: record[key] for key in ("id", "title", "year") if key in record}
    return kept | _conversation(row, where)


def _conversation(row: Mapping[str, Any], where: str) -> Record:
    """{"messages": all before the last answer, verbatim, "answer": the last answer}."""
    key = "conversations" if "conversations" in row else "messages"
    who = "from" if key == "conversations" else "role"
    messages = read_messages(row[key], where, key)
    system = text(row.get("system"), where, "system")
    if system and system.strip():
        if messages and messages[0]["role"] == "system":
            raise BadInput(f"{where}: system: found a system message beside that of the "
                           f"conversation, expected one of the two")  # fmt: skip
        messages.insert(0, {"role": "system", "content": system})
    if not messages or messages[-1]["role"] != "assistant":
        raise BadInput(f"{where}: {key}: the last message is not an answer ({who} gpt or "
                       f"assistant)")  # fmt: skip
    *prompt, answer = messages
    if not any(m["role"] == "user" and m["content"].strip() for m in prompt):
        raise BadInput(f"{where}: {key}: no text, expected a message {who} human or user")
    return {"messages": prompt, "answer": answer["content"]}
