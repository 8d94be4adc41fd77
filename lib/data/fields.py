"""Fields of source rows, read alike in every task: text, ids, and the columns that nobody reads.

What a field holds is read as it was meant or refused with its row: a list, an object, a flag or a
number never becomes text by being printed, and a missing value never becomes "nan".
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from lib.config.errors import BadInput

Placed = list[tuple[str, dict[str, Any]]]  # see lib.data.sources

TABLES = (".csv", ".tsv")  # files whose cells are all text
MISSING = ("", "nan", "NaN", "null", "NULL", "<NA>")  # cells of a table that hold nothing
# A cell that begins as a list of objects does, whether or not it can be parsed.
LOOKS_SPELLED = re.compile(r"""\s*\[?\s*\{\s*(['"])\w+\1\s*:""")
# Columns that change what a row asks or how much it counts, wherever they come up.
MEANINGFUL = {
    "system": "a system message",
    "system_prompt": "a system message",
    "system_message": "a system message",
    "history": "earlier turns",
    "tools": "tools",
    "functions": "tools",
    "tool_calls": "tool calls",
    "function_call": "a tool call",
    "image": "images",
    "images": "images",
    "video": "videos",
    "videos": "videos",
    "audio": "sound",
    "audios": "sound",
    "weight": "weights",
    "weights": "weights",
    "sample_weight": "weights",
}
SYSTEM = ("system", "system_prompt", "system_message")


def is_missing(value: Any) -> bool:
    """Whether a field is null or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def text(value: Any, where: str, column: str) -> str | None:
    """The text of a field, None where it is missing. `where`: the row's place, for the error.

    Raises BadInput for what is no text, and for text that cannot be kept: NUL, half a character,
    and lists and objects spelled out in the cell of a table.
    """
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise BadInput(f"{where}: {column}: found {kind(value)}, expected text")
    if in_table(where):
        if value.strip() in MISSING:
            return None
        if spelled(value) is not None or LOOKS_SPELLED.match(value):
            raise BadInput(
                f"{where}: {column}: found a list or an object spelled out in a cell, expected "
                f"text; in a JSONL file what is text and what is a list can be told apart"
            )
    check_characters(value, where, column)
    return value


def check_characters(value: str, where: str, column: str) -> None:
    """Raise BadInput for a NUL, and for half a character, which JSON can spell and no file hold."""
    if (place := value.find("\0")) >= 0:
        raise BadInput(f"{where}: {column}: found NUL (U+0000) at character {place + 1}, expected "
                       f"text")  # fmt: skip
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{where}: {column}: found half a character, a lone surrogate "
            f"U+{ord(value[error.start]):04X}, at character {error.start + 1}, expected text that "
            f"UTF-8 can hold"
        ) from None


def identifier(value: Any, where: str, column: str) -> str | None:
    """An id or a name as text, None where it is missing or blank; it may be a whole number.

    Raises BadInput for anything else.
    """
    if isinstance(value, float) and value.is_integer():  # as pandas writes ids beside a gap
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    given = text(value, where, column)
    return (given.strip() or None) if given else None


def spelled(value: str) -> Any:
    """What a text spells as JSON, or as Python prints it, where it is a list or an object."""
    if value.lstrip()[:1] not in ("[", "{"):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(value.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return found if isinstance(found, list | dict) else None
    return None


def in_table(where: str) -> bool:
    """Whether a row is one of a CSV or TSV file."""
    return where.rpartition(":")[0].removesuffix(".gz").endswith(TABLES)


def kind(value: Any) -> str:
    """What a value is, in words; never its text, which may be long or not fit for a log."""
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)  # null, true, NaN, Infinity
    if isinstance(value, int):
        return f"the number {value}" if abs(value) < 10**20 else "a huge number"
    names = {str: "text", list: "a list", dict: "an object", bytes: "bytes"}
    return names.get(type(value), f"a {type(value).__name__}")


def shown(value: Any, most: int = 60) -> str:
    """A value for an error line, cut after `most` characters."""
    written = value if isinstance(value, str) else repr(value)
    return written if len(written) <= most else f"{written[:most]}… ({len(written)} characters)"


def unread_columns(
    placed: Placed,
    read: Collection[str | None],
    system: str | None = None,
    key: str = "",
) -> list[str]:
    """Columns of a source that nothing reads although they hold something.

    read: the source's columns that are. system: the system message that the study gives every row,
    by `key`. Raises BadInput, with the first such row, for a column that carries meaning: else a
    model would be trained on something that the row does not say.
    """
    found: dict[str, None] = {}
    for where, row in placed:
        for column, value in row.items():
            if column in read or _is_blank(value):
                continue
            what = MEANINGFUL.get(str(column).strip().lower())
            if what is None or _is_redundant(what, value, system):
                found[str(column)] = None
                continue
            hint = f"; {key} gives every row the same" if what == "a system message" and key else ""
            raise BadInput(
                f"{where}: {column}: found {what}, which this task does not read; expected no such "
                f"column, or an empty one{hint}"
            )
    return list(found)


def check_message(message: Mapping[str, Any], where: str, column: str) -> None:
    """Raise BadInput for a chat message that carries more than its text."""
    known = MEANINGFUL | dict.fromkeys(("train", "loss", "mask"), "a loss mask")
    for name, value in message.items():
        what = known.get(str(name).strip().lower())
        if what and not _is_blank(value) and not _is_redundant(what, value, None):
            raise BadInput(
                f"{where}: {column}: found a message with {what} ({name}), expected messages of "
                f"text alone"
            )


def _is_blank(value: Any) -> bool:
    return is_missing(value) or (
        value.strip() in (*MISSING, "[]", "{}") if isinstance(value, str) else value in ([], {}, ())
    )


def _is_redundant(what: str, value: Any, system: str | None) -> bool:
    """Whether a field that carries meaning says no more than is done anyway."""
    if what == "a system message":
        return isinstance(value, str) and value.strip() == (system or "").strip()
    if what in ("weights", "a loss mask"):
        return str(value).strip() in ("1", "1.0", "True", "true")
    return False
