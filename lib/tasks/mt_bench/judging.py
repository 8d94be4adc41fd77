"""What the judge is asked, and how its rating is read.

The protocol is FastChat's single-answer grading (Zheng et al., arXiv 2306.05685): turn 1 is judged
alone, turn 2 within the whole conversation, and both beside a reference where the category has one.
The words are ours; a file in the format of FastChat's judge_prompts.jsonl replaces them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Message, Row
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

_SCALE = (
    "First explain your judgment in a few sentences, as objectively as you can. Then rate the "
    "answer from 1 (useless) to 10 (could not be better). Write the rating exactly like this: "
    "[[rating]], for example: Rating: [[5]]"
)
_GENERAL = "how helpful, relevant, accurate, thorough and original it is, and how fitting in detail"
_CHECKED = (
    "whether it is correct and helpful. Compare it with the reference answer first, and point out "
    "every mistake"
)
_DIALOGUE = (
    "<conversation>\nUser:\n{question_1}\n\nAssistant:\n{answer_1}\n\n"
    "User:\n{question_2}\n\nAssistant:\n{answer_2}\n</conversation>"
)
OURS = {
    "single-v1": (
        "You are an impartial judge. Below is what a user asked, and what an assistant answered. "
        f"Judge the answer: {_GENERAL}. {_SCALE}\n\n"
        "<question>\n{question}\n</question>\n\n<answer>\n{answer}\n</answer>"
    ),
    "single-math-v1": (
        "You are an impartial judge. Below are what a user asked, a reference answer, and what an "
        f"assistant answered. Judge the assistant's answer: {_CHECKED}. {_SCALE}\n\n"
        "<question>\n{question}\n</question>\n\n<reference>\n{ref_answer_1}\n</reference>\n\n"
        "<answer>\n{answer}\n</answer>"
    ),
    "single-v1-multi-turn": (
        "You are an impartial judge. Below is a conversation of a user with an assistant. Judge "
        f"the assistant's answer to the second question: {_GENERAL}. {_SCALE}\n\n" + _DIALOGUE
    ),
    "single-math-v1-multi-turn": (
        "You are an impartial judge. Below are reference answers to two questions, and a "
        "conversation of a user with an assistant about the same questions. Judge the assistant's "
        f"answer to the second question: {_CHECKED}. {_SCALE}\n\n"
        "<reference>\nUser:\n{question_1}\n\nReference answer:\n{ref_answer_1}\n\n"
        "User:\n{question_2}\n\nReference answer:\n{ref_answer_2}\n</reference>\n\n" + _DIALOGUE
    ),
}


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
    if path is None:
        return _prompts("lossgrid", {name: Prompt("", text) for name, text in OURS.items()})
    placed = read_named(path, "mt_bench.judge_prompts", EXAMPLE)
    records = {r["name"]: r for _, r in placed if isinstance(r.get("name"), str)}
    templates = {}
    for name, places in NEEDED.items():
        where = f"{path}: judge prompt {name!r}"
        if name not in records:
            raise BadInput(
                f"{where}: not there, found {listed(records) or 'no names'}{nearest(name, records)}"
            )
        record = records[name]
        prompt = Prompt(record.get("system_prompt", ""), record.get("prompt_template", ""))
        if not all(isinstance(text, str) for text in prompt):
            raise BadInput(f"{where}: expected system_prompt and prompt_template as texts")
        found = set(PLACE.findall(prompt.user))
        if lacking := [place for place in places if place not in found]:
            raise BadInput(f"{where}: prompt_template lacks {{{lacking[0]}}}")
        if strange := sorted(found - set(places)):
            raise BadInput(f"{where}: prompt_template has {{{strange[0]}}}, expected "
                           f"{listed(f'{{{place}}}' for place in places)}")  # fmt: skip
        if record.get("output_format", "[[rating]]") != "[[rating]]":
            raise BadInput(f"{where}: output_format: found {record['output_format']!r}, expected "
                           f"'[[rating]]'")  # fmt: skip
        templates[name] = prompt
    return _prompts(path, templates)


def _prompts(source: str, templates: Mapping[str, Prompt]) -> Prompts:
    return Prompts(source, identify([[n, *templates[n]] for n in sorted(templates)]), templates)


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
    said = PLACE.sub(lambda place: values[place[1]], prompt.user)
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": said}]


def rating_of(raw: str | None) -> float | None:
    """The first `[[number]]`, None where there is none or where it does not lie in 1 … 10.

    None also for [[8/10]], [[7,5]] and digits of other scripts, whatever comes after them.
    """
    found = BRACKETS.search(raw or "")
    if found is None or not RATING.fullmatch(found[1]):
        return None
    value = float(found[1])
    return value if LOWEST <= value <= HIGHEST else None
