"""Where each point of a study stands, from marks, locks, attempts and SLURM's word. Takes no lock.

One listing of the study's directory says which points have begun; files of these alone are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import parse_indices
from lib.config.study import Study
from lib.runs.activity import Holder, holder, is_held_here, locks_here
from lib.runs.attempts import Entry, gpu_hours, hours, read_attempts
from lib.runs.directory import LOG, done_mark
from lib.runs.files import read_json
from lib.runs.listing import Listed
from lib.runs.train_log import last_rows
from lib.slurm.arrays import ARRAYS, Array, recorded_array
from lib.slurm.states import Queue, Seen, add_history, ask_queue
from lib.slurm.undone import Stage, Undone, order, task_of

STAGES = ("train", "infer", "evaluate")
STATES = ("done", "running", "queued", "requeued", "failed", "diverged", "missing", "unknown",
          "broken")  # fmt: skip


@dataclass
class Row:
    """A point with its stages."""

    index: int
    name: str
    values: Mapping[str, Any]
    stages: dict[str, Stage] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)  # last row of train.jsonl
    steps: int | None = None  # of the whole training
    left: float | None = None  # seconds of training that remain
    gpu_hours: float = 0.0
    hours: float = 0.0
    broken: list[str] = field(default_factory=list)  # what cannot be read


@dataclass
class Facts:
    """What lies in a point's directory."""

    names: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)
    held_by: Holder | None = None
    held_here: bool = False

    @property
    def predicting(self) -> bool:
        """Whether there are predictions of a stage 3 that has not ended well."""
        return any(name.endswith(".part.jsonl") for name in self.names)


class Survey:
    """The rows of a study's points, and what else was learnt."""

    def __init__(self, study: Study, points: Sequence[Listed], thorough: bool = False) -> None:
        """thorough: verify each mark of training, and read each point's last row of train.jsonl.

        Else the attempts say how training ended, and rows of running points alone are read.
        """
        self.study, self.thorough, self.now = study, thorough, datetime.now(UTC)
        self.notes: list[str] = []
        self.infer_marks = {study.named("infer", task) for task in study.tasks}
        self.arrays = list(self._arrays())
        self.rows = [Row(*point) for point in points]
        self.facts: dict[int, Facts] = {}
        present = _names(study.directory)
        locks = locks_here()
        for row in self.rows:
            if row.name in present:
                self._look(row, locks)
        self.queue = self._ask()
        self.evaluating = self.active("evaluate")
        for row in self.rows:
            if row.index in self.facts and thorough:
                self._read_log(row)
            self._decide(row)
            if row.stages["train"].state == "running" and not thorough:
                self._read_log(row)

    def active(self, stage: str) -> list[Seen]:
        """Waiting and running tasks of the arrays of a stage, such as "reference"."""
        jobs = {array.job for array, _ in self.arrays if array.stage == stage}
        tasks = self.queue.tasks.items()
        return [seen for task, seen in tasks if seen.is_active and task.partition("_")[0] in jobs]

    def _arrays(self) -> Iterator[tuple[Array, set[int]]]:
        """The recorded arrays with the numbers of their tasks, oldest first."""
        names = (name.removesuffix(".json") for name in _names(self.study.directory / ARRAYS))
        for job in sorted((name for name in names if name.isdecimal()), key=int):
            try:
                array = recorded_array(self.study, job)
                yield array, set(parse_indices(array.tasks, 10**12)) if array.tasks else set()
            except BadInput as error:
                with suppress(BadInput):  # a plain sbatch leaves the grid's hash alone
                    if read_json(self.study.directory / ARRAYS / f"{job}.json").keys() == {"grid"}:
                        continue
                self.notes.append(f"the queue is unknown: {error}")

    def _look(self, row: Row, locks: dict[int, list[int]]) -> None:
        """Read what lies in a point's directory: of a finished one its marks and attempts alone."""
        directory, facts = self.study.directory / row.name, Facts()
        self.facts[row.index] = facts
        try:
            facts.marks = {name.removesuffix(".json") for name in _names(directory / "done")}
            row.entries = read_attempts(directory)
            if "train" in facts.marks:
                facts.marks.add(self._training(directory, row))
            if not self._is_predicted(facts):
                facts.names = _names(directory)
                if ".lock" in facts.names:
                    facts.held_by = holder(directory)
                    facts.held_here = is_held_here(directory, locks)
        except (BadInput, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            row.broken.append(_line(error, directory))

    def _training(self, directory: Path, row: Row) -> str:
        """ "done" or "diverged": from the mark, in a large grid as its last attempt says."""
        trained = [e["how"] for e in row.entries if e["stage"] == "train"]
        if not self.thorough and trained and trained[-1] in ("done", "diverged"):
            return trained[-1]
        return done_mark(directory, "train")["status"]

    def _is_predicted(self, facts: Facts) -> bool:
        return "diverged" in facts.marks or facts.marks >= {"train", *self.infer_marks}

    def _read_log(self, row: Row) -> None:
        """The last row of train.jsonl, and how long the steps that remain take."""
        try:
            rows = last_rows(self.study.directory / row.name / LOG)
        except FileNotFoundError:
            return
        except (BadInput, OSError) as error:
            row.broken.append(_line(error, row.name))
            return
        if not rows:
            return
        row.last = rows[-1]
        row.steps = next((e["steps"] for e in reversed(row.entries) if e.get("steps")), None)
        if row.steps and len(rows) > 1 and row.last["step"] > rows[0]["step"]:
            taken = row.last.get("seconds", 0) - rows[0].get("seconds", 0)
            per_step = taken / (row.last["step"] - rows[0]["step"])
            row.left = max(0.0, per_step * (row.steps - row.last["step"]))

    def _ask(self) -> Queue:
        """One squeue for all jobs of the study, and one sacct for those of unfinished points."""
        tasks = {row.index: self._tasks(row) for row in self.rows}
        known = {array.job for array, _ in self.arrays}
        queue = ask_queue({*known, *(task for of_row in tasks.values() for task in of_row)})
        self.notes += queue.notes
        ended = {
            task.partition("_")[0]
            for of_row in tasks.values()
            for task in of_row
            if not queue.active(task)
        }
        add_history(queue, ended)
        return queue

    def _tasks(self, row: Row) -> list[str]:
        """Tasks that work or worked on the unfinished stages of a point, oldest first."""
        facts = self.facts.get(row.index, Facts())
        stages = [] if self._is_predicted(facts) else ["infer"]
        stages += [] if "train" in facts.marks else ["train"]
        found = {task for stage in stages for task, _ in self._recorded(row, stage)}
        found |= {task_of(e) for e in row.entries if _family(e["stage"]) in stages} - {""}
        if facts.held_by and facts.held_by.job and stages:
            found.add(facts.held_by.job)
        return sorted(found, key=order)

    def _recorded(self, row: Row, stage: str) -> list[tuple[str, Array]]:
        """Tasks of recorded arrays of a stage that run a point, oldest first."""
        return [
            (f"{array.job}_{number}", array)
            for array, numbers in self.arrays
            if array.stage == stage and (number := array.task_of(row.index)) in numbers
        ]

    def _decide(self, row: Row) -> None:
        """Set the state of each stage."""
        facts = self.facts.get(row.index, Facts())
        if row.broken:
            row.stages = {stage: Stage("broken") for stage in STAGES}
            return
        if "diverged" in facts.marks:
            row.stages = {stage: Stage("diverged") for stage in STAGES}
        else:
            trained = "train" in facts.marks
            row.stages["train"] = Stage("done") if trained else self._undone(row, facts, "train")
            if self._is_predicted(facts):
                row.stages["infer"] = Stage("done")
            else:
                row.stages["infer"] = self._undone(row, facts, "infer", trained)
            evaluated = "evaluate" in facts.marks
            row.stages["evaluate"] = Stage("done") if evaluated else self._evaluation()
        until = self.now if any(s.state == "running" for s in row.stages.values()) else None
        row.gpu_hours = gpu_hours(row.entries, until)
        row.hours = sum(hours(entry, until) for entry in row.entries)

    def _evaluation(self) -> Stage:
        if not self.evaluating:
            return Stage("missing")
        seen = self.evaluating[0]
        return Stage("queued" if seen.is_waiting else "running", slurm=seen.state)

    def _undone(self, row: Row, facts: Facts, stage: str, ready: bool = True) -> Stage:
        entries = [e for e in row.entries if _family(e["stage"]) == stage]
        recorded = dict(self._recorded(row, stage))
        if not (entries or recorded or facts.held_by):
            return Stage("missing")
        # Before attempts were recorded, the lock alone named the task. That of training stays.
        begun = stage == "train" or facts.predicting or entries
        return Undone(
            self.study,
            self.study.directory / row.name,
            ready,
            entries,
            recorded,
            facts.held_by if begun else None,
            facts.held_here,
            self.queue,
        ).stage()


def _names(directory: Any) -> set[str]:
    """Names in a directory, none where it does not exist."""
    try:
        return set(os.listdir(directory))
    except FileNotFoundError:
        return set()


def _family(stage: str) -> str:
    """Stage of an attempt without its task: infer_mt_bench → infer."""
    return stage.partition("_")[0]


def _line(error: Exception, where: Any) -> str:
    if isinstance(error, BadInput):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        return f"{error.filename or where}: cannot be read: {error.strerror}"
    return f"{where}: not as a stage writes it ({type(error).__name__}: {error})"
