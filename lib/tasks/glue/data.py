"""GLUE tasks: training rows of each, one test split of the published dev rows of all, tokens.

Row of a split:

    {"id": "mnli-matched-17",  task, set and the row's number in its source
     "task": "mnli" | "sst2" | "rte",
     "set": "train" | "dev" | "matched" | "mismatched",
     "prompt": {"a": str, "b": str | None},
     "label": int, "target": str}     the label's number, as GLUE has it, and its name

Every task that the grid asks for has a training split, `train_<task>`. `test` and `validation` hold
rows of all these tasks; a point takes those of its own (`select_rows`). GLUE's own test splits have
no labels: what is scored is the published dev sets. Validation rows are cut off the training rows,
so that nothing is chosen on the rows that are scored. Training rows whose sentences are in a dev
set go; a sentence that training has several times stays, as published results have it, and is on
one side of the cut only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from lib.config.errors import BadInput
from lib.config.tasks import Row, Splits
from lib.data.report import tally
from lib.data.sources import SYNTHETIC, is_file
from lib.data.splits import (
    DEBUG_ROWS,
    cut_by,
    least,
    leave_out,
    shared_sections,
    shuffled,
    stratified_sample,
    unique,
)
from lib.tasks.glue import synthetic
from lib.tasks.glue.rows import read_set, same_text
from lib.tasks.glue.table import GLUE


def build(data: Any, wanted: Sequence[Any], evaluate: Any, debug: bool) -> Splits:
    """Every task's training split, `test` and, unless data.validation is 0, `validation`.

    `debug`: at most 100 rows of each task; `evaluate` changes nothing. Raises BadInput that names
    file and row of what cannot be used, and for a swept key of `data` other than `task`.
    """
    wanted = shared_sections(data, wanted, ("task",))
    data = wanted[0]
    if data.source != SYNTHETIC and is_file(data.source):
        raise BadInput(
            f"data.source: found the file {data.source}, expected a hub id or {SYNTHETIC!r};"
            f" name files with data.files, as in data.files={{rte: {{train: FILE, dev: FILE}}}}"
        )
    splits: dict[str, list[Row]] = {}
    shared: dict[str, list[Row]] = {"validation": [], "test": []}
    report: Row = {"seed": data.seed, "debug": debug, "tasks": {}}
    for task in dict.fromkeys(one.task for one in wanted):
        made, report["tasks"][task] = _of_task(data, task, DEBUG_ROWS if debug else None)
        splits[f"train_{task}"] = made["train"]
        for name, rows in shared.items():
            rows += made[name]
    return Splits(splits | {name: rows for name, rows in shared.items() if rows}, report)


def train_split(data: Any) -> str:
    """`train_rte`."""
    return f"train_{data.task}"


def select_rows(rows: Sequence[Row], data: Any) -> list[Row]:
    """The rows of `test` or `validation` that are of the task of this `data` section."""
    return [row for row in rows if row["task"] == data.task]


def labels(data: Any) -> list[str]:
    """Names of the labels, in the order of their numbers."""
    return list(GLUE[data.task].labels)


def grade(row: Row, prediction: Row) -> Row:
    """`predicted` and `label` as numbers, and whether they agree.

    Raises BadInput, with the row, for an output that is no label of the row's task.
    """
    names, outputs = GLUE[row["task"]].labels, prediction["outputs"]
    if len(outputs) != 1 or outputs[0] not in names:
        raise BadInput(f"predictions: row {row['id']}: outputs: found {outputs!r}, expected one of "
                       f"{', '.join(names)}")  # fmt: skip
    predicted = names.index(outputs[0])
    return {
        "predicted": predicted,
        "label": row["label"],
        "correct": predicted == row["label"],
    }


def summary(predictions: list[Row]) -> str:
    """Share of rows with the right label."""
    right = sum(prediction["correct"] for prediction in predictions)
    return f"right {100 * right / len(predictions):.1f} %"


def encode(row: Row, tokenizer: Any, data: Any, max_length: int) -> Row:
    """A row as the encoder reads it.

    {"id", "input_ids", "token_type_ids" where the tokenizer has them, "label",
     "cut": whether `max_length` tokens were too few, "prompt_hash"}

    Of a pair that is too long the longer sentence loses its end first. Rows are not padded here.
    """
    from lib.data.encoding import prompt_hash

    texts = [text for text in (row["prompt"]["a"], row["prompt"]["b"]) if text is not None]
    made = tokenizer(*texts, verbose=False)  # it would warn of the model's own length
    cut = len(made["input_ids"]) > max_length
    if cut:
        made = tokenizer(*texts, truncation="longest_first", max_length=max_length)
    ids = made["input_ids"]
    kinds = {"token_type_ids": made["token_type_ids"]} if "token_type_ids" in made else {}
    return {
        "id": row["id"],
        "input_ids": ids,
        **kinds,
        "label": row["label"],
        "cut": cut,
        "prompt_hash": prompt_hash(ids),
    }


def _of_task(data: Any, task: str, most: int | None) -> tuple[dict[str, list[Row]], Row]:
    """Rows of one task by split, and what became of those that were read. most: rows of each."""
    asked = {name: getattr(data, f"{name}_rows") for name in ("train", "validation", "test")}
    limits = {name: least(rows, most) for name, rows in asked.items()}
    test, report = [], {}
    for part in GLUE[task].dev:
        rows, report[part] = read_set(data, task, part, limits["test"] or synthetic.DEV_ROWS)
        test += rows
    needed = ceil((limits["train"] or synthetic.TRAIN_ROWS) / (1 - data.validation))
    train, report["train"] = read_set(data, task, "train", needed)
    tested = set(map(same_text, test))
    kept, counts = leave_out(train, same_text, {"dropped_as_in_dev": tested})
    repeated = len(kept) - len(unique(kept, same_text))
    report["train"] |= {**counts, "repeated": repeated}
    # All rows of seeded sentences, data.validation of all but at most the limit, in order.
    share = min(round(data.validation * len(kept)), limits["validation"])
    texts = cut_by(kept, same_text, share, lambda text: [data.seed, "validation", task, text])
    cut = [row for row in kept if same_text(row) in texts]
    rest, _ = leave_out(kept, same_text, {"cut": texts})
    if not rest:
        raise BadInput(
            f"{report['train']['source']}: no row of {task} is left for training: of {len(train)} "
            f"read, {len(train) - len(kept)} are in a dev set and {len(cut)} are for validation"
        )
    splits = {
        "train": _drawn(rest, limits["train"], data.seed),
        "validation": cut,
        "test": stratified_sample(
            test,
            limits["test"],
            lambda row: (row["set"], row["target"]),
            lambda row: (row["prompt"], row["id"]),
            data.seed,
        ),
    }
    asked["validation"] = None  # a limit, not a wish
    report["splits"] = {
        name: tally(rows, "target") | {"asked": asked[name], "key": f"data.{name}_rows"}
        for name, rows in splits.items()
    }
    return splits, report


def _drawn(rows: list[Row], limit: int | None, seed: int) -> list[Row]:
    """At most `limit` seeded rows, in order."""
    if limit is None or limit >= len(rows):
        return rows
    ids = {row["id"] for row in shuffled(rows, lambda row: [seed, row["id"]])[:limit]}
    return [row for row in rows if row["id"] in ids]
