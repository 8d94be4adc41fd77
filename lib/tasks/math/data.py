"""Word problems: fixed examples, training, validation and test rows, and the k-shot prompt.

Row of a split:

    {"id": str, "prompt": {"question": str},
     "target": str,        the worked answer, `#### number` at its end
     "final": str,         that number as it is written
     "steps": int,         of the worked answer
     "shots": [{"question", "answer"}, …]}    in `test` and `validation`: all that are stored

The test rows are a seeded sample of the source's, or all of them (`evaluate.full_test`). Examples
are drawn once from `data.source`; they, the validation rows and every question of the test source
(sampled or not) are in no training set, whatever file that comes from: questions are compared by
their words. A draw goes by a hash of seed and question, so that it depends on no order of a file,
and a smaller set is part of a larger one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.tasks import Message, Row, Splits
from lib.data.sources import is_file
from lib.runs.integrity import checksum
from lib.tasks.math import synthetic
from lib.tasks.math.duplicates import near_duplicates
from lib.tasks.math.grading import final, plain, steps
from lib.tasks.math.problems import Problem, read_problems, unique
from lib.tasks.math.thresholds import check_thresholds

DEBUG_ROWS = 100
SYNTHETIC_ROWS = 400  # that are made where none are asked for
SWEPT = ("shots", "train_on", "train_rows", "system", "instruction")  # may differ between points


def build(data: Any, wanted: Sequence[Any], evaluate: Any, debug: bool) -> Splits:
    """`test`, `validation` unless data.validation_rows is 0, and each training set of `wanted`.

    `evaluate.full_test`: all test problems, else the share data.test_share. `debug`: at most 100
    rows of each. Raises BadInput that names file and row of what cannot be used, for too few
    problems and for a key of `data` that points may not differ in.
    """
    wanted = list(wanted) or [data]
    data = wanted[0]
    check_thresholds(evaluate.thresholds)
    _check_shared(wanted)
    asked = max(one.shots for one in wanted)
    if asked > data.shot_pool:
        raise BadInput(
            f"data.shots: found {asked}, expected at most {data.shot_pool}: so many examples are "
            f"stored (data.shot_pool)"
        )
    test, test_report = _read_test(data)
    source, source_report = _read(data, data.source, "train", wanted)
    tested = {problem.key for problem in test}
    kept = [problem for problem in unique(source) if problem.key not in tested]
    needed = data.shot_pool + data.validation_rows
    if len(kept) <= needed:
        raise BadInput(
            f"{data.source}: {len(kept)} problems that are not in the test set, expected more than "
            f"data.shot_pool + data.validation_rows = {data.shot_pool} + {data.validation_rows}"
        )
    shots = _drawn(kept, data.seed, "shots")[: data.shot_pool]
    reserved = {problem.key for problem in shots}
    rest = [problem for problem in kept if problem.key not in reserved]
    limit = DEBUG_ROWS if debug else None
    validation = _drawn(rest, data.seed, "validation")[: data.validation_rows]
    taken = reserved | {problem.key for problem in validation}

    pools, reports = {"source": source}, {"source": source_report}
    if any(one.train_on == "self_instruct" for one in wanted):
        pools["self_instruct"], reports["self_instruct"] = _read_self_instruct(data, wanted)
    trainable = {}
    for name, problems in pools.items():
        distinct = unique(problems)
        trainable[name] = [p for p in distinct if p.key not in tested and p.key not in taken]
        reports[name] |= {
            "dropped_repeated": len(problems) - len(distinct),
            "dropped_as_in_test": _shared(distinct, tested),
            "dropped_as_example": _shared(distinct, reserved),
            "dropped_as_in_validation": _shared(distinct, taken - reserved),
        }
        if not trainable[name]:
            raise BadInput(f"{reports[name]['source']}: no problem is left for training that is "
                           f"not in the test set, an example or a validation row")  # fmt: skip
    examples = [{"question": p.question, "answer": _target(p, data)} for p in shots]
    sample = _sample(test, data, evaluate.full_test)
    splits = {"test": [_row(p, data) | {"shots": examples} for p in sample[:limit]]}
    if validation:
        splits["validation"] = [_row(p, data) | {"shots": examples} for p in validation[:limit]]
    trained: dict[str, Problem] = {}
    asked: Row = {"validation": {"asked": data.validation_rows, "key": "data.validation_rows"}}
    for one in wanted:
        drawn = _drawn(trainable[one.train_on], data.seed, "train")[: one.train_rows][:limit]
        splits[train_split(one)] = [_row(problem, data) for problem in drawn]
        asked[train_split(one)] = {"asked": one.train_rows, "key": "data.train_rows"}
        trained |= {problem.id: problem for problem in drawn}
    return Splits(
        splits,
        {
            **reports,
            "test_source": test_report | {"full_test": evaluate.full_test},
            "shots": [{"id": p.id, **said} for p, said in zip(shots, examples, strict=True)],
            "near_duplicates": near_duplicates(
                list(trained.values()), sample[:limit], data.near_duplicates
            ),
            "splits": {
                name: {"rows": len(rows), **asked.get(name, {})} for name, rows in splits.items()
            },
            "seed": data.seed,
            "debug": debug,
        },
    )


def train_split(data: Any) -> str:
    """`train`, `train_self_instruct`, and `train_100` with data.train_rows."""
    name = "train" if data.train_on == "source" else f"train_{data.train_on}"
    return name if data.train_rows is None else f"{name}_{data.train_rows}"


def rendering(data: Any) -> str:
    """`3shot`, and a hash of the words around the questions where they are not the usual ones."""
    usual = type(data).model_fields
    words = [getattr(data, key) for key in ("system", "instruction")]
    own = words != [usual[key].default for key in ("system", "instruction")]
    return f"{data.shots}shot" + (f"-{digest(words)}" if own else "")


def messages(row: Row, data: Any, body: int | None = None) -> list[Message]:
    """The first data.shots examples as turns of a chat, and the question; a training row has none.

    `data.instruction` stands before the first question. Nothing is left out, whatever `body` is.
    """
    said = []
    for shot in row.get("shots", [])[: data.shots]:
        said += [_said("user", shot["question"]), _said("assistant", shot["answer"])]
    said.append(_said("user", row["prompt"]["question"]))
    if data.instruction:
        said[0]["content"] = f"{data.instruction}\n\n{said[0]['content']}"
    return [_said("system", data.system), *said] if data.system else said


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _check_shared(wanted: Sequence[Any]) -> None:
    for key in type(wanted[0]).model_fields:
        if key not in SWEPT and any(getattr(o, key) != getattr(wanted[0], key) for o in wanted):
            raise BadInput(
                f"data.{key}: found different values among the points, expected one: all points "
                f"of a study share their test set and their examples"
            )


def _read(data: Any, source: str, prefix: str, wanted: Sequence[Any]) -> tuple[list[Problem], Row]:
    """Problems to train on, and a report; of the synthetic ones some more than the points need."""
    rows = max(one.train_rows or SYNTHETIC_ROWS for one in wanted)
    reserve = data.shot_pool + data.validation_rows
    read = read_problems(data, source, data.split, prefix, 2 * (rows + reserve))
    return read[0], _described(source, *read)


def _read_self_instruct(data: Any, wanted: Sequence[Any]) -> tuple[list[Problem], Row]:
    if data.self_instruct is None:
        raise BadInput("data.self_instruct: found null, expected a file of training problems: "
                       "data.train_on=self_instruct asks for it")  # fmt: skip
    return _read(data, data.self_instruct, "self_instruct", wanted)


def _read_test(data: Any) -> tuple[list[Problem], Row]:
    """All test problems, and a report."""
    source = data.test_source or data.source
    if source != synthetic.SOURCE and data.test_source is None and is_file(source):
        raise BadInput(f"data.test_source: found null, expected a file with the test problems: "
                       f"{source} has no splits, as a data set of the hub has")  # fmt: skip
    rows = round((data.test_rows or SYNTHETIC_ROWS // 4) / data.test_share)
    read = read_problems(data, source, data.test_split, "test", rows)
    return read[0], _described(source, *read)


def _sample(test: list[Problem], data: Any, full: bool) -> list[Problem]:
    """All, or the seeded share of data.test_share, rounded down: 263 of GSM8K's 1,319."""
    share = 1.0 if full else data.test_share
    count = max(1, int(share * len(test) + 1e-9))  # 0.29 · 100 is 28.999…
    return _drawn(test, data.seed, "test")[:count][: data.test_rows]


def _drawn(problems: list[Problem], seed: int, use: str) -> list[Problem]:
    return sorted(problems, key=lambda problem: digest([seed, use, problem.key, problem.id]))


def _shared(problems: Sequence[Problem], keys: Collection[str]) -> int:
    return sum(problem.key in keys for problem in problems)


def _described(source: str, problems: Sequence[Problem], unread: list[str]) -> Row:
    known: Row = {"source": source, "read": len(problems), "columns_not_read": unread}
    if source != synthetic.SOURCE and is_file(source):
        known["sha256"] = checksum(source)
    return known


def _target(problem: Problem, data: Any) -> str:
    return problem.answer if data.annotations else plain(problem.answer)


def _row(problem: Problem, data: Any) -> Row:
    return {
        "id": problem.id,
        "prompt": {"question": problem.question},
        "target": _target(problem, data),
        "final": final(problem.answer),
        "steps": steps(problem.answer),
    }
