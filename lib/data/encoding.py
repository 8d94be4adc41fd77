"""Rows → token ids: one rendering of a prompt, for training, generation and scoring alike."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from lib.config.errors import BadInput
from lib.config.tasks import Message, Row, Task
from lib.data.special_tokens import end_tokens, escape_special_tokens

Encoded = dict[str, Any]


def encode_prompt(tokenizer: Any, messages: list[Message]) -> list[int]:
    """Token ids of a prompt up to where the assistant's answer begins.

    The chat template is applied once and brings every special token; a tokenizer without a
    template gets the plain text and the special tokens that it puts before a text: one that it puts
    behind, as some do with an end of sequence, would end the turn before the answer. What looks
    like a special token in a message (`<|im_end|>` in a paper on chat models) stays text: see
    `escape_special_tokens`. Raises BadInput where the template refuses the messages or leaves out a
    text.
    """
    messages = escape_special_tokens(tokenizer, messages)
    if tokenizer.chat_template:
        text = render_chat(tokenizer, messages, add_generation_prompt=True)
        for message in messages:
            if message["role"] != "assistant" and message["content"].strip() not in text:
                raise BadInput(
                    f"the chat template of {tokenizer.name_or_path} leaves out the text of a "
                    f"message of the {message['role']}, expected one that shows it"
                )
        return _bare(tokenizer, text)
    text = _joined(messages)
    whole, bare = tokenizer(text)["input_ids"], _bare(tokenizer, text)
    return whole[: _place(bare, whole) + len(bare)]


def render_chat(tokenizer: Any, messages: list[Message], **template: Any) -> str:
    """The text of a conversation. `template`: further variables of the chat template.

    Contents are given as the template reads them, text or a list of parts. Raises BadInput where it
    refuses the conversation, as one without a system role or with roles that must alternate does.
    """
    from jinja2 import TemplateError

    if _wants_parts(tokenizer, str(tokenizer.chat_template)):
        messages = [{**m, "content": _parts(m["content"])} for m in messages]
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, **template)
    except (TemplateError, TypeError, ValueError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise BadInput(
            f"the chat template of {tokenizer.name_or_path} refuses a conversation of {roles}: "
            f"{str(error)[:200]}"
        ) from None


@lru_cache(maxsize=8)
def _wants_parts(tokenizer: Any, template: str) -> bool:
    """Whether the chat template shows a message only where its content is a list of parts.

    Raises BadInput where it shows neither form: every prompt would be empty.
    """
    from jinja2 import TemplateError

    text, refused = "Is this shown?", 0
    for content in (text, _parts(text)):
        try:
            shown = tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
        except (TemplateError, TypeError, ValueError):
            refused += 1
            continue
        if text in shown:
            return content is not text
    if refused == 2:  # it refuses this conversation: the row's own says why
        return False
    raise BadInput(
        f"the chat template of {tokenizer.name_or_path} does not show what the user says, expected "
        f"one that shows the content of a message"
    )


def _parts(content: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": content}]


def _bare(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text alone: without special tokens that the text does not spell.

    Some tokenizers put an end of sequence behind every text, whatever they are asked for.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    if ids and end is not None and ids[-1] == end and not text.endswith(tokenizer.eos_token):
        return ids[:-1]
    return ids


def _place(part: list[int], whole: list[int]) -> int:
    """Where the ids of a text begin among those with special tokens around them."""
    for start in range(len(whole) - len(part) + 1):
        if whole[start : start + len(part)] == part:
            return start
    raise BadInput("the tokenizer changes a text's tokens where it adds special tokens, expected "
                   "one that puts them before it")  # fmt: skip


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
    conversation = [*messages, {"role": "assistant", "content": answer}]
    *messages, last = escape_special_tokens(tokenizer, conversation)
    if tokenizer.chat_template:
        apply = partial(render_chat, tokenizer, **template)
        prompt, whole = apply(messages, add_generation_prompt=True), apply([*messages, last])
        if not whole.startswith(prompt):
            raise BadInput(
                f"{tokenizer.name_or_path}: its chat template renders a prompt "
                "differently once an answer follows; training would not match "
                "generation"
            )
        if last["content"].strip() not in whole[len(prompt) :]:
            raise BadInput(
                f"the chat template of {tokenizer.name_or_path} leaves out or changes an answer, "
                f"expected one that shows it; training would teach another answer"
            )
    else:
        prompt = _joined(messages)
        whole = prompt + last["content"]
    ahead, ids = (_bare(tokenizer, text) for text in (prompt, whole))
    joined = ids[: len(ahead)] == ahead
    ids = ids[len(ahead) :] if joined else _bare(tokenizer, whole[len(prompt) :])
    ends = end_tokens(tokenizer)
    for position, token in enumerate(ids):
        if token in ends:  # what a template puts behind the end of turn is never generated
            return ids[: position + 1]
    return [*ids, tokenizer.eos_token_id]


def _joined(messages: list[Message]) -> str:
    """A prompt for a tokenizer without a template."""
    return "\n\n".join(m["content"] for m in messages) + "\n\n"


@contextmanager
def naming(row: Row, source: str = "") -> Iterator[None]:
    """Errors of what is encoded within get the row's id, and the source where it is given."""
    try:
        yield
    except BadInput as error:
        place = f"{source}: " if source else ""
        if f"row {row['id']}" in str(error):
            raise
        raise BadInput(f"{place}row {row['id']}: {error}") from None


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
    task: Task,
    row: Row,
    data: Any,
    max_length: int,
    answer_ids: Callable[[list[Message], str], list[int]],
) -> Encoded:
    """A training row: `id`, `input_ids`, `prompt_length`, `decision` (start, end), `group`, `cut`.

    `decision` are the positions of the answer's tokens that differ from the alternative answer's,
    between their common head and their common tail; (0, 0) without one. `cut`: whether the
    row's text was shortened to fit `max_length` tokens.
    """
    messages = task.messages(row, data)
    with naming(row):
        target = answer_ids(messages, row["target"])
        other = task.alternative_answer(row)
        alternative = answer_ids(messages, other) if other is not None else target
        token_budget = max_length - max(len(target), len(alternative))
        prompt, cut = fit_prompt(tokenizer, task, row, data, token_budget)
    head, tail = common_ends(target, alternative)
    start, end = len(prompt) + head, len(prompt) + len(target) - tail
    return {
        "id": row["id"],
        "input_ids": prompt + target,
        "prompt_length": len(prompt),
        "decision": [start, end] if other is not None else [0, 0],
        "group": task.loss_class(row),
        "cut": cut,
    }


def encode_pair(
    tokenizer: Any, messages: list[Message], chosen: str, rejected: str, max_length: int
) -> Encoded | None:
    """A preference pair: `prompt_ids`, `chosen_ids`, `rejected_ids`, `cut`, `prompt_hash`.

    An answer that does not fit in `max_length` tokens behind the prompt loses its end, and with it
    its end of turn; `cut`: whether either did. The prompt is never cut: an answer to half a
    question says little of what is preferred. None where no token of an answer is left, or where
    nothing is left that tells the two apart.
    """
    prompt = encode_prompt(tokenizer, messages)
    token_budget = max_length - len(prompt)
    sides = [encode_answer(tokenizer, messages, answer) for answer in (chosen, rejected)]
    kept = [ids[: max(token_budget, 0)] for ids in sides]
    if not all(kept) or kept[0] == kept[1]:
        return None
    return {
        "prompt_ids": prompt,
        "chosen_ids": kept[0],
        "rejected_ids": kept[1],
        "cut": kept != sides,
        "prompt_hash": prompt_hash(prompt),
    }


def fit_prompt(
    tokenizer: Any, task: Task, row: Row, data: Any, token_budget: int
) -> tuple[list[int], bool]:
    """The row's prompt in at most `token_budget` tokens, its text cut where it must be.

    Raises BadInput where not even the prompt without the text fits.
    """
    ids = encode_prompt(tokenizer, task.messages(row, data))
    if len(ids) <= token_budget:
        return ids, False
    body = task.body_length(row)
    while len(ids) > token_budget and body > 0:
        # Proportional, so that two or three rounds do; at least one character a round.
        body = min(body - 1, int(body * (1 - (len(ids) - token_budget) / len(ids))))
        ids = encode_prompt(tokenizer, task.messages(row, data, body=max(body, 0)))
    if len(ids) > token_budget:
        raise BadInput(
            f"model.max_length: row {row['id']} needs {len(ids)} tokens for the prompt "
            f"alone, {token_budget} are left for it"
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
