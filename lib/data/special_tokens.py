"""Special tokens: kept out of what users wrote, and found where an answer ends."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lib.config.tasks import Message


def escape_special_tokens(tokenizer: Any, messages: list[Message]) -> list[Message]:
    """The messages with a space put into every spelled-out special token: `< |im_end|>`.

    Tokenised as it stands, such a text would end its own turn and could begin another.
    """
    pattern = _special(tokenizer)
    return [{**m, "content": pattern.sub(_with_space, m["content"])} for m in messages]


def _with_space(found: re.Match[str]) -> str:
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
