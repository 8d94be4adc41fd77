"""Rows → token ids: one rendering of a prompt, for training, generation and scoring alike."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from lib.errors import BadInput
from lib.tasks import Message, Row

Encoded = dict[str, Any]


def encode_prompt(tokenizer: Any, messages: list[Message]) -> list[int]:
    """Token ids of a prompt up to where the assistant's answer begins.

    The chat template is applied once and brings every special token; a tokenizer without a
    template gets the plain text and its own special tokens. What looks like a special token in a
    message (`<|im_end|>` in a paper on chat models) stays text: see `harmless`.
    """
    messages = harmless(tokenizer, messages)
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return tokenizer(text, add_special_tokens=False)["input_ids"]
    return tokenizer(_joined(messages))["input_ids"]


def encode_answer(
    tokenizer: Any, messages: list[Message], answer: str, **template: Any
) -> list[int]:
    """Token ids of an answer, its end of turn included, as they follow `encode_prompt`'s.

    The template is applied to the whole conversation, so that the end of turn is the model's own,
    and the whole is tokenised: a tokenizer may put a space before a text that stands alone. Where
    the answer's first letters would share a token with the prompt's last, its text is tokenised
    alone after all: in generation the prompt's tokens are there already. `template`: further
    variables of the template, as the prompt had them.
    """
    *messages, last = harmless(tokenizer, [*messages, {"role": "assistant", "content": answer}])
    if tokenizer.chat_template:
        apply = partial(tokenizer.apply_chat_template, tokenize=False, **template)
        prompt, whole = apply(messages, add_generation_prompt=True), apply([*messages, last])
        if not whole.startswith(prompt):
            raise BadInput(
                f"{tokenizer.name_or_path}: its chat template renders a prompt "
                "differently once an answer follows; training would not match "
                "generation"
            )
    else:
        prompt = _joined(messages)
        whole = prompt + last["content"]
    ahead, ids = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, whole))
    if ids[: len(ahead)] == ahead:
        ids = ids[len(ahead) :]
    else:
        ids = tokenizer(whole[len(prompt) :], add_special_tokens=False)["input_ids"]
    ends = end_tokens(tokenizer)
    for position, token in enumerate(ids):
        if token in ends:  # what a template puts behind the end of turn is never generated
            return ids[: position + 1]
    return [*ids, tokenizer.eos_token_id]


def _joined(messages: list[Message]) -> str:
    """A prompt for a tokenizer without a template."""
    return "\n\n".join(m["content"] for m in messages) + "\n\n"


def harmless(tokenizer: Any, messages: list[Message]) -> list[Message]:
    """The messages with a space put into every spelled-out special token: `< |im_end|>`.

    Tokenised as it stands, such a text would end its own turn and could begin another.
    """
    pattern = _special(tokenizer)
    return [{**m, "content": pattern.sub(_parted, m["content"])} for m in messages]


def _parted(found: re.Match[str]) -> str:
    return f"{found[0][:1]} {found[0][1:]}"


@lru_cache(maxsize=8)
def _special(tokenizer: Any) -> re.Pattern[str]:
    """Matches what the tokenizer would read as a special token."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    names = sorted({*tokenizer.all_special_tokens, *added} - {""}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) or r"(?!)")


@lru_cache(maxsize=8)  # the whole vocabulary is copied for it
def end_tokens(tokenizer: Any) -> frozenset[int]:
    """Ids that end a turn: the tokenizer's eos, and the end-of-turn tokens of common templates."""
    named = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>")
    vocabulary = tokenizer.get_vocab()
    ends = {vocabulary[token] for token in named if token in vocabulary}
    return frozenset({tokenizer.eos_token_id} | ends)


def answer_encoder(tokenizer: Any) -> Callable[[list[Message], str], list[int]]:
    """`encode_answer` with a memory: no template lets an answer's text depend on its prompt."""
    known: dict[str, list[int]] = {}

    def encode(messages: list[Message], answer: str) -> list[int]:
        if answer not in known:
            known[answer] = encode_answer(tokenizer, messages, answer)
        return known[answer]

    return encode


def encode_row(
    tokenizer: Any,
    task: Any,
    row: Row,
    data: Any,
    max_length: int,
    answer_ids: Callable[[list[Message], str], list[int]],
) -> Encoded:
    """A training row: `id`, `input_ids`, `prompt_length`, `decision` (start, end), `group`, `cut`.

    `decision` are the positions of the answer's tokens that differ from the contrasting answer's,
    between their common head and their common tail; (0, 0) without a contrast. `cut` tells that
    the row's text was shortened to fit `max_length` tokens.
    """
    messages = task.messages(row, data)
    target = answer_ids(messages, row["target"])
    other = task.contrast(row)
    contrast = answer_ids(messages, other) if other is not None else target
    room = max_length - max(len(target), len(contrast))
    prompt, cut = fit_prompt(tokenizer, task, row, data, room)
    head, tail = common_ends(target, contrast)
    start, end = len(prompt) + head, len(prompt) + len(target) - tail
    return {
        "id": row["id"],
        "input_ids": prompt + target,
        "prompt_length": len(prompt),
        "decision": [start, end] if other is not None else [0, 0],
        "group": task.group(row),
        "cut": cut,
    }


def encode_pair(
    tokenizer: Any, messages: list[Message], chosen: str, rejected: str, max_length: int
) -> Encoded | None:
    """A preference pair: `prompt_ids`, `chosen_ids`, `rejected_ids`, `cut`, `prompt_hash`.

    An answer that does not fit in `max_length` tokens behind the prompt loses its end, and with it
    its end of turn; `cut` tells that either did. The prompt is never cut: an answer to half a
    question says little of what is preferred. None where no token of an answer is left, or where
    nothing is left that tells the two apart.
    """
    prompt = encode_prompt(tokenizer, messages)
    room = max_length - len(prompt)
    sides = [encode_answer(tokenizer, messages, answer) for answer in (chosen, rejected)]
    kept = [ids[: max(room, 0)] for ids in sides]
    if not all(kept) or kept[0] == kept[1]:
        return None
    return {
        "prompt_ids": prompt,
        "chosen_ids": kept[0],
        "rejected_ids": kept[1],
        "cut": kept != sides,
        "prompt_hash": prompt_hash(prompt),
    }


def fit_prompt(tokenizer: Any, task: Any, row: Row, data: Any, room: int) -> tuple[list[int], bool]:
    """The row's prompt in at most `room` tokens, its text cut where it must be.

    Raises BadInput where not even the prompt without the text fits.
    """
    ids = encode_prompt(tokenizer, task.messages(row, data))
    if len(ids) <= room:
        return ids, False
    body = task.body_length(row)
    while len(ids) > room and body > 0:
        # Proportional, so that two or three rounds do; at least one character a round.
        body = min(body - 1, int(body * (1 - (len(ids) - room) / len(ids))))
        ids = encode_prompt(tokenizer, task.messages(row, data, body=max(body, 0)))
    if len(ids) > room:
        raise BadInput(
            f"model.max_length: row {row['id']} needs {len(ids)} tokens for the prompt "
            f"alone, {room} are left for it"
        )
    return ids, True


def common_ends(one: list[int], other: list[int]) -> tuple[int, int]:
    """Lengths of the longest common head and, behind it, the longest common tail."""
    head = 0
    while head < min(len(one), len(other)) and one[head] == other[head]:
        head += 1
    tail = 0
    while tail < min(len(one), len(other)) - head and one[-1 - tail] == other[-1 - tail]:
        tail += 1
    return head, tail


def prompt_hash(ids: list[int]) -> str:
    """12 hex digits that identify a rendered prompt."""
    return hashlib.sha256(array("q", ids).tobytes()).hexdigest()[:12]
