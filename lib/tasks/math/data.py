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

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from lib.config.errors import BadInput
from lib.config.tasks import Message, Row, Splits
from lib.data.conversations import dialogue
from lib.data.sources import SYNTHETIC, is_file
from lib.data.splits import DEBUG_ROWS, leave_out, shared_sections, shuffled, unique
from lib.tasks.math.duplicates import near_duplicates
from lib.tasks.math.problems import Problem, read_problems, wording

KEY = attrgetter("key")  # what equal questions share
SYNTHETIC_ROWS = 400  # that are generated where none are asked for
SWEPT = ("shots", "train_on", "train_rows", "system", "instruction")  # may differ between points


def build(data: Any, wanted: Sequence[Any], evaluate: Any, debug: bool) -> Splits:
    """`test`, `validation` unless data.validation_rows is 0, and each training set of `wanted`.

    `evaluate.full_test`: all test problems, else the share data.test_share. `debug`: at most 100
    rows of each. Raises BadInput that names file and row of what cannot be used, for too few
    problems and for a key of `data` that points may not differ in.
    """
    wanted = shared_sections(data, wanted, SWEPT)
    data, limit = wanted[0], DEBUG_ROWS if debug else None
    if (most := max(one.shots for one in wanted)) > data.shot_pool:
        raise BadInput(
            f"data.shots: found {most}, expected at most {data.shot_pool}: so many examples are "
            f"stored (data.shot_pool)"
        )
    test, test_report = _read_test(data)
    pools, reports = _read_pools(data, wanted)
    tested = set(map(KEY, test))
    kept, _ = leave_out(unique(pools["source"], KEY), KEY, {"tested": tested})
    if len(kept) <= data.shot_pool + data.validation_rows:
        raise BadInput(
            f"{data.source}: {len(kept)} problems that are not in the test set, expected more than "
            f"data.shot_pool + data.validation_rows = {data.shot_pool} + {data.validation_rows}"
        )
    shots = _drawn(kept, data.seed, "shots")[: data.shot_pool]
    reserved = set(map(KEY, shots))
    rest, _ = leave_out(kept, KEY, {"reserved": reserved})
    validation = _drawn(rest, data.seed, "validation")[: data.validation_rows]
    why = {
        "dropped_as_in_test": tested,
        "dropped_as_example": reserved,
        "dropped_as_in_validation": set(map(KEY, validation)),
    }
    trainable = {}
    for name, problems in pools.items():
        distinct = unique(problems, KEY)
        trainable[name], counts = leave_out(distinct, KEY, why)
        reports[name] |= {"dropped_repeated": len(problems) - len(distinct), **counts}
        if not trainable[name]:
            raise BadInput(f"{reports[name]['source']}: no problem is left for training that is "
                           f"not in the test set, an example or a validation row")  # fmt: skip
    examples = [{"question": p.question, "answer": p.row(data)["target"]} for p in shots]
    sample = _sample(test, data, evaluate.full_test)[:limit]
    splits = {"test": [_row(p, data) | {"shots": examples} for p in sample]}
    if validation:
        splits["validation"] = [_row(p, data) | {"shots": examples} for p in validation[:limit]]
    asked: Row = {"validation": {"asked": data.validation_rows, "key": "data.validation_rows"}}
    trained: dict[str, Problem] = {}
    for one in wanted:
        drawn = _drawn(trainable[one.train_on], data.seed, "train")[: one.train_rows][:limit]
        splits[train_split(one)] = [_row(problem, data) for problem in drawn]
        asked[train_split(one)] = {"asked": one.train_rows, "key": "data.train_rows"}
        trained |= {problem.id: problem for problem in drawn}
    report = {
        **reports,
        "test_source": test_report | {"full_test": evaluate.full_test},
        "shots": [{"id": p.id, **example} for p, example in zip(shots, examples, strict=True)],
        "near_duplicates": near_duplicates(list(trained.values()), sample, data.near_duplicates),
        "splits": {
            name: {"rows": len(rows), **asked.get(name, {})} for name, rows in splits.items()
        },
        "seed": data.seed,
        "debug": debug,
    }
    return Splits(splits, report)


def train_split(data: Any) -> str:
    """`train`, `train_self_instruct`, and `train_100` with data.train_rows."""
    name = "train" if data.train_on == "source" else f"train_{data.train_on}"
    return name if data.train_rows is None else f"{name}_{data.train_rows}"


def rendering(data: Any) -> str:
    """`3shot`, and a hash of the words around the questions where they are not the usual ones."""
    return "-".join(filter(None, (f"{data.shots}shot", wording(data))))


def messages(row: Row, data: Any, body: int | None = None) -> list[Message]:
    """The first data.shots examples as turns of a chat, and the question; a training row has none.

    `data.instruction` stands before the first question. Nothing is left out, whatever `body` is.
    """
    texts = [shot[side] for shot in row.get("shots", [])[: data.shots]
             for side in ("question", "answer")]  # fmt: skip
    first, *rest = [*texts, row["prompt"]["question"]]
    if data.instruction:
        first = f"{data.instruction}\n\n{first}"
    return dialogue([first, *rest], data.system)


def _read_pools(
    data: Any, wanted: Sequence[Any]
) -> tuple[dict[str, list[Problem]], dict[str, Row]]:
    """Problems to train on and what is reported of them, of `source` and of `self_instruct`."""
    sources = {"source": data.source}
    if any(one.train_on == "self_instruct" for one in wanted):
        if data.self_instruct is None:
            raise BadInput("data.self_instruct: found null, expected a file of training problems: "
                           "data.train_on=self_instruct asks for it")  # fmt: skip
        sources["self_instruct"] = data.self_instruct
    # Of the synthetic ones some more than the points need.
    rows = max(one.train_rows or SYNTHETIC_ROWS for one in wanted)
    rows = 2 * (rows + data.shot_pool + data.validation_rows)
    pools, reports = {}, {}
    for name, source in sources.items():
        prefix = "train" if name == "source" else name
        pools[name], reports[name] = read_problems(data, source, data.split, prefix, rows)
    return pools, reports


def _read_test(data: Any) -> tuple[list[Problem], Row]:
    """All test problems, and a report."""
    source = data.test_source or data.source
    if source != SYNTHETIC and data.test_source is None and is_file(source):
        raise BadInput(f"data.test_source: found null, expected a file with the test problems: "
                       f"{source} has no splits, as a data set of the hub has")  # fmt: skip
    rows = round((data.test_rows or SYNTHETIC_ROWS // 4) / data.test_share)
    return read_problems(data, source, data.test_split, "test", rows)


def _sample(test: list[Problem], data: Any, full: bool) -> list[Problem]:
    """All, or the seeded share of data.test_share, rounded down: 263 of GSM8K's 1,319."""
    share = 1.0 if full else data.test_share
    count = max(1, int(share * len(test) + 1e-9))  # 0.29 · 100 is 28.999…
    return _drawn(test, data.seed, "test")[:count][: data.test_rows]


def _drawn(problems: list[Problem], seed: int, use: str) -> list[Problem]:
    return shuffled(problems, lambda problem: [seed, use, problem.key, problem.id])


def _row(problem: Problem, data: Any) -> Row:
    return {"id": problem.id, **problem.row(data)}
