"""The points of a study as evaluation and figures see them, checked against the test set."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib import tasks
from lib.errors import BadInput, listed
from lib.runs import (
    checksum,
    done_mark,
    is_done,
    read_json,
    read_jsonl,
    unchanged,
    write_json,
    write_jsonl,
    write_text,
)
from lib.study import Point, Study, identity
from lib.tasks import PointResult, Row
from lib.testsets import own_rows, predict_identity

RECORDS = ("usage", "importance")  # files that training may leave beside its log


def read_predictions(path: Path, rows: Sequence[Row], task: Any) -> list[Row]:
    """The predictions of a point in test order, graded anew from their raw outputs.

    Raises BadInput that names the file and the ids where any is missing, repeated or unknown.
    """
    found = read_jsonl(path)
    for number, prediction in enumerate(found, 1):
        kinds = type(prediction.get("id")), type(prediction.get("outputs"))
        if kinds != (str, list):
            raise BadInput(f"{path}: line {number}: expected a row with id and outputs")
    counts = Counter(prediction["id"] for prediction in found)
    wanted = {row["id"] for row in rows}
    for what, ids in (
        ("repeated", [i for i, count in counts.items() if count > 1]),
        ("missing", [row["id"] for row in rows if row["id"] not in counts]),
        ("not in the test set", [i for i in counts if i not in wanted]),
    ):
        if ids:
            raise BadInput(f"{path}: {len(ids)} of {len(wanted)} test ids {what}: {listed(ids, 4)}")
    by_id = {prediction["id"]: prediction for prediction in found}
    return [{**by_id[row["id"]], **_graded(task, row, by_id[row["id"]], path)} for row in rows]


def _graded(task: Any, row: Row, prediction: Row, path: Path) -> Row:
    if not hasattr(task, "regrade"):
        return task.grade(row, prediction["outputs"], prediction.get("scores"))
    try:
        return task.regrade(row, prediction)
    except KeyError as error:
        raise BadInput(f"{path}: row {row['id']}: no {error}, which stage 3 writes; run it again "
                       f"with --force") from None  # fmt: skip


def status(study: Study, point: Point) -> str:
    """ "done" (has the predictions of every task not skipped), "diverged", "trained", "missing"."""
    trained = done_mark(point.directory, "train")
    if trained is None:
        return "missing"
    if trained["status"] == "diverged":
        return "diverged"
    marks = (done_mark(point.directory, study.named("infer", task)) for task in study.tasks)
    return "done" if all(marks) else "trained"


def counts(study: Study, point: Point, task: str) -> bool:
    """Whether a finished point has predictions of a task, of a skipped one such as fit its config.

    Raises BadInput where a task that is not skipped was predicted from another config.
    """
    name, now = study.named("infer", task), predict_identity(study, point, task)
    if task in study.tasks:
        return is_done(point.directory, name, now) is not None
    mark = done_mark(point.directory, name)
    return mark is not None and unchanged(mark["identity"], now)


def read_point(study: Study, point: Point, task: str, rows: Sequence[Row]) -> PointResult:
    """A point with what it has of a task: log, predictions, metrics.

    Its status is the study's; where that is "done", it is "skipped" if a skipped task has nothing
    to show, and "partial" if infer.rows leaves out test rows: it is compared with nothing.
    """
    own = own_rows(task, rows, point.config)
    wanted = own[: point.config.infer.rows]
    result = PointResult(point.name, point.values, point.config, status(study, point))
    log = point.directory / "train.jsonl"
    metrics = point.directory / f"{study.named('metrics', task)}.json"
    if log.exists():
        result.train_log = read_jsonl(log, torn_tail=True)
    for name in RECORDS:
        path = point.directory / f"{name}.json"
        result.records[name] = read_json(path) if path.exists() else None
    if result.status == "done" and not counts(study, point, task):
        result.status = "skipped"
    if result.status == "done":
        path = point.directory / f"{study.named('predictions', task)}.jsonl"
        result.predictions = read_predictions(path, wanted, tasks.part(task, "data"))
        if (judged := point.directory / f"judgments_{task}.jsonl").exists():
            by_id = {row["id"]: row["judgments"] for row in read_jsonl(judged)}
            for row in result.predictions:
                row["judgments"] = by_id.get(row["id"])
        if metrics.exists():
            result.metrics = read_json(metrics)
        if len(wanted) < len(own):
            result.status = "partial"
    return result


def inputs_of(study: Study, point: Point) -> dict[str, Any]:
    """What the metrics of a point depend on: its predictions, their config, and how to measure.

    Raises BadInput where the predictions come from another config than the study's now.
    """
    found: dict[str, Any] = {
        "status": status(study, point),
        **identity(study.config, "evaluate", *study.config.tasks[1:]),
    }
    if found["status"] == "done":
        for task in study.config.tasks:
            if not counts(study, point, task):
                continue
            name = f"{study.named('predictions', task)}.jsonl"
            found[name.removesuffix(".jsonl")] = _checksum(point.directory / name)
            if (judged := point.directory / f"judgments_{task}.jsonl").exists():
                found[judged.stem] = _checksum(judged)
    if (log := point.directory / "train.jsonl").exists():
        found["log"] = _checksum(log)
    for name in RECORDS:
        if (record := point.directory / f"{name}.json").exists():
            found[name] = _checksum(record)
    return found


def _checksum(path: Path) -> str:
    if not path.exists():
        raise BadInput(f"{path}: missing, though stage 3 finished; run it again with --force")
    return checksum(path)[:12]


def write_table(directory: Path, name: str, table: Any) -> None:
    """Write a further table of a comparison; the ending of its name says how.

    .csv and .jsonl: rows; .md: text; a name without such an ending gets .json.
    """
    writers = {".csv": lambda p, t: write_text(p, as_csv(t)), ".jsonl": write_jsonl,
               ".md": write_text}  # fmt: skip
    for ending, write in writers.items():
        if name.endswith(ending):
            write(directory / name, table)
            return
    write_json(directory / f"{name}.json", table)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV text; a missing number is an empty cell."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
