"""The points of a study as evaluation and figures see them, checked against the test set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.analysis.joined import home
from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.grid import digest
from lib.config.selected import is_selected, selected_of
from lib.config.study import Point, Study, identity
from lib.config.tasks import PointResult, Row, Task
from lib.data.testsets import own_rows, predict_identity
from lib.inference.predict import read_answers
from lib.judging.judgments import judge_mark
from lib.runs.directory import (
    LOG,
    RECORDS,
    done_mark,
    is_done,
    remedy,
    status,
    unchanged,
)
from lib.runs.files import as_csv, read_json, read_jsonl, write_json, write_jsonl, write_text
from lib.runs.integrity import verify
from lib.runs.provenance import analysis_version


def read_predictions(path: Path, rows: Sequence[Row], task: Task) -> list[Row]:
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


def _graded(task: Task, row: Row, prediction: Row, path: Path) -> Row:
    try:
        return task.grade(row, prediction)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except KeyError as error:
        raise BadInput(f"{path}: row {row['id']}: no {error}, which stage 3 writes; run it again "
                       f"with --force") from None  # fmt: skip


@contextmanager
def predictions_named(study: Study, point: Point, task: str) -> Iterator[None]:
    """Put the file of a point's predictions before what is wrong with them."""
    try:
        yield
    except BadInput as error:
        path = point.directory / f"{study.named('predictions', task)}.jsonl"
        raise BadInput(f"{path}: {error}") from None


def counts(study: Study, point: Point, task: str) -> bool:
    """Whether a finished point has predictions of a task, of a skipped one such as fit its config.

    Raises BadInput where a task that is not skipped was predicted from another config.
    """
    name, now = study.named("infer", task), predict_identity(study, point, task)
    if task in study.tasks:
        return is_done(point.directory, name, now) is not None
    mark = done_mark(point.directory, name)
    return mark is not None and unchanged(mark["identity"], now)


def read_training(study: Study, point: Point) -> PointResult:
    """A point with its status, log and records. Raises BadInput for a file that has changed."""
    now = status(*home(study, point))
    result = PointResult(point.name, point.values, point.config, now, axes=study.axes)
    trained = verify_trained(point)
    if (log := point.directory / LOG).exists():
        result.train_log = read_jsonl(log, torn_tail=not trained)
    for name in RECORDS:
        path = point.directory / f"{name}.json"
        result.records[name] = read_json(path) if path.exists() else None
    run = point.directory / "config.json"
    result.records["run"] = read_json(run) if run.exists() else None
    return result


def read_point(study: Study, point: Point, task: str, rows: Sequence[Row]) -> PointResult:
    """A point with what training left and its graded predictions of a task.

    Its status is the study's; where that is "done", it is "skipped" if a skipped task has nothing
    to show, and "partial" if infer.rows leaves out test rows: it is compared with nothing.
    Raises BadInput for a file that is not what its stage wrote.
    """
    own = own_rows(task, rows, point.config)
    wanted = own[: point.config.infer.rows]
    result = read_training(study, point)
    study, point = home(study, point)
    if result.status == "done" and not counts(study, point, task):
        result.status = "skipped"
    if result.status == "done":
        path = read_answers(study, task, point)
        result.predictions = read_predictions(path, wanted, tasks.get(task))
        if judged := read_judgments(study, point, task):
            for row in result.predictions:
                row["judgments"] = judged.get(row["id"])
        if len(wanted) < len(own):
            result.status = "partial"
    return result


def read_judgments(study: Study, point: Point, task: str) -> dict[str, Any]:
    """Row id → what a judge said of the point's answers; empty where none was asked.

    Raises BadInput where they are of other answers than the point's.
    """
    name, mark = f"judgments_{task}.jsonl", judge_mark(point, task)
    path, answers = point.directory / name, answers_checksum(study, point, task)
    if mark is None and not path.exists():
        return {}
    if mark is None:
        raise BadInput(f"{path}: no done mark vouches for it; remove it and run stage 3 again")
    verify(point.directory, mark["files"], "remove it and run stage 3 again", [name])
    if mark["identity"]["answers"] != answers:
        raise BadInput(f"{path}: of other answers: found {mark['identity']['answers']}, expected "
                       f"{answers}; run stage 3 again")  # fmt: skip
    return {row["id"]: row["judgments"] for row in read_jsonl(path)}


def verify_trained(point: Point) -> dict[str, str]:
    """Name → SHA-256 of the log and records of a trained point; empty where it is not trained.

    Raises BadInput where one has been changed, or has come since.
    """
    mark = done_mark(point.directory, "train")
    if mark is None:
        return {}
    names = [LOG, *(f"{name}.json" for name in RECORDS)]
    there = [n for n in names if n in mark["files"] or (point.directory / n).exists()]
    verify(point.directory, mark["files"], remedy("train"), there)
    return {name: mark["files"][name]["sha256"][:12] for name in there}


def inputs_of(study: Study, point: Point) -> dict[str, Any]:
    """What the metrics of a point depend on: its predictions, their config, and how to measure.

    The code that measures is part of how. Raises BadInput where the predictions come from another
    config than the study's now.
    """
    found: dict[str, Any] = {
        "status": status(*home(study, point)),
        "analysis": analysis_version(),
        **identity(study.config, "evaluate", *study.config.tasks[1:]),
    }
    if study.claims:
        found["claims"] = digest([claim.model_dump() for claim in study.claims.values()])
    if is_selected(study, point):
        found["selected"] = selected_of(study).model_dump()
    study, point = home(study, point)
    if found["status"] == "done":
        for task in study.config.tasks:
            if not counts(study, point, task):
                continue
            found[study.named("predictions", task)] = answers_checksum(study, point, task)
            if read_judgments(study, point, task):
                files = judge_mark(point, task)["files"]
                found[f"judgments_{task}"] = files[f"judgments_{task}.jsonl"]["sha256"][:12]
    return found | verify_trained(point)


def answers_checksum(study: Study, point: Point, task: str) -> str:
    """The first 12 hex digits of the SHA-256 of a task's predictions.

    Raises BadInput where they are not those that stage 3 wrote.
    """
    name = read_answers(study, task, point).name
    mark = done_mark(point.directory, study.named("infer", task))
    return mark["files"][name]["sha256"][:12]


def table_file(name: str) -> str:
    """The file of a further table of a comparison: a name without a known ending gets .json."""
    return name if name.endswith((".csv", ".jsonl", ".md")) else f"{name}.json"


def write_table(directory: Path, name: str, table: Any) -> None:
    """Write a further table of a comparison; the ending of its name says how.

    .csv and .jsonl: rows; .md: text; all else as JSON.
    """
    writers = {".csv": lambda p, t: write_text(p, as_csv(t)), ".jsonl": write_jsonl,
               ".md": write_text, ".json": write_json}  # fmt: skip
    path = directory / table_file(name)
    writers[path.suffix](path, table)
