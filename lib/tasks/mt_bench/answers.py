"""Two-turn answers of a model: the second question follows its own first answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from lib.config.errors import BadInput
from lib.config.schema import Infer
from lib.config.tasks import Message, Row
from lib.data.conversations import dialogue
from lib.data.encoding import encode_prompt, prompt_hash
from lib.tasks.mt_bench.schema import TEMPERATURES


def answer(
    engine: Any, tokenizer: Any, rows: Sequence[Row], settings: Infer, max_length: int
) -> list[Row]:
    """Answers to the rows, in order.

        {"id", "prompt_hash": of turn 1, "outputs": [str, str], "scores": null,
         "cut": whether the first answer was shortened to make room for the second question}

    settings: its engine keys apart from temperature, which follows the category. Every question
    has its own seed, so that what is drawn depends on no neighbour. Prompts have at most
    `max_length` tokens; raises BadInput for a question that alone has more.
    """
    temperatures = [TEMPERATURES[row["category"]] for row in rows]

    def generate(prompts: list[list[int]], turn: int) -> list[str]:
        seeds = [seed_of(row, turn) for row in rows]
        return [text for [text] in engine.generate(prompts, settings, temperatures, seeds)]

    first = [_fit(tokenizer, row, None, max_length)[0] for row in rows]
    said = generate(first, 1)
    fitted = [_fit(tokenizer, row, a, max_length) for row, a in zip(rows, said, strict=True)]
    replied = generate([prompt for prompt, _ in fitted], 2)
    return [
        {
            "id": row["id"],
            "prompt_hash": prompt_hash(prompt),
            "outputs": outputs,
            "scores": None,
            "cut": cut,
        }
        for row, prompt, (_, cut), *outputs in zip(rows, first, fitted, said, replied, strict=True)
    ]


def seed_of(row: Row, turn: int) -> int:
    """A seed that a question and turn have on every machine, below 2³²."""
    return int(hashlib.sha256(f"{row['id']}/{turn}".encode()).hexdigest()[:8], 16)


def messages(row: Row, answered: str | None) -> list[Message]:
    """The conversation up to turn 1, or, given the first answer, up to turn 2.

    As in FastChat, the answer loses the white space around it.
    """
    first, second = row["turns"]
    return dialogue([first] if answered is None else [first, answered.strip(), second])


def _fit(tokenizer: Any, row: Row, answered: str | None, most: int) -> tuple[list[int], bool]:
    """Token ids of a prompt, at most `most`, and whether the first answer lost its end for it."""
    ids = encode_prompt(tokenizer, messages(row, answered))
    kept = answered
    while len(ids) > most and kept:
        share = 1 - (len(ids) - most) / len(ids)
        kept = kept[: min(len(kept) - 1, int(len(kept) * share))]
        ids = encode_prompt(tokenizer, messages(row, kept))
    if len(ids) > most:
        raise BadInput(f"model.max_length: question {row['id']} of MT-Bench needs {len(ids)} "
                       f"tokens without any answer, found {most}")  # fmt: skip
    return ids, kept != answered
