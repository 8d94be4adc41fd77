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
from lib.data.sources import Placed

TABLES = (".csv", ".tsv")  # files whose cells are all text
MISSING = ("", "nan", "NaN", "null", "NULL", "<NA>")  # cells of a table that hold nothing
# A cell that begins as a list of objects does, whether or not it can be parsed.
LOOKS_SPELLED = re.compile(r"""\s*\[?\s*\{\s*(['"])\w+\1\s*:""")
SYSTEM = ("system", "system_prompt", "system_message")
# Columns that change what a row asks or how much it counts, wherever they come up.
MEANINGFUL = {
    column: what
    for what, columns in {
        "a system message": SYSTEM,
        "earlier turns": ("history",),
        "tools": ("tools", "functions"),
        "tool calls": ("tool_calls",),
        "a tool call": ("function_call",),
        "images": ("image", "images"),
        "videos": ("video", "videos"),
        "sound": ("audio", "audios"),
        "weights": ("weight", "weights", "sample_weight"),
    }.items()
    for column in columns
}
LOSS_MASK = dict.fromkeys(("train", "loss", "mask"), "a loss mask")  # of a message


def is_missing(value: Any) -> bool:
    """Whether a field is null or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_blank(value: Any) -> bool:
    """Whether a field is missing, or holds no character or item."""
    return is_missing(value) or value == [] or (isinstance(value, str) and not value.strip())


def text(value: Any, where: str, column: str) -> str | None:
    """The text of a field, None where it is missing. `where`: the row's place, for the error.

    Raises BadInput for what is no text, and for text that cannot be kept: NUL, half a character,
    and lists and objects spelled out in the cell of a table.
    """
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise BadInput(f"{where}: {column}: found {kind(value)}, expected text")
    if where.rpartition(":")[0].removesuffix(".gz").endswith(TABLES):
        if value.strip() in MISSING:
            return None
        if spelled(value) is not None or LOOKS_SPELLED.match(value):
            raise BadInput(
                f"{where}: {column}: found a list or an object spelled out in a cell, expected "
                f"text; in a JSONL file what is text and what is a list can be told apart"
            )
    check_characters(value, where, column)
    return value


def some_text(value: Any, where: str, column: str) -> str:
    """The text of a field that needs some. Raises BadInput where it is missing or blank."""
    given = text(value, where, column)
    if given is None or not given.strip():
        raise BadInput(f"{where}: {column}: found no words, expected text")
    return given


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


def some_identifier(value: Any, where: str, column: str) -> str:
    """An id or a name that a row needs. Raises BadInput where it is missing or blank."""
    given = identifier(value, where, column)
    if given is None:
        raise BadInput(f"{where}: {column}: found no words, expected an id or a name")
    return given


def spelled(value: str) -> Any:
    """What a text spells as JSON, or as Python prints it, where it is a list or an object."""
    if value.lstrip()[:1] not in ("[", "{"):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed = parse(value.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return parsed if isinstance(parsed, list | dict) else None
    return None


def kind(value: Any) -> str:
    """What a value is, in words; never its text, which may be long or not fit for a log."""
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)  # null, true, NaN, Infinity
    if isinstance(value, int):
        return f"the number {value}" if abs(value) < 10**20 else "a huge number"
    names = {str: "text", list: "a list", dict: "an object", bytes: "bytes"}
    return names.get(type(value), f"a {type(value).__name__}")


def shown(value: Any, most: int = 60) -> str:
    """A value for an error line, truncated after `most` characters."""
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
    unread: dict[str, None] = {}
    for where, row in placed:
        for column, value in row.items():
            if column in read or _holds_nothing(value):
                continue
            what = MEANINGFUL.get(str(column).strip().lower())
            if what is None or _is_redundant(what, value, system):
                unread[str(column)] = None
                continue
            hint = f"; {key} gives every row the same" if what == "a system message" and key else ""
            raise BadInput(
                f"{where}: {column}: found {what}, which this task does not read; expected no such "
                f"column, or an empty one{hint}"
            )
    return list(unread)


def check_message(message: Mapping[str, Any], where: str, column: str) -> None:
    """Raise BadInput for a chat message that carries more than its text."""
    for name, value in message.items():
        what = (MEANINGFUL | LOSS_MASK).get(str(name).strip().lower())
        if what and not _holds_nothing(value) and not _is_redundant(what, value, None):
            raise BadInput(
                f"{where}: {column}: found a message with {what} ({name}), expected messages of "
                f"text alone"
            )


def _holds_nothing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in (*MISSING, "[]", "{}")
    return is_missing(value) or value in ([], {}, ())


def _is_redundant(what: str, value: Any, system: str | None) -> bool:
    """Whether a field that carries meaning says no more than is done anyway."""
    if what == "a system message":
        return isinstance(value, str) and value.strip() == (system or "").strip()
    if what in ("weights", "a loss mask"):
        return str(value).strip() in ("1", "1.0", "True", "true")
    return False
