"""Where a stage of a point stands that has no done mark, and why it failed if it did.

The most reliable source decides: a lock of this machine, SLURM's queue, the record of attempts, how
SLURM says a task ended, and files written a moment ago. What nobody knows is "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.config.study import Study
from lib.runs.activity import Holder, is_this_machine, last_change
from lib.runs.attempts import Entry
from lib.slurm.arrays import Array
from lib.slurm.reasons import EARLY, HELD, KILLED, last_lines, log_of, reason_of
from lib.slurm.states import Queue, Seen

RECENT = 900.0  # seconds; a task that has not written for longer may have ended
WITHOUT_TRACE = ("CANCELLED", "COMPLETED", "REVOKED")  # a task that ended so may never have begun


@dataclass
class Stage:
    """Where one stage of a point stands."""

    state: str
    reason: str = ""  # of a failed one, see `lib.slurm.reasons`
    line: str = ""  # the line that says so
    task: str = ""  # as SLURM names it: 17_3
    slurm: str = ""  # its state
    node: str = ""
    log: str = ""


@dataclass
class Undone:
    """What is known about a stage of a point."""

    study: Study
    directory: Path
    ready: bool  # whether the stage before is done
    entries: Sequence[Entry]  # attempts at the stage, oldest first
    recorded: Mapping[str, Array]  # tasks of recorded arrays that run the point → their arrays
    held_by: Holder | None  # who locked the point last for this stage
    held_here: bool  # whether a process of this machine holds the lock
    queue: Queue

    @property
    def entry(self) -> Entry | None:
        """The last attempt."""
        return self.entries[-1] if self.entries else None

    def stage(self) -> Stage:
        """Where it stands."""
        tasks = {*self.recorded, *map(task_of, self.entries), self.held_by and self.held_by.job}
        known = sorted(filter(None, tasks), key=order)
        active = [task for task in known if self.queue.active(task)]
        task = next(iter(active or reversed(known)), "")
        if not active and self.entry and not self._left_a_trace(task):
            task = task_of(self.entry)
        array, seen = self.recorded.get(task), self.queue.active(task)
        at = Stage("", task=task, log=self._log_of(task))
        if seen:
            at.slurm, at.node = seen.state, seen.node
        if self.held_here and self.ready:
            at.state = "running"
        elif seen:
            self._in_queue(at, seen, array)
        elif not self.ready:
            at = Stage("missing")
        elif not self.entry and not self.held_by:
            self._without_trace(at)
        elif (self.entry and self.entry["end"]) or not self._may_run(task):
            self._ended(at)
        elif task and self.queue.known:  # such as after a restart of the controller
            at.state = "unknown"
        else:
            at.state = "running" if last_change(self.directory) < RECENT else "unknown"
        return at

    def _in_queue(self, at: Stage, seen: Seen, array: Array | None) -> None:
        """A point whose task waits or runs, perhaps another of its points."""
        mine = [entry for entry in self.entries if task_of(entry) == at.task]
        is_open = bool(mine) and mine[-1]["end"] is None
        if seen.is_waiting:
            at.state = "requeued" if mine or seen.state != "PENDING" else "queued"
            if seen.is_held:
                at.reason, at.line = HELD, seen.reason
        elif array is None or array.points == 1 or is_open:
            at.state = "running"
        elif mine and mine[-1]["how"] == "failed":
            self._ended(at)
        else:
            at.state = "queued"

    def _without_trace(self, at: Stage) -> None:
        """A point that nobody has begun: missing, unless its task failed, or nobody knows."""
        ended = self.queue.ended(at.task) if at.task else None
        if at.task and not ended and not self.queue.known:
            at.state = "unknown"
        elif (ended and ended.state not in WITHOUT_TRACE) or (not ended and _lines(at.log)):
            self._ended(at)
        else:
            at.state, at.task, at.log = "missing", "", ""

    def _may_run(self, task: str) -> bool:
        """Whether a process that nobody shows may be at work on a point that was begun."""
        if self.held_by is None or is_this_machine(self.held_by):
            return False
        if not (task and self.queue.known):
            return True
        return self.queue.ended(task) is None and last_change(self.directory) < RECENT

    def _left_a_trace(self, task: str) -> bool:
        """Whether a task may be newer than the last attempt, which it did not come to record."""
        if self.entry and not task_of(self.entry):  # of no task: which is newer is not known
            return False
        return bool(self.queue.ended(task) or _lines(self._log_of(task)))

    def _log_of(self, task: str) -> str:
        """Where a task's output goes, "" where that is not known."""
        array = self.recorded.get(task)
        log = log_of(self.study, array, task.partition("_")[2]) if array else None
        return str(log or "")

    def _ended(self, at: Stage) -> None:
        """A point that failed, and why."""
        ended = self.queue.ended(at.task) if at.task else None
        entry = self.entry if self.entry and task_of(self.entry) == at.task else None
        error, code = (entry.get("error"), entry.get("exit")) if entry else (None, None)
        said = ended.reason.partition(":")[0] if ended else ""
        if code is None and said.isdecimal():
            code = int(said)
        on_cpu = bool(self.entry) and self.entry.get("device") == "cpu"
        state = ended.state if ended else ""
        at.state = "failed"
        at.reason, at.line = reason_of(state, error, code, _lines(at.log), on_cpu)
        if entry and entry.get("reason"):  # noted by `make retry` when SLURM still knew
            at.reason = entry["reason"]
        elif at.reason == KILLED and not self.entries and not ended:
            at.reason = EARLY
        at.slurm = state or at.slurm
        at.node = (entry or {}).get("node") or (ended.node if ended else at.node)


def _lines(log: str) -> list[str]:
    return last_lines(Path(log)) if log else []


def task_of(entry: Entry) -> str:
    """An attempt's task as SLURM names it; "" without SLURM."""
    if not entry.get("job"):
        return ""
    return f"{entry['job']}_{entry['task']}" if entry.get("task") else str(entry["job"])


def order(task: str) -> tuple[int, str]:
    """Key to sort tasks by, oldest first."""
    job = task.partition("_")[0]
    return int(job) if job.isdecimal() else 0, task
