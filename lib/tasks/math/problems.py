"""Problems and worked answers of a file or of the hub, one a row.

{"question": …, "answer": …}                  GSM8K; other names by `data.columns`
{"instruction": …, "input": …, "output": …}   as self-instruct files have them; input may lack
{"messages": [{"role": "user", "content": …}, {"role": "assistant", …}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import model_validator

from lib.config.errors import BadInput, listed
from lib.config.grid import digest
from lib.config.tasks import Row
from lib.data.conversations import read_messages
from lib.data.fields import shown, text, unread_columns
from lib.data.question_key import question_key
from lib.data.records import (
    Column,
    Identifier,
    Record,
    SomeText,
    columns_of,
    distinct_ids,
    find_columns,
    read_records,
)
from lib.data.sources import SYNTHETIC, origin, read_placed
from lib.tasks.math import synthetic
from lib.tasks.math.grading import MARK, final, number, plain, steps

EXAMPLE = '{"question": …, "answer": "… #### 42"}'
QUESTIONS = ("problem", "query", "prompt", "input", "text")
ANSWERS = ("solution", "response", "output", "completion", "rationale")


class Problem(Record):
    """A problem with its worked answer, which ends in `#### number`."""

    id: Identifier = None
    question: Annotated[SomeText, Column(hints=QUESTIONS)] = None
    answer: Annotated[SomeText, Column(hints=ANSWERS)] = None

    @model_validator(mode="after")
    def _end_in_a_number(self) -> Problem:
        last = final(self.answer)
        if number(last) is None:
            ending = f"…{self.answer.strip()[-40:]!r}" if MARK not in self.answer else repr(last)
            raise BadInput(
                f"{self.where}: answer: found no number behind {MARK} ({shown(ending)}), expected "
                f"a last line such as '{MARK} 42'"
            )
        self.question, self.answer = self.question.strip(), self.answer.strip()
        return self

    @cached_property
    def key(self) -> str:
        """What equal questions share."""
        return question_key(self.question)

    def row(self, data: Any) -> Row:
        """What a split holds of it beside its id."""
        return {
            "prompt": {"question": self.question},
            "target": self.answer if data.annotations else plain(self.answer),
            "final": final(self.answer),
            "steps": steps(self.answer),
        }


def read_problems(
    data: Any, source: str, split: str, prefix: str, rows: int
) -> tuple[list[Problem], Row]:
    """Every problem of a source, in its order, and what the manifest says of the source.

    prefix: begins their ids. rows: how many are generated where the source is synthetic. Raises
    BadInput that names file and row of what has no question, or an answer without `#### number`.
    """
    if source == SYNTHETIC:
        made = synthetic.generate(rows, f"{data.seed}/{prefix}")
        placed = [(f"{source}: row {n}", row) for n, row in enumerate(made, 1)]
        names, unread = {name: name for name in placed[0][1]}, []
    else:
        placed = read_placed(source, split, EXAMPLE, data.config if source == data.source else None)
        found = columns_of(placed)
        # The files of a study may have ids or not.
        given = {o: name for o, name in data.columns.items() if o != "id" or name in found}
        named = {given.get(ours, ours) for ours in ("question", "answer")}
        if not named <= set(found) and (
            "messages" in found or {"instruction", "output"} <= set(found)
        ):
            key = given.get("id", "id")
            read = {key, "instruction", "input", "output", "messages"}
            unread = unread_columns(placed, read, data.system, "data.system")
            placed = [(w, {"id": row.get(key)} | _texts(row, w, data.system)) for w, row in placed]
            names = {name: name for name in ("id", "question", "answer")}
        else:
            names = find_columns(Problem, placed, source, given, ("question", "answer"))
            unread = unread_columns(placed, names.values(), data.system, "data.system")
    problems = read_records(Problem, placed, names)
    # Ids that lack or repeat, as those of templates do, tell no problems apart: places do.
    for problem, own in zip(problems, distinct_ids(p.id for p in problems), strict=True):
        problem.id = f"{prefix}-{own}"
    return problems, origin(source, split) | {"read": len(problems), "columns_not_read": unread}


def wording(data: Any) -> str:
    """A hash of the words around the question where they are not the usual ones, else nothing."""
    usual = [type(data).model_fields[key].default for key in ("system", "instruction")]
    words = [data.system, data.instruction]
    return digest(words) if words != usual else ""


def _texts(row: Mapping[str, Any], where: str, system: str | None) -> Row:
    """Question and answer of a row of messages, or of an instruction with its output."""
    if "messages" not in row:
        parts = [text(row.get(column), where, column) for column in ("instruction", "input")]
        return {"question": "\n\n".join(filter(None, parts)), "answer": row.get("output")}
    messages = read_messages(row["messages"], where, "messages")
    turns = [message for message in messages if message["role"] != "system"]
    if [message["role"] for message in turns] != ["user", "assistant"]:
        roles = listed(message["role"] for message in messages)
        raise BadInput(
            f"{where}: messages: found roles {roles or 'none'}, expected one question of the user "
            f"and one answer of the assistant"
        )
    given = {message["content"].strip() for message in messages if message["role"] == "system"}
    if given - {(system or "").strip()}:
        raise BadInput(
            f"{where}: messages: found a system message, which this task does not read; "
            f"expected none; data.system gives every row the same"
        )
    return dict(zip(("question", "answer"), (turn["content"] for turn in turns), strict=True))
