"""Which answers a judge has still to score, and its judgments once they are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from lib.config.errors import BadInput
from lib.config.schema import Judge
from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.testsets import rows_of
from lib.inference.predict import answered
from lib.judging.local import Missing
from lib.runs.directory import done_mark, mark_done, verify_done
from lib.runs.files import write_jsonl

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
        if not _is_judged(point, task, identity):
            found.append((point, identity, made))
    return found


def _is_judged(point: Point, task: str, identity: Row) -> bool:
    mark = done_mark(point.directory, mark_of(task))
    if mark is None or mark["identity"] != identity:
        return False
    try:  # what a judge said is in its cache: judgments that were changed are written anew from it
        verify_done(point.directory, mark_of(task))
    except BadInput:
        return False
    return True


def write_judgments(
    point: Point, task: str, identity: Row, judged: Iterable[Row], whole: bool = True
) -> None:
    """Write the judgments of a point, and what they are of.

    whole: whether they are complete; else another call is to complete them.
    """
    name = f"judgments_{task}.jsonl"
    write_jsonl(point.directory / name, judged)
    mark_done(point.directory, _mark(task, whole), identity, [name])
    with suppress(FileNotFoundError):
        (point.directory / "done" / f"{_mark(task, not whole)}.json").unlink()


def judge_mark(point: Point, task: str) -> dict[str, Any] | None:
    """What vouches for the judgments of a point, whole or not; None where there are none."""
    marks = (done_mark(point.directory, _mark(task, whole)) for whole in (True, False))
    return next((mark for mark in marks if mark is not None), None)


def mark_of(task: str) -> str:
    """Name of the done mark of whole judgments."""
    return _mark(task, whole=True)


def _mark(task: str, whole: bool) -> str:
    return f"judge_{task}" if whole else f"judging_{task}"
