r"""One side of a pair, in whatever form it comes → chat messages; two sides → the shared prompt.

    messages     see lib.data.conversations
    text         an answer, or a prompt of one question
    transcript   "\n\nHuman: …\n\nAssistant: …", as Anthropic's HH data have it

The prompt that both sides share is found on messages: two texts that begin alike share no prompt
beyond the last message that is equal as a whole.
"""

from __future__ import annotations

import re
from typing import Any

from lib.config.errors import BadInput
from lib.config.tasks import Message
from lib.data.conversations import raw_messages, read_messages
from lib.data.fields import is_missing
from lib.data.fields import text as text_of

TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


def whole(value: Any, prompt: Any, where: str, column: str) -> list[Message]:
    """The conversation that ends with the answer in `value`, the prompt put before it if need be.

    prompt: text, transcript, messages, or blank where `value` holds all. Raises BadInput that names
    row and column for a value of another form, and for a prompt that is no part of `value`.
    """
    empty = is_missing(prompt) or prompt in ("", [])
    before = [] if empty else as_messages(prompt, where, "prompt")
    if raw_messages(value) is None and (value is None or isinstance(value, str)):
        text = text_of(value, where, column) or ""
        if is_transcript(text):
            return _turns(text)
        if isinstance(prompt, str) and is_transcript(prompt):
            text = text.strip()  # as in a transcript of the whole
        return [*before, {"role": "assistant", "content": text}]
    messages = as_messages(value, where, column)
    if messages[: len(before)] == before:
        return messages
    asked = [m["content"].strip() for m in messages if m["role"] == "user"]
    if not asked:
        return [*before, *messages]
    if any(m["role"] == "user" and m["content"].strip() in asked for m in before):
        return messages  # the prompt's column repeats a part of the conversation
    raise BadInput(
        f"{where}: {column}: the prompt is no part of this conversation, expected messages that "
        f"begin with it, or the answer alone"
    )


def as_messages(value: Any, where: str, column: str) -> list[Message]:
    """Messages from messages, text (one question) or a transcript. Raises BadInput for the rest."""
    if raw_messages(value) is not None:
        return read_messages(value, where, column)
    if not isinstance(value, str):
        raise BadInput(f"{where}: {column}: found {repr(value)[:60]}, expected text or a list of "
                       f"messages")  # fmt: skip
    text = text_of(value, where, column) or ""
    if not is_transcript(text):
        return [{"role": "user", "content": text}]
    turns = _turns(text)
    # "\n\nAssistant:" at the end opens the answer that is to come.
    return turns[:-1] if turns[-1] == {"role": "assistant", "content": ""} else turns


def is_transcript(text: str) -> bool:
    r"""Whether a text is "Human: …\n\nAssistant:" with or without empty lines before it."""
    return text.lstrip().startswith("Human:") and "\n\nAssistant:" in text


def is_plain(value: Any) -> bool:
    """Whether a side is the text of an answer alone, so that its prompt stands apart."""
    return isinstance(value, str) and not is_transcript(value) and raw_messages(value) is None


def split(
    chosen: list[Message], rejected: list[Message], where: str
) -> tuple[list[Message], str, str] | None:
    """(shared messages, chosen answer, rejected answer); None where they part before the answer.

    Raises BadInput, with the row, where a side does not end with an answer and where not even one
    question is shared.
    """
    for side, column in ((chosen, "chosen"), (rejected, "rejected")):
        if not side or side[-1]["role"] != "assistant":
            found = f"a message of the {side[-1]['role']}" if side else "nothing"
            raise BadInput(
                f"{where}: {column}: found {found} at the end, expected the assistant's answer"
            )
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    # Two equal conversations share the answer as well.
    common = chosen[: min(shared, len(chosen) - 1)]
    if not any(message["role"] == "user" for message in common):
        raise BadInput(
            f"{where}: chosen and rejected have no common prompt, expected both to begin with the "
            f"same question, or a column prompt beside them"
        )
    if chosen[:-1] != rejected[:-1]:
        return None
    return common, chosen[-1]["content"], rejected[-1]["content"]


def _turns(transcript: str) -> list[Message]:
    """A transcript's turns; what one side says twice in a row is one message."""
    _, *parts = TURN.split(transcript.strip())
    messages: list[Message] = []
    for speaker, text in zip(parts[::2], parts[1::2], strict=True):
        role = "user" if speaker == "Human" else "assistant"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] = f"{messages[-1]['content']}\n\n{text.strip()}".strip()
        else:
            messages.append({"role": role, "content": text.strip()})
    return messages
