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
from typing import Annotated, Any, TypeVar

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Message, Row, Splits
from lib.data.conversations import dialogue
from lib.data.fields import shown, some_text, unread_columns
from lib.data.records import Name, Record, find_columns, parsed_by, read_records
from lib.data.sources import read_named
from lib.data.splits import stratified_sample
from lib.runs.files import read_jsonl
from lib.runs.integrity import checksum
from lib.tasks.mt_bench.judging import read_prompts
from lib.tasks.mt_bench.schema import REFERENCED, SAMPLE, TEMPERATURES

QUESTION = '{"question_id": 81, "category": "writing", "turns": [question, question]}'
# A question a category, so that trials and tests run where no question file is.
SAMPLE_FILE = Path(__file__).with_name("sample.jsonl")
REFERENCE = '{"question_id": 101, "choices": [{"turns": [answer, answer]}]}'
SEED = 0  # of the draw


def _category(value: Any, where: str, column: str) -> str:
    if value not in list(TEMPERATURES):  # of a list: it may be anything
        raise BadInput(f"{where}: {column}: found {shown(repr(value))}, expected one of "
                       f"{listed(TEMPERATURES)}{nearest(shown(value), TEMPERATURES)}"
                       )  # fmt: skip
    return value


def _turns(value: Any, where: str, column: str) -> list[str]:
    if not isinstance(value, list) or len(value) != 2:
        raise BadInput(f"{where}: {column}: found {shown(repr(value))}, expected a list of 2 texts")
    return [some_text(text, where, f"{column}: text {n}") for n, text in enumerate(value, 1)]


def _first_turns(value: Any, where: str, column: str) -> list[str]:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        raise BadInput(f"{where}: {column}: found {shown(repr(value))}, expected FastChat's "
                       f'[{{"turns": [answer, answer]}}]')  # fmt: skip
    return _turns(value[0].get("turns"), where, "turns")


class Question(Record):
    """A row of FastChat's question.jsonl."""

    question_id: Name
    category: Annotated[str, parsed_by(_category)]
    turns: Annotated[list[str], parsed_by(_turns)]


class Reference(Record):
    """A row of FastChat's reference_answer/….jsonl, with the turns of its first choice."""

    question_id: Name
    choices: Annotated[list[str], parsed_by(_first_turns)]


R = TypeVar("R", Question, Reference)


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
        rows = [
            {"id": name, "category": one.category, "turns": one.turns, "reference": None}
            for name, one in _read(Question, data.questions, "mt_bench.questions", QUESTION).items()
        ]
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
    first, second = row["turns"]
    return dialogue([first, row["answer"][:body].strip(), second] if "answer" in row else [first])


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


def _read(model: type[R], source: str, key: str, example: str) -> dict[str, R]:
    """Id → row of a file. Raises BadInput with the line."""
    placed = read_named(source, key, example, [SAMPLE])
    names = {name: name for name in model.model_fields if name != "where"}
    if model is Question:
        # A file may hold references of its own: the judge's are those of mt_bench.references.
        unread_columns(placed, names.values())
    find_columns(model, placed, source, {}, list(names), key="")
    rows: dict[str, R] = {}
    for row in read_records(model, placed, names):
        first = rows.setdefault(row.question_id, row)
        if first is not row:
            raise BadInput(f"{row.where}: question_id {row.question_id} is there twice, first in "
                           f"{first.where}")  # fmt: skip
    return rows


def _add_references(rows: list[Row], data: Any) -> None:
    """Put in the references that the judge's prompts need."""
    needy = [row for row in rows if row["category"] in REFERENCED]
    if not needy:
        return
    if data.references is None:
        raise BadInput(f"{data.questions}: question {needy[0]['id']} ({needy[0]['category']}) is "
                       f"judged beside a reference, and mt_bench.references is null; expected "
                       f"FastChat's file of reference answers")  # fmt: skip
    references = _read(Reference, data.references, "mt_bench.references", REFERENCE)
    missing = [row for row in needy if row["id"] not in references]
    if missing:
        more = f", as {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadInput(f"{data.references}: no reference for question {missing[0]['id']} "
                       f"({missing[0]['category']}) of {data.questions}{more}")  # fmt: skip
    for row in needy:
        row["reference"] = references[row["id"]].choices


def _described(source: str | None) -> Row | None:
    if source is None:
        return None
    there = Path(source).expanduser().is_file()  # needed only where a question has a reference
    return {"file": source, "sha256": checksum(source)} if there else {"file": source}
