"""The judgments of a point on its answers, and the mark that says of which answers they are.

judgments_<task>.jsonl      {"id", "judgments": what `Judging.judgments` gives}, in order
done/judge_<task>.json      they are whole
done/judging_<task>.json    another run is to ask for the rest
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from lib.config.errors import BadInput
from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.inference.predict import answered
from lib.runs.directory import done_mark, mark_done, verify_done
from lib.runs.files import write_jsonl


def unjudged(
    study: Study, task: str, points: Sequence[Point], asked_as: Row
) -> list[tuple[Point, Row, list[Row]]]:
    """(point, identity of its judgments, predictions) where the study's judge has more to say.

    asked_as: what judgments depend on, beside the answers and the judge.
    """
    judge, remaining = study.config.judge, []
    for point in points:
        predictions, checksum = answered(study, task, point)
        of_judge = {"judge": judge.model, "revision": judge.revision}
        identity = {"answers": checksum, **of_judge, **asked_as}
        if not _is_judged(point, task, identity):
            remaining.append((point, identity, predictions))
    return remaining


def _is_judged(point: Point, task: str, identity: Row) -> bool:
    mark = done_mark(point.directory, _mark(task, whole=True))
    if mark is None or mark["identity"] != identity:
        return False
    try:  # changed judgments are written anew: what a paid judge said is in its cache
        verify_done(point.directory, _mark(task, whole=True))
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
    return whole_mark(point, task) or done_mark(point.directory, _mark(task, whole=False))


def whole_mark(point: Point, task: str) -> dict[str, Any] | None:
    """The done mark of whole judgments."""
    return done_mark(point.directory, _mark(task, whole=True))


def _mark(task: str, whole: bool) -> str:
    return f"judge_{task}" if whole else f"judging_{task}"
