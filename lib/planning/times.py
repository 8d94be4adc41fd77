"""How long points take: from finished points where there are any, else at most their time limits.

A point takes an overhead and its steps; the seconds of a step grow with its tokens. Points of the
same kind are compared with each other first, then all of one model, then those of other models by
the ratio of weights.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple

from lib.config.errors import BadInput
from lib.config.study import Point, Study
from lib.losses import OBJECTIVES
from lib.models.sizes import parameters
from lib.planning.work import Data, Work
from lib.runs.directory import LOG, done_mark
from lib.runs.files import read_json, read_jsonl

MOST_PILOTS = 20  # finished points of a kind that are read
MEASURED, SCALED, LIMIT = "measured", "scaled", "time limit"

Kind = tuple[Any, ...]


class Estimate(NamedTuple):
    """Seconds of a point, between low and high; how that is known. `value` None: unknown."""

    value: float | None
    low: float | None
    high: float | None
    source: str


class Pilot(NamedTuple):
    """What a finished point took: seconds a unit of work, and beside it."""

    model: str
    processes: int
    kind: Kind
    unit: float  # of training: a token of a step; of inference: an answer
    beside: float | None  # loading, saving, checks; None: unknown
    start: float = 0.0  # of an engine, once a process


Predict = Callable[[Point, float], Estimate]  # (point, units of work) → seconds


def train_kind(point: Point) -> Kind:
    """Points with equal kinds take equal times for equal work."""
    train = point.config.train
    return (train.tuning, OBJECTIVES[train.objective].batch, train.importance.alpha > 0,
            train.gradient_checkpointing, train.precision)  # fmt: skip


def infer_kind(point: Point) -> Kind:
    """The same of predictions."""
    infer = point.config.infer
    return (infer.engine, infer.precision, infer.max_new_tokens)


def train_pilots(study: Study, data: Data, notes: list[str]) -> list[Pilot]:
    """What training took, of finished points; `notes` gets a line for one that is unreadable."""

    def read(point: Point) -> Pilot | None:
        mark = done_mark(point.directory, "train")
        work = data.work(point)
        if mark is None or not work.steps or not work.tokens:
            return None
        rows = [
            row for row in read_jsonl(point.directory / LOG, torn_tail=True) if "seconds" in row
        ]
        slope = _slope(rows)
        if slope is None:
            return None
        made = read_json(point.directory / "config.json")
        took = _moment(made["end"]) - _moment(made["start"])
        # Of a resumed run, start and end are those of its last attempt.
        beside = took - slope * mark["step"] if took >= rows[-1]["seconds"] else None
        # The study's batch may have been changed since.
        tokens = work.tokens * made["config"]["train"]["batch_size"] / point.config.train.batch_size
        return Pilot(point.config.model.name, point.config.train.processes, train_kind(point),
                     slope / tokens, beside)  # fmt: skip

    return _pilots(study, "train", train_kind, read, notes)


def infer_pilots(study: Study, data: Data, task: str, notes: list[str]) -> list[Pilot]:
    """What predictions of a task took, of finished points."""
    stage = study.named("infer", task)

    def read(point: Point) -> Pilot | None:
        mark, answers = done_mark(point.directory, stage), data.work(point).answers[task]
        took = (mark or {}).get("seconds")
        if not took or not took["rows"] or not answers:
            return None
        unit = took["predict"] / took["rows"] * mark["rows"] / answers
        return Pilot(point.config.model.name, 1, infer_kind(point), unit, took["load"],
                     took["start"])  # fmt: skip

    return _pilots(study, stage, infer_kind, read, notes)


def _pilots(
    study: Study,
    stage: str,
    kind: Callable[[Point], Kind],
    read: Callable[[Point], Pilot | None],
    notes: list[str],
) -> list[Pilot]:
    finished: dict[Kind, list[Point]] = defaultdict(list)
    for point in study.points():
        if (point.directory / "done" / f"{stage}.json").exists():
            finished[(point.config.model.name, *kind(point))].append(point)
    pilots = []
    for points in finished.values():
        for point in points[:: -(-len(points) // MOST_PILOTS)]:
            try:
                pilots.append(read(point))
            except BadInput as error:
                notes.append(f"{point.name}: its times are not used: {error}")
            except (KeyError, TypeError, ValueError) as error:
                notes.append(f"{point.name}: its times are not used: not as a stage writes them "
                             f"({type(error).__name__}: {error})")  # fmt: skip
    return [pilot for pilot in pilots if pilot is not None]


def _slope(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds a step between the first and the last row of a log; of one row since the start."""
    if not rows or not rows[-1]["step"]:
        return None
    first, last = rows[0], rows[-1]
    if last["step"] == first["step"]:
        return last["seconds"] / last["step"]
    return (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])


def predictor(
    pilots: Iterable[Pilot], kind: Callable[[Point], Kind], processes: bool = True
) -> Predict:
    """(point, units of work) → seconds, from the pilots of its kind, its model, or any.

    processes: whether the ranks of a point share its work.
    """
    pilots = list(pilots)
    rates: dict[Kind, tuple[list[float], list[float], str] | None] = {}

    def found(point: Point) -> tuple[list[float], list[float], str] | None:
        model = point.config.model
        ranks = point.config.train.processes if processes else 1
        same = [p for p in pilots if p.model == model.name]
        alike = [p for p in same if p.kind == kind(point) and p.processes == ranks]
        chosen, source = (alike, MEASURED) if alike else (same or pilots, SCALED)
        weights = parameters(model).weights
        scaled = []
        for pilot in chosen:
            ratio = pilot.processes / ranks
            if pilot.model != model.name:
                theirs = parameters(model.model_copy(update={"name": pilot.model})).weights
                if not weights or not theirs:
                    continue
                ratio *= weights / theirs
            scaled.append(pilot.unit * ratio)
        beside = [p.beside for p in chosen if p.beside is not None]
        return (scaled, beside, source) if scaled else None

    def predict(point: Point, work: float) -> Estimate:
        key = (point.config.model.name, point.config.train.processes, *kind(point))
        if key not in rates:
            rates[key] = found(point)
        if rates[key] is None:
            return Estimate(None, None, None, LIMIT)
        units, beside, source = rates[key]
        beside = beside or [0.0]
        value = median(beside) + work * median(units)
        if len(units) < 2:
            return Estimate(value, None, None, source)
        low, high = min(beside) + work * min(units), max(beside) + work * max(units)
        return Estimate(value, low, high, source)

    return predict


def train_work(work: Work) -> float | None:
    """Units of training: tokens of all steps."""
    if work.steps is None or work.tokens is None:
        return None
    return work.steps * work.tokens


def limit_seconds(text: str) -> float | None:
    """Seconds of a SLURM time: MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS; None: no limit.

    Raises BadInput for anything else.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if match is None:
        if text.strip().upper() in ("UNLIMITED", "INFINITE", "NOT_SET", "N/A"):
            return None
        raise BadInput(f"a time limit: found {text!r}, expected one such as 04:00:00 or 2-00:00:00")
    days, *parts = match.groups()
    first, second, third = (int(part or 0) for part in parts)
    if days is not None:  # hours, minutes, seconds
        return float(int(days) * 86400 + first * 3600 + second * 60 + third)
    if parts[2] is not None:
        return float(first * 3600 + second * 60 + third)
    return float(first * 60 + second)  # minutes, seconds


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
