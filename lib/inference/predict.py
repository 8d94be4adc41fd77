"""What a point predicts on a task's test set: batch by batch, so that a stop loses one batch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from lib.config import tasks
from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.prepared import encoded_test
from lib.data.testsets import predict_identity, rows_of
from lib.inference.serving import Served
from lib.runs.directory import mark_done, verify_done
from lib.runs.files import read_jsonl, replacing, write_jsonl
from lib.runs.integrity import checksum, seal, unseal
from lib.runs.progress import progress


class Predictor(Protocol):
    """One model loaded once, that takes the weights of point after point.

    Where that is an engine, it is `served`'s, which all tasks of a process share.
    """

    def __init__(self, study: Study, task: str, served: Served) -> None: ...

    def serving(self, point: Point) -> AbstractContextManager[None]:
        """Predict with the weights of this point while the context lasts."""

    def predict(self, start: int, end: int) -> list[Row]:
        """Predictions of these rows of the test set; `end` may lie beyond the last."""


class Answers:
    """The text that an engine generates, and the log-probabilities of the task's full answers."""

    def __init__(self, study: Study, task: str, served: Served) -> None:
        self.study, self.served = study, served
        self.task, self.rows = tasks.get(task), rows_of(study, task)

    @contextmanager
    def serving(self, point: Point) -> Iterator[None]:
        """See `Predictor`."""
        self.settings, self.test = point.config.infer, encoded_test(self.study, point)
        with self.served.engine(point) as engine:
            self.engine: Any = engine
            yield

    def predict(self, start: int, end: int) -> list[Row]:
        """See `Predictor`."""
        batch = self.test[start:end]
        outputs = self.engine.generate(batch["input_ids"], self.settings)
        scores: list = [None] * len(outputs)
        if batch["answers"][0]:
            scores = self.engine.score(batch["input_ids"], batch["answers"])
        columns = (self.rows[start:end], batch["id"], batch["prompt_hash"], outputs, scores)
        return [
            {"id": i, "prompt_hash": h, "outputs": o, "scores": s, **self.task.grade(row, o, s)}
            for row, i, h, o, s in zip(*columns, strict=True)
        ]


def predictor(study: Study, task: str, served: Served) -> Predictor:
    """The task's own predictor, or an engine's answers."""
    return (tasks.get(task).predictor or Answers)(study, task, served)


def read_answers(study: Study, task: str, point: Point) -> Path:
    """The file of a point's finished predictions. Raises BadInput where it has been changed."""
    name = f"{study.named('predictions', task)}.jsonl"
    verify_done(point.directory, study.named("infer", task), [name])
    return point.directory / name


def answered(study: Study, task: str, point: Point) -> tuple[list[Row], str]:
    """The finished predictions of a point, and the first 12 hex digits of their SHA-256."""
    path = read_answers(study, task, point)
    return read_jsonl(path), checksum(path)[:12]


def files_of(study: Study, task: str, point: Point) -> list[str]:
    """Names of the files that stages 3 and 4 made of a task for a point, partial ones too."""
    name = study.named("predictions", task)
    parts = [path.name for path in point.directory.glob(f".{name}-*.part.jsonl")]
    of_judge, metrics = f"judgments_{task}.jsonl", f"{study.named('metrics', task)}.json"
    return [*parts, f"{name}.jsonl", of_judge, metrics]


def predict(
    study: Study, task: str, point: Point, predictor: Predictor, stop: Callable[[], bool]
) -> int | None:
    """Write the task's predictions of a point and the done mark; returns how many rows.

    None where `stop()` ended it early: the finished batches are kept, and the next call goes on.
    """
    identity, name = predict_identity(study, point, task), study.named("predictions", task)
    total = len(rows_of(study, task, point))
    part = point.directory / f".{name}-{digest(identity)}.part.jsonl"
    made = _finished_batches(part, point.config.infer.batch_size, total)
    label = f"infer {point.name}" if name == "predictions" else f"infer {task} {point.name}"
    with progress(total, label, done=len(made)) as shown:
        while len(made) < total:
            if stop():
                return None
            end = min(total, len(made) + point.config.infer.batch_size)
            fresh = predictor.predict(len(made), end)
            _append(part, fresh)
            made += fresh
            shown.update(len(made))
    write_jsonl(point.directory / f"{name}.jsonl", made)
    mark_done(point.directory, study.named("infer", task), identity, [f"{name}.jsonl"], rows=total)
    with suppress(FileNotFoundError):
        part.unlink()
    return total


def _append(part: Path, rows: list[Row]) -> None:
    """Add a batch to a part file as one sealed line, on the disk when this returns.

    Raises BadInput where the disk says no; the batches before stay whole.
    """
    line = json.dumps(seal({"rows": rows}), ensure_ascii=False) + "\n"
    try:
        with part.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BadInput(f"{part}: cannot be written: {error.strerror}; the rows before are kept, "
                       f"run the stage again to resume") from None  # fmt: skip


def _finished_batches(part: Path, batch_size: int, total: int) -> list[Row]:
    """The rows of a part file up to its first batch that is torn, changed or of another size.

    Only whole batches count: the rows of a batch are computed together, and others in it change
    the last digits of their scores. The file is cut behind them.
    """
    made: list[Row] = []
    kept = []
    for line in part.read_bytes().split(b"\n") if part.exists() else ():
        try:
            rows = unseal(json.loads(line))["rows"]
        except (ValueError, KeyError):
            break
        if len(rows) != min(batch_size, total - len(made)):
            break
        made += rows
        kept.append(line + b"\n")
    with replacing(part) as temporary:
        temporary.write_bytes(b"".join(kept))
    return made
