"""What a point predicts on a task's test set: batch by batch, so that a stop loses one batch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol

from lib import tasks
from lib.grid import digest
from lib.prepared import encoded_test
from lib.progress import progress
from lib.runs import checksum, mark_done, read_jsonl, write_jsonl
from lib.serving import Served
from lib.study import Point, Study
from lib.tasks import Row
from lib.testsets import predict_identity, rows_of


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
        self.task, self.rows = tasks.part(task, "data"), rows_of(study, task)

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
    """The task's own predictor (`Predictor` in its `predict.py`), or an engine's answers."""
    own = tasks.has_part(task, "predict")
    return (tasks.part(task, "predict").Predictor if own else Answers)(study, task, served)


def answered(study: Study, task: str, point: Point) -> tuple[list[Row], str]:
    """The finished predictions of a point, and their checksum."""
    path = point.directory / f"{study.named('predictions', task)}.jsonl"
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
    made = read_jsonl(part, torn_tail=True) if part.exists() else []
    write_jsonl(part, made)  # a torn last line goes
    label = f"infer {point.name}" if name == "predictions" else f"infer {task} {point.name}"
    with progress(total, label, done=len(made)) as shown:
        while len(made) < total:
            if stop():
                return None
            end = min(total, len(made) + point.config.infer.batch_size)
            fresh = predictor.predict(len(made), end)
            with part.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in fresh)
                file.flush()
                os.fsync(file.fileno())
            made += fresh
            shown.update(len(made))
    write_jsonl(point.directory / f"{name}.jsonl", made)
    mark_done(point.directory, study.named("infer", task), identity, rows=total)
    with suppress(FileNotFoundError):
        part.unlink()
    return total
