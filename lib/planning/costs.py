"""Tasks, hours, wall time and price of the stages of a study, by arithmetic alone."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib.config.schema import Resources
from lib.config.study import Point, Study
from lib.planning.times import (
    LIMIT,
    Estimate,
    infer_kind,
    infer_pilots,
    limit_seconds,
    predictor,
    train_kind,
    train_pilots,
    train_work,
)
from lib.planning.work import Data
from lib.slurm.partitions import Partition
from lib.slurm.submission import resources

HOUR = 3600


@dataclass
class StageCost:
    """What the points of a stage cost. Seconds and hours are None where nothing tells them."""

    stage: str
    points: int
    done: int
    tasks: int
    at_once: int  # tasks that can run at a time
    at_once_by: str  # throttle, partition, or tasks: nothing limits them
    unit: str  # of hours: GPU or CPU
    hours: float | None
    low: float | None
    high: float | None
    wall_seconds: float | None
    longest_seconds: float | None  # of one task
    price: float | None
    sources: dict[str, int]  # how times are known → points
    pilots: int  # finished points that were measured
    too_long: list[str]  # points that exceed the time limit


def training(
    study: Study, data: Data, notes: list[str], partition: Partition | None, price: float | None
) -> StageCost:
    """What stage 2 costs."""
    pilots = train_pilots(study, data, notes)
    predict = predictor(pilots, train_kind)

    def seconds(point: Point) -> Estimate:
        work = train_work(data.work(point))
        return Estimate(None, None, None, LIMIT) if work is None else predict(point, work)

    return _cost(study, "train", seconds, 0.0, len(pilots), partition, price)


def inference(
    study: Study, data: Data, notes: list[str], partition: Partition | None, price: float | None
) -> StageCost:
    """What stage 3 costs; a judge's calls are not counted."""
    pilots = {task: infer_pilots(study, data, task, notes) for task in study.tasks}
    predicts = {task: predictor(of, infer_kind, False) for task, of in pilots.items()}
    starts = [pilot.start for of in pilots.values() for pilot in of if pilot.start]

    def seconds(point: Point) -> Estimate:
        answers = data.work(point).answers
        parts = [predicts[task](point, answers[task] or 0) for task in study.tasks]
        if None in answers.values() or any(part.value is None for part in parts):
            return Estimate(None, None, None, LIMIT)
        known = all(part.low is not None for part in parts)
        low, high = (sum(p[i] for p in parts) if known else None for i in (1, 2))
        return Estimate(sum(p.value for p in parts), low, high, parts[0].source)

    # An engine starts once a task, whatever the number of its points.
    start = max(starts, default=0.0)
    count = min((len(of) for of in pilots.values()), default=0)
    return _cost(study, "infer", seconds, start, count, partition, price)


def _cost(
    study: Study,
    stage: str,
    estimate: Callable[[Point], Estimate],
    start: float,
    pilots: int,
    partition: Partition | None,
    price: float | None,
) -> StageCost:
    """start: seconds of a task beside those of its points."""
    wanted, points = resources(study, stage), study.points()
    mark = study.named("infer", study.tasks[-1]) if stage == "infer" else stage
    limit = limit_seconds(wanted.time)
    found = [estimate(point) for point in points]
    seconds = [_bounded(one, limit, wanted.points) for one in found]
    tasks, too_long = [], []
    for first in range(0, len(points), wanted.points):
        end = start
        for place in range(first, min(first + wanted.points, len(points))):
            end = None if end is None or seconds[place] is None else end + seconds[place]
            measured = found[place].source != LIMIT
            if measured and limit is not None and end is not None and end > limit:
                too_long.append(points[place].name)
        tasks.append(end)
    at_once, by = at_once_of(wanted, len(tasks), partition)
    units, starting = wanted.gpus or wanted.cpus, start * len(tasks)
    hours = _hours(tasks, units, 0.0)
    low = _hours([one.low for one in found], units, starting)
    high = _hours([one.high for one in found], units, starting)
    on_gpus = wanted.gpus > 0
    return StageCost(
        stage=stage,
        points=len(points),
        done=sum((point.directory / "done" / f"{mark}.json").exists() for point in points),
        tasks=len(tasks),
        at_once=at_once,
        at_once_by=by,
        unit="GPU" if on_gpus else "CPU",
        hours=hours,
        low=low,
        high=high,
        wall_seconds=wall(tasks, at_once),
        longest_seconds=None if None in tasks else max(tasks),
        price=None if price is None or hours is None or not on_gpus else hours * price,
        sources=dict(Counter(one.source for one in found)),
        pilots=pilots,
        too_long=too_long,
    )


def _bounded(one: Estimate, limit: float | None, points: int) -> float | None:
    """Seconds of a point: estimated, else its share of the time limit of a task."""
    if one.value is not None:
        return one.value
    return None if limit is None else limit / points


def _hours(seconds: Sequence[float | None], units: int, extra: float) -> float | None:
    return None if None in seconds else (sum(seconds) + extra) * units / HOUR


def at_once_of(wanted: Resources, tasks: int, partition: Partition | None) -> tuple[int, str]:
    """How many tasks can run at a time, and what limits them."""
    limits = [(tasks, "tasks")]
    if wanted.throttle:
        limits.append((wanted.throttle, "throttle"))
    if partition is not None:
        limits.append((partition.at_once(wanted), f"partition {partition.name}"))
    return min(limits, key=lambda one: one[0])


def wall(tasks: Sequence[float | None], at_once: int) -> float | None:
    """Seconds until the last task ends, each starting in order as soon as a place is free."""
    if not at_once or None in tasks:
        return None
    places = [0.0] * min(at_once, len(tasks))
    for seconds in tasks:
        heapq.heapreplace(places, places[0] + seconds)
    return max(places, default=0.0)
