"""Problems and worked answers as they lie in a file or on the hub, one a row.

{"question": …, "answer": …}                  GSM8K; other names by `data.columns`
{"instruction": …, "input": …, "output": …}   as self-instruct files have them; input may lack
{"messages": [{"role": "user", "content": …}, {"role": "assistant", …}]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lib.config.errors import BadInput, listed
from lib.data.conversations import read_messages
from lib.data.fields import identifier, shown, text, unread_columns
from lib.data.question_key import question_key
from lib.data.sources import Placed, guess_column, read_placed
from lib.tasks.math import synthetic
from lib.tasks.math.grading import MARK, final, number

EXAMPLE = '{"question": …, "answer": "… #### 42"}'
ALIASES = {
    "question": ("problem", "query", "prompt", "input", "text"),
    "answer": ("solution", "response", "output", "completion", "rationale"),
}


class Problem(NamedTuple):
    """One problem; `id` is unique in its source, `key` is what equal questions share."""

    id: str
    question: str
    answer: str  # worked, with its `####`
    key: str


def read_problems(
    data: Any, source: str, split: str, prefix: str, rows: int
) -> tuple[list[Problem], list[str]]:
    """Every problem of a source, in its order, and its columns that are not read.

    prefix: begins their ids. rows: how many are made where the source is synthetic. Raises BadInput
    that names file and row of what has no question, or an answer without `#### number`.
    """
    if source == synthetic.SOURCE:
        made = synthetic.generate(rows, f"{data.seed}/{prefix}")
        placed: Placed = [(f"{source}: row {n}", row) for n, row in enumerate(made, 1)]
    else:
        config = data.config if source == data.source else None
        placed = read_placed(source, split, EXAMPLE, config)
    names = _names(placed, source, data.columns)
    id_column = data.columns.get("id", "id")
    read = {id_column, *(names or ("instruction", "input", "output", "messages"))}
    unread = unread_columns(placed, read, data.system, "data.system")
    given = [identifier(row.get(id_column), where, id_column) for where, row in placed]
    # Ids that lack or repeat, as those of templates do, tell no problems apart: places do.
    distinct = None not in given and len(set(given)) == len(given)
    ids = given if distinct else range(len(placed))
    problems = []
    for own, (where, row) in zip(ids, placed, strict=True):
        question, answer = check_problem(where, *_texts(row, where, names, data.system))
        key = question_key(question)
        problems.append(Problem(f"{prefix}-{own}", question.strip(), answer.strip(), key))
    return problems, unread


def unique(problems: Sequence[Problem]) -> list[Problem]:
    """The first of those with one question."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.key, problem)
    return list(first.values())


def _names(placed: Placed, source: str, given: Mapping[str, str]) -> tuple[str, str] | None:
    """Columns of question and answer; None where rows are conversations or instructions.

    Raises BadInput where the source has none of the forms.
    """
    found = dict.fromkeys(key for _, row in placed for key in row)
    names = {ours: given.get(ours, ours) for ours in ("question", "answer")}
    if all(name in found for name in names.values()):
        return names["question"], names["answer"]
    if "messages" in found or {"instruction", "output"} <= set(found):
        return None
    ours, name = next((o, n) for o, n in names.items() if n not in found)
    close = guess_column(name, ALIASES[ours], [c for c in found if c not in names.values()])
    raise BadInput(
        f"{source}: no column {name!r}, found {listed(found, 20)}; expected question and answer, "
        f"instruction and output, or messages; {f'did you mean {close!r}? ' if close else ''}"
        f"Say data.columns.{ours}={close or 'COLUMN'}"
    )


def _texts(
    row: Mapping[str, Any], where: str, names: tuple[str, str] | None, system: str | None
) -> tuple[Any, Any]:
    if names:
        return row.get(names[0]), row.get(names[1])
    if "messages" not in row:
        parts = [text(row.get(column), where, column) for column in ("instruction", "input")]
        return "\n\n".join(part for part in parts if part), row.get("output")
    said = read_messages(row["messages"], where, "messages")
    roles = [message["role"] for message in said]
    if [role for role in roles if role != "system"] != ["user", "assistant"]:
        raise BadInput(
            f"{where}: messages: found roles {listed(roles) or 'none'}, expected one question of "
            f"the user and one answer of the assistant"
        )
    for message in said:
        if message["role"] == "system" and message["content"].strip() != (system or "").strip():
            raise BadInput(
                f"{where}: messages: found a system message, which this task does not read; "
                f"expected none; data.system gives every row the same"
            )
    return tuple(m["content"] for m in said if m["role"] != "system")


def check_problem(where: str, question: Any, answer: Any) -> tuple[str, str]:
    """Question and worked answer. Raises BadInput, which begins with `where`, for anything else."""
    for name, value in (("question", question), ("answer", answer)):
        given = text(value, where, name)
        if given is None or not given.strip():
            raise BadInput(f"{where}: {name}: found {value!r}, expected text")
    if number(final(answer)) is None:
        ending = f"…{answer.strip()[-40:]!r}" if MARK not in answer else shown(repr(final(answer)))
        raise BadInput(
            f"{where}: answer: found no number behind {MARK} ({ending}), expected a last line such "
            f"as '{MARK} 42'"
        )
    return question, answer
