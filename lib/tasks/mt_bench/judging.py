"""What the judge is asked, and how its rating is read.

The protocol is FastChat's single-answer grading (Zheng et al., arXiv 2306.05685): turn 1 is judged
alone, turn 2 within the whole conversation, and both beside a reference where the category has one.
The words of prompts.jsonl are ours; a file such as FastChat's judge_prompts.jsonl replaces them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Judging, Message, Reply, Row
from lib.data.sources import read_named

LOWEST, HIGHEST = 1.0, 10.0
# The first pair of brackets that begins with a number is the rating, and a number is all it holds.
BRACKETS = re.compile(r"\[\[\s*([^\w\s\[\]]?\d[^\[\]]*?)\s*\]\]")
RATING = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?")

# (with a reference, turn) → FastChat's name of the prompt, and what must stand in it.
NAMES = {
    (False, 1): "single-v1",
    (True, 1): "single-math-v1",
    (False, 2): "single-v1-multi-turn",
    (True, 2): "single-math-v1-multi-turn",
}
NEEDED = {
    "single-v1": ("question", "answer"),
    "single-math-v1": ("question", "answer", "ref_answer_1"),
    "single-v1-multi-turn": ("question_1", "answer_1", "question_2", "answer_2"),
    "single-math-v1-multi-turn": (
        "question_1", "answer_1", "question_2", "answer_2", "ref_answer_1", "ref_answer_2",
    ),
}  # fmt: skip
EXAMPLE = '{"name": "single-v1", "system_prompt": text, "prompt_template": text}'
PLACE = re.compile(r"\{(question|answer|(?:question|answer|ref_answer)_[12])\}")

OURS = Path(__file__).with_name("prompts.jsonl")


class Prompt(NamedTuple):
    """A prompt with places such as {question_1}; an empty `system` sends no system message."""

    system: str
    user: str


class Prompts(NamedTuple):
    """The four prompts by name, where they come from, and 12 hex digits that identify them."""

    source: str
    hash: str
    templates: Mapping[str, Prompt]


def read_prompts(path: str | None) -> Prompts:
    """Our own prompts, or those of a file. Raises BadInput that names the file and the prompt."""
    source = str(OURS) if path is None else path
    placed = read_named(source, "mt_bench.judge_prompts", EXAMPLE)
    records = {r["name"]: r for _, r in placed if isinstance(r.get("name"), str)}
    templates = {}
    for name, places in NEEDED.items():
        where = f"{source}: judge prompt {name!r}"
        if name not in records:
            raise BadInput(
                f"{where}: missing, found {listed(records) or 'no names'}{nearest(name, records)}"
            )
        record = records[name]
        prompt = Prompt(record.get("system_prompt", ""), record.get("prompt_template", ""))
        if not all(isinstance(text, str) for text in prompt):
            raise BadInput(f"{where}: expected system_prompt and prompt_template as texts")
        used = set(PLACE.findall(prompt.user))
        if missing := [place for place in places if place not in used]:
            raise BadInput(f"{where}: prompt_template lacks {{{missing[0]}}}")
        if unknown := sorted(used - set(places)):
            raise BadInput(f"{where}: prompt_template has {{{unknown[0]}}}, expected "
                           f"{listed(f'{{{place}}}' for place in places)}")  # fmt: skip
        if record.get("output_format", "[[rating]]") != "[[rating]]":
            raise BadInput(f"{where}: output_format: found {record['output_format']!r}, expected "
                           f"'[[rating]]'")  # fmt: skip
        templates[name] = prompt
    words = [[name, *templates[name]] for name in sorted(templates)]
    return Prompts("lossgrid" if path is None else path, identify(words), templates)


def judging(settings: Any, section: Any) -> Judging:
    """Each turn is a question. A judgment:

        {"rating": float | null, "parsed": bool, "raw": str | null, "judge": model name,
         "revision": str | null, "prompt_hash": of the whole prompt,
         "prompts_hash": of the words of all prompts, "error": str | null}

    raw null and error given: the judge gave no answer.
    """
    prompts = read_prompts(section.judge_prompts)

    def judgments(
        prediction: Row, questions: list[list[Message]], replies: list[Reply], judge: Any
    ) -> list[Row]:
        return [
            {
                "rating": rating_of(reply.text),
                "parsed": rating_of(reply.text) is not None,
                "raw": reply.text,
                **judge.source,
                "prompt_hash": identify(question),
                "prompts_hash": prompts.hash,
                "error": reply.error,
            }
            for question, reply in zip(questions, replies, strict=True)
        ]

    return Judging(
        identity={"max_tokens": settings.max_tokens, "prompts": prompts.hash},
        questions=lambda row, prediction: [
            judge_messages(prompts, row, turn, prediction["outputs"]) for turn in (1, 2)
        ],
        judgments=judgments,
        is_valid=lambda reply: rating_of(reply.text) is not None,
    )


def identify(content: Any) -> str:
    """12 hex digits of any JSON-able content."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def judge_messages(prompts: Prompts, row: Row, turn: int, answers: list[str]) -> list[Message]:
    """What the judge is asked about turn 1 or 2 of a row, whose raw answers are given.

    As in FastChat, answers lose the white space around them.
    """
    reference = row["reference"]
    prompt = prompts.templates[NAMES[reference is not None, turn]]
    first, second = (answer.strip() for answer in answers)
    values = {
        "question": row["turns"][0],
        "answer": first,
        "question_1": row["turns"][0],
        "question_2": row["turns"][1],
        "answer_1": first,
        "answer_2": second,
        "ref_answer_1": reference[0] if reference else "",
        "ref_answer_2": reference[1] if reference else "",
    }
    # In one pass: an answer that holds "{question}" stays as it is.
    content = PLACE.sub(lambda place: values[place[1]], prompt.user)
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": content}]


def rating_of(raw: str | None) -> float | None:
    """The first `[[number]]`, None where there is none or where it does not lie in 1 … 10.

    None also for [[8/10]], [[7,5]] and digits of other scripts, whatever comes after them.
    """
    rating = BRACKETS.search(raw or "")
    if rating is None or not RATING.fullmatch(rating[1]):
        return None
    value = float(rating[1])
    return value if LOWEST <= value <= HIGHEST else None
