"""Which answers a judge has still to score, and its judgments once they are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from lib.local_judge import Missing
from lib.prediction import answered
from lib.runs import done_mark, mark_done, write_jsonl
from lib.schema import Judge
from lib.study import Point, Study
from lib.tasks import Row
from lib.testsets import rows_of

Unjudged = tuple[Point, Row, list[Row]]  # with what its judgments depend on, and its predictions


def check_local(
    study: Study, task: str, points: Sequence[Point], opened: Callable[[Judge], Any]
) -> None:
    """Open the judge that is loaded here where answers are left to score: BadInput says what it is.

    One that is not to be had is no error: `score` of the task says so.
    """
    marks = (done_mark(point.directory, mark_of(task)) for point in points)
    if study.config.judge.model is not None and rows_of(study, task) and not all(marks):
        with suppress(Missing):
            opened(study.config.judge)


def unjudged(study: Study, task: str, points: Sequence[Point], **settings: Any) -> list[Unjudged]:
    """The points whose answers are not judged whole by the study's judge with these settings."""
    judge, found = study.config.judge, []
    for point in points:
        made, checksum = answered(study, task, point)
        identity = {
            "answers": checksum,
            "judge": judge.model,
            "revision": judge.revision,
            **settings,
        }
        mark = done_mark(point.directory, mark_of(task))
        there = (point.directory / f"judgments_{task}.jsonl").exists()
        if mark is None or mark["identity"] != identity or not there:
            found.append((point, identity, made))
    return found


def write_judgments(point: Point, task: str, judged: Iterable[Row]) -> None:
    """Write the judgments of a point, which another call is to complete."""
    write_jsonl(point.directory / f"judgments_{task}.jsonl", judged)


def write_judged(point: Point, task: str, identity: Row, judged: Iterable[Row]) -> None:
    """Write the whole judgments of a point, and that they are."""
    write_judgments(point, task, judged)
    mark_done(point.directory, mark_of(task), identity)


def mark_of(task: str) -> str:
    """Name of the done mark."""
    return f"judge_{task}"
