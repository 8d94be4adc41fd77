"""Problems and worked answers as they lie in a file or on the hub, one a row.

{"question": …, "answer": …}                  GSM8K; other names by `data.columns`
{"instruction": …, "input": …, "output": …}   as self-instruct files have them; input may lack
{"messages": [{"role": "user", "content": …}, {"role": "assistant", …}]}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lib.errors import BadInput, listed
from lib.sources import Placed, guess_column, read_placed
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


def read_problems(data: Any, source: str, split: str, prefix: str, rows: int) -> list[Problem]:
    """Every problem of a source, in its order; `prefix` begins their ids.

    rows: how many are made where the source is synthetic. Raises BadInput that names file and row
    of what has no question, or an answer without `#### number`.
    """
    if source == synthetic.SOURCE:
        made = synthetic.generate(rows, f"{data.seed}/{prefix}")
        placed: Placed = [(f"{source}: row {n}", row) for n, row in enumerate(made, 1)]
    else:
        config = data.config if source == data.source else None
        placed = read_placed(source, split, EXAMPLE, config)
    names = _names(placed, source, data.columns)
    given = [row.get(data.columns.get("id", "id")) for _, row in placed]
    # Ids that lack or repeat, as those of templates do, tell no problems apart: places do.
    distinct = None not in given and len(set(map(str, given))) == len(given)
    ids = given if distinct else range(len(placed))
    problems = []
    for own, (where, row) in zip(ids, placed, strict=True):
        question, answer = _texts(row, where, names)
        check_problem(where, question, answer)
        key = normalised(question)
        problems.append(Problem(f"{prefix}-{own}", question.strip(), answer.strip(), key))
    return problems


def normalised(question: str) -> str:
    """Words and numbers of a question alone: equal for two that differ in case or punctuation."""
    return " ".join(re.findall(r"\w+", question.casefold()))


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


def _texts(row: Mapping[str, Any], where: str, names: tuple[str, str] | None) -> tuple[Any, Any]:
    if names:
        return row.get(names[0]), row.get(names[1])
    if "messages" not in row:
        parts = [row.get("instruction"), row.get("input")]
        return "\n\n".join(str(part) for part in parts if part), row.get("output")
    said = row["messages"]
    roles = [m.get("role") for m in said if isinstance(m, dict)] if isinstance(said, list) else []
    if [role for role in roles if role != "system"] != ["user", "assistant"]:
        raise BadInput(
            f"{where}: messages: found roles {listed(roles) or 'none'}, expected one question of "
            f"the user and one answer of the assistant"
        )
    return tuple(m.get("content") for m in said if m["role"] != "system")


def check_problem(where: str, question: Any, answer: Any) -> None:
    """Raise BadInput, which begins with `where`, for what is no problem with a worked answer."""
    for name, text in (("question", question), ("answer", answer)):
        if not isinstance(text, str) or not text.strip():
            raise BadInput(f"{where}: {name}: found {text!r}, expected text")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadInput(
                f"{where}: {name}: found half a character ({text[error.start]!a}), expected text "
                f"that UTF-8 can hold"
            ) from None
    if number(final(answer)) is None:
        ending = f"…{answer.strip()[-40:]!r}" if MARK not in answer else f"{final(answer)!r}"
        raise BadInput(
            f"{where}: answer: found no number behind {MARK} ({ending}), expected a last line such "
            f"as '{MARK} 42'"
        )
