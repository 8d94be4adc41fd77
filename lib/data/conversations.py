"""Chat messages in a field of a source row, in the forms that data sets have them.

[{"role": "user", "content": …}, …]      OpenAI's form; a content may be one part of text
[{"from": "human", "value": …}, …]       ShareGPT's, as LLaMA-Factory writes it
one such message without its list, and text (a CSV cell) that spells either as JSON or as Python
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Message
from lib.data.fields import check_characters, check_message, spelled

ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant",
         "gpt": "assistant"}  # fmt: skip


def dialogue(texts: Iterable[str], system: str | None = None) -> list[Message]:
    """What user and assistant say in turn, behind a system message where there is one."""
    messages = [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(texts)]
    return [{"role": "system", "content": system}, *messages] if system else messages


def raw_messages(value: Any) -> list[dict[str, Any]] | None:
    """The messages that a field holds, not yet checked; None where it holds none."""
    if isinstance(value, str):
        value = spelled(value)
        if not _is_conversation(value if isinstance(value, list) else [value]):
            return None
    messages = [value] if isinstance(value, dict) and _is_conversation([value]) else value
    objects = isinstance(messages, list) and all(isinstance(m, dict) for m in messages)
    return messages if objects else None


def read_messages(value: Any, where: str, column: str) -> list[Message]:
    """The messages of a field. Raises BadInput, with row and column, for anything else."""
    messages = raw_messages(value)
    if messages is None:
        raise BadInput(
            f"{where}: {column}: found {repr(value)[:60]}, expected a list of messages, each with "
            f"'role' and 'content', or 'from' and 'value', as text"
        )
    return [_message(message, where, column) for message in messages]


def _is_conversation(messages: list[Any]) -> bool:
    return bool(messages) and all(
        isinstance(m, dict) and ({"role", "content"} <= set(m) or {"from", "value"} <= set(m))
        for m in messages
    )


def _message(message: dict[str, Any], where: str, column: str) -> Message:
    who, what = ("from", "value") if "from" in message else ("role", "content")
    role, content = message.get(who), message.get(what)
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        (part,) = content
        content = part["text"] if part.get("type") == "text" and "text" in part else content
    if not isinstance(content, str):
        raise BadInput(
            f"{where}: {column}: found a message whose {what!r} is {repr(content)[:60]}, expected "
            f"text"
        )
    if not isinstance(role, str) or role not in ROLES:
        raise BadInput(
            f"{where}: {column}: found {who} {repr(role)[:60]}, expected one of {listed(ROLES)}"
            f"{nearest(role, ROLES)}"
        )
    check_message(message, where, column)
    check_characters(content, where, column)
    return {"role": ROLES[role], "content": content}
