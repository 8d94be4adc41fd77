"""Questions and references of MT-Bench, as FastChat writes them.

Row of the test split:

    {"id": str, "category": str, "turns": [str, str], "reference": [str, str] | null}

The project carries no question of MT-Bench: the config names the files. References stand in the
prompts of the judge for three categories alone. That of question 104 is wrong upstream, and is used
as it stands: scores would not be comparable otherwise.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Message, Row, Splits
from lib.data.fields import check_characters, shown, unread_columns
from lib.data.rows import stratified_sample
from lib.data.sources import read_named
from lib.runs.files import read_jsonl
from lib.runs.integrity import checksum
from lib.tasks.mt_bench.judging import read_prompts
from lib.tasks.mt_bench.schema import REFERENCED, SAMPLE, TEMPERATURES

QUESTION = '{"question_id": 81, "category": "writing", "turns": [question, question]}'
SEED = 0  # of the draw
# A question a category, so that trials and tests run where no question file is.
SAMPLE_FILE = Path(__file__).with_name("sample.jsonl")
REFERENCE = '{"question_id": 101, "choices": [{"turns": [answer, answer]}]}'


def build(
    data: Any, wanted: Sequence[Any] = (), evaluate: Any = None, debug: bool = False
) -> Splits:
    """The test split, empty where the study names no questions, with a report.

    `wanted`, `evaluate` and `debug` change nothing: nothing is trained on. Raises BadInput that
    names file and question for what cannot be used, and for a question that lacks its reference.
    """
    prompts = read_prompts(data.judge_prompts)
    if data.questions is None:
        return Splits({"test": []}, {"questions": None})
    if data.questions == SAMPLE:
        rows = read_jsonl(SAMPLE_FILE)
        sources: Row = {"questions": SAMPLE, "references": SAMPLE}
    else:
        rows = read_questions(data.questions)
        sources = {key: _described(getattr(data, key)) for key in ("questions", "references")}
    read = len(rows)
    rows = stratified_sample(
        rows, data.limit, lambda row: (row["category"],), lambda row: row["turns"], SEED
    )
    if data.questions != SAMPLE:
        _add_references(rows, data)
    report = {
        **sources,
        "read": read,
        "limit": data.limit,
        "categories": dict(Counter(row["category"] for row in rows)),
        "judge_prompts": {"source": prompts.source, "hash": prompts.hash},
    }
    return Splits({"test": rows}, report)


def messages(row: Row, data: Any, body: int | None = None) -> list[Message]:
    """The conversation up to turn 1 or, of a row with a first answer, up to turn 2.

    As in FastChat, the answer loses the white space around it. body: characters that it keeps.
    """
    asked = [{"role": "user", "content": row["turns"][0]}]
    if "answer" in row:
        asked.append({"role": "assistant", "content": row["answer"][:body].strip()})
        asked.append({"role": "user", "content": row["turns"][1]})
    return asked


def follow_up(row: Row, answer: str) -> Row:
    """The row as it is asked in turn 2."""
    return {**row, "answer": answer}


def body_length(row: Row) -> int:
    """Characters of the first answer."""
    return len(row.get("answer", ""))


def draw(row: Row, turn: int) -> tuple[float, int]:
    """(temperature, seed) of an answer: as its category has it, and the same on every machine."""
    seed = int(hashlib.sha256(f"{row['id']}/{turn}".encode()).hexdigest()[:8], 16)
    return TEMPERATURES[row["category"]], seed


def read_questions(source: str) -> list[Row]:
    """Rows of a question file, without references. Raises BadInput with the line."""
    rows: list[Row] = []
    seen: dict[str, str] = {}
    placed = read_named(source, "mt_bench.questions", QUESTION, [SAMPLE])
    # A file may hold references of its own: the judge's are those of mt_bench.references.
    unread_columns(placed, ("question_id", "category", "turns"))
    for where, record in placed:
        name = _name(record, where)
        if name in seen:
            raise BadInput(f"{where}: question_id {name} is there twice, first in {seen[name]}")
        seen[name] = where
        category = record.get("category")
        if category not in list(TEMPERATURES):  # of a list: it may be anything
            raise BadInput(f"{where}: category: found {shown(repr(category))}, expected one "
                           f"of {listed(TEMPERATURES)}{nearest(shown(category), TEMPERATURES)}"
                           )  # fmt: skip
        turns = _two_texts(record.get("turns"), f"{where}: turns of question {name}")
        rows.append({"id": name, "category": category, "turns": turns, "reference": None})
    return rows


def read_references(source: str) -> dict[str, list[str]]:
    """Question id → reference answers of both turns. Raises BadInput with the line."""
    found: dict[str, list[str]] = {}
    for where, record in read_named(source, "mt_bench.references", REFERENCE):
        name = _name(record, where)
        choices = record.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise BadInput(f"{where}: choices: found {_short(choices)}, expected FastChat's "
                           f'[{{"turns": [answer, answer]}}]')  # fmt: skip
        turns = _two_texts(choices[0].get("turns"), f"{where}: turns of reference {name}")
        if name in found:
            raise BadInput(f"{where}: question_id {name} is there twice")
        found[name] = turns
    return found


def _add_references(rows: list[Row], data: Any) -> None:
    """Put in the references that the judge's prompts need."""
    needy = [row for row in rows if row["category"] in REFERENCED]
    if not needy:
        return
    if data.references is None:
        raise BadInput(f"{data.questions}: question {needy[0]['id']} ({needy[0]['category']}) is "
                       f"judged beside a reference, and mt_bench.references is null; expected "
                       f"FastChat's file of reference answers")  # fmt: skip
    found = read_references(data.references)
    missing = [row for row in needy if row["id"] not in found]
    if missing:
        more = f", as {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadInput(f"{data.references}: no reference for question {missing[0]['id']} "
                       f"({missing[0]['category']}) of {data.questions}{more}")  # fmt: skip
    for row in needy:
        row["reference"] = found[row["id"]]


def _name(record: Row, where: str) -> str:
    name = record.get("question_id")
    if isinstance(name, bool) or not isinstance(name, int | str) or name == "":
        raise BadInput(f"{where}: question_id: found {shown(repr(name))}, expected a number or a "
                       f"name{nearest('question_id', [k for k in record if k != 'question_id'])}"
                       )  # fmt: skip
    check_characters(str(name), where, "question_id")
    return str(name)


def _two_texts(found: Any, where: str) -> list[str]:
    if not isinstance(found, list) or len(found) != 2:
        raise BadInput(f"{where}: found {_short(found)}, expected a list of 2 texts")
    for number, text in enumerate(found, 1):
        if not isinstance(text, str) or not text.strip():
            raise BadInput(f"{where}: text {number} is {_short(text)}, expected some words")
        check_characters(text, where, f"text {number}")
    return found


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "nothing" if value is None else repr(value)[:60]


def _described(source: str | None) -> Row | None:
    if source is None:
        return None
    there = Path(source).expanduser().is_file()  # needed only where a question has a reference
    return {"file": source, "sha256": checksum(source)} if there else {"file": source}
