"""Tasks, hours, wall time and price of the stages of a study, by arithmetic alone."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from lib.config.schema import Resources, TrainResources
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
    together = wanted.parallel if isinstance(wanted, TrainResources) else 1

    def of_tasks(values: Sequence[float | None], unknown: float | None) -> list[float | None]:
        """Seconds of each task, its points taking so many; `unknown` where one's are."""
        by_task = _ends(values, wanted.points, together, start)
        return [unknown if None in of else max(of) for of in by_task]

    seconds = [one.value for one in found]
    tasks = of_tasks(seconds, limit)
    by_point = chain(*_ends(seconds, wanted.points, together, start))
    too_long = [
        point.name
        for point, end in zip(points, by_point, strict=True)
        if None not in (limit, end) and end > limit
    ]
    at_once, by = at_once_of(wanted, len(tasks), partition)
    units = wanted.gpus or wanted.cpus
    hours = _hours(tasks, units)
    low, high = (
        _hours(of_tasks(values, None), units)
        for values in ([one.low for one in found], [one.high for one in found])
    )
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


def _hours(seconds: Sequence[float | None], units: int) -> float | None:
    return None if None in seconds else sum(seconds) * units / HOUR


def _ends(
    seconds: Sequence[float | None], size: int, together: int, start: float
) -> Iterator[list[float | None]]:
    """When each point of a task of `size` points ends, so many of them at a time."""
    for first in range(0, len(seconds), size):
        members = seconds[first : first + size]
        yield [None] * len(members) if None in members else ends(members, together, start)


def at_once_of(wanted: Resources, tasks: int, partition: Partition | None) -> tuple[int, str]:
    """How many tasks can run at a time, and what limits them."""
    limits = [(tasks, "tasks")]
    if wanted.throttle:
        limits.append((wanted.throttle, "throttle"))
    if partition is not None:
        limits.append((partition.at_once(wanted), f"partition {partition.name}"))
    return min(limits, key=lambda one: one[0])


def ends(seconds: Sequence[float], at_once: int, start: float = 0.0) -> list[float]:
    """When each ends that starts, in order, as soon as one of so many places is free."""
    places, found = [start] * min(at_once, len(seconds)), []
    for one in seconds:
        found.append(places[0] + one)
        heapq.heapreplace(places, found[-1])
    return found


def wall(tasks: Sequence[float | None], at_once: int) -> float | None:
    """Seconds until the last task ends; None where that is unknown, or none can run."""
    if not at_once or None in tasks:
        return None
    return max(ends(tasks, at_once), default=0.0)
