"""Runs of a study for trackers: one per point, from its files, and one with the verdicts."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import NAME_BYTES, digest
from lib.config.study import Point, Study
from lib.config.yaml import flatten
from lib.runs.directory import LOG, done_mark, read_metrics, status
from lib.runs.files import read_json, read_jsonl

Row = dict[str, Any]  # of train.jsonl

COMPARISON = "comparison"  # id of the study's own run; no point can have this name
# Column → its best value, for the summary; other columns only have a final value.
BEST: dict[str, Callable[[Iterable[float]], float]] = {
    "loss": min,
    "validation_loss": min,
    "train_accuracy": max,
    "validation_accuracy": max,
}
PACE = ("epoch", "grad_norm", "learning_rate")  # columns without a final value in the summary


@dataclass(frozen=True)
class Run:
    """A run, for any tracker."""

    id: str  # the point's name; identifies the run in its project
    group: str  # the study
    config: dict[str, Any]  # flat: dotted key → value
    rows: list[Row] = field(default_factory=list)  # of train.jsonl, each step once, in order
    summary: dict[str, float] = field(default_factory=dict)  # best, final and measured values
    texts: dict[str, str] = field(default_factory=dict)  # such as the verdicts
    end: float | None = None  # time of the last row, seconds since 1970

    @property
    def start(self) -> float:
        """Time of its beginning, by its last row."""
        last = max((row.get("seconds") or 0.0 for row in self.rows), default=0.0)
        return (self.end or time.time()) - last

    @property
    def last(self) -> list[Row]:
        """The summary as a row at the last step, for trackers that only have rows."""
        step = self.rows[-1]["step"] if self.rows else 0
        return [{"step": step, **self.summary}] if self.summary else []

    @property
    def hash(self) -> str:
        """Hash of the config: if it changes, the run is another one under the same id."""
        return digest([self.group, self.config, self.texts])

    @property
    def last_hash(self) -> str:
        """Hash of everything but the rows."""
        return digest([self.hash, self.summary])


def point_run(study: Study, point: Point) -> Run | None:
    """The run of a point, None before its first logged row. Raises BadInput for damaged files."""
    path = point.directory / LOG
    if not path.exists():
        return None
    rows = read_log(path, torn_tail=done_mark(point.directory, "train") is None)
    if not rows:
        return None
    record = point.directory / "config.json"
    config = point_config(study, point, read_json(record).get("hash") if record.exists() else None)
    summary = {**of_training(rows), **of_metrics(study, point)}
    return Run(point.name, study.directory.name, config, rows, summary, end=path.stat().st_mtime)


def point_config(study: Study, point: Point, identity: str | None) -> dict[str, Any]:
    """The config of a point's run: names, axis values, and the point's config by dotted keys.

    identity: hash of its training identity, from config.json, or None.
    """
    names = {"study": study.directory.name, "point": point.name, "hash": identity}
    config = point.config.model_dump(mode="json", exclude={"slurm", "skip", "tracking"})
    return names | point.values | flatten(config)


def study_run(study: Study) -> Run | None:
    """The study's summary run: verdicts and numbers of points by status; None before stage 4."""
    path = study.directory / COMPARISON / "aggregated_metrics.json"
    if not path.exists():
        return None
    verdicts = read_json(path).get("criteria") or []
    texts = {f"criterion.{n}": f"{v['verdict']}: {v['criterion']}: {v['number']}"
             for n, v in enumerate(verdicts, 1)}  # fmt: skip
    states = Counter(status(study, point) for point in study.points())
    counted = Counter(v["verdict"].replace(" ", "_") for v in verdicts)
    summary = {f"points.{state}": float(n) for state, n in states.items()}
    summary |= {f"criteria.{verdict}": float(n) for verdict, n in counted.items()}
    config = {"study": study.directory.name, "points": len(study.grid)}
    return Run(COMPARISON, study.directory.name, config, [], summary, texts, path.stat().st_mtime)


def read_log(path: Path, torn_tail: bool = False) -> list[Row]:
    """Rows of a train.jsonl, each step once, of the last attempt. Raises BadInput for others."""
    rows = read_jsonl(path, torn_tail)
    for number, row in enumerate(rows, 1):
        if type(row.get("step")) is not int:
            raise BadInput(f"{path}: line {number}: step: found {row.get('step')!r}, expected a "
                           f"whole number")  # fmt: skip
    return last_attempt(rows)


def last_attempt(rows: Iterable[Row]) -> list[Row]:
    """Rows by step, of the last attempt that logged it."""
    by_step = {row["step"]: row for row in rows}
    return [by_step[step] for step in sorted(by_step)]


def values(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row, without its step."""
    return {key: float(value) for key, value in row.items() if key != "step" and _is_number(value)}


def time_of(row: Row, start: float) -> float:
    """Time of a row, or of the summary as a row, of a run that began at `start`."""
    return start + (row.get("seconds") or row.get("final.seconds") or 0.0)


def common_head(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items two sequences have in common before the first that differs."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def of_training(rows: Iterable[Row]) -> dict[str, float]:
    """`final.<key>`: last value of a column of train.jsonl; `best.<key>`: its best value."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for key, value in values(row).items():
            columns.setdefault(key, []).append(value)
    best = {f"best.{key}": pick(columns[key]) for key, pick in BEST.items() if key in columns}
    kept = {key: column[-1] for key, column in columns.items() if key not in PACE}
    return {f"final.{key}": value for key, value in kept.items()} | best


def of_metrics(study: Study, point: Point) -> dict[str, float]:
    """Metrics in metrics.json, by their names: `accuracy`, `accuracy.low`, ….

    Names of additional tasks start with the task: `mt_bench.score`.
    """
    values_by_name: dict[str, float] = {}
    for task in study.config.tasks:
        metrics = read_metrics(study, point, task) or {}
        prefix = "" if task == study.config.tasks[0] else f"{task}."
        values_by_name |= dict(metric_values(metrics.get("metrics") or {}, prefix))
    return values_by_name


def metric_values(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Names and finite numbers of nested metrics; `accuracy.value` becomes `accuracy`."""
    for key, value in flatten(metrics, prefix).items():
        if _is_number(value):
            yield key.removesuffix(".value"), float(value)


def run_id(name: str, most: int = NAME_BYTES) -> str:
    """A point's name as an id of at most this many bytes, shortened by a hash if necessary."""
    if len(name.encode()) <= most:
        return name
    ending = f"-{digest(name)[:8]}"
    return name.encode()[: most - len(ending)].decode(errors="ignore") + ending


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)
