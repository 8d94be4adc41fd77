"""What SLURM says about tasks: one squeue, and one sacct where there is accounting.

squeue also shows tasks that ended a moment ago (MinJobAge, 300 s by default), so that a controller
without accounting tells why they did.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lib.slurm.commands import WAITING, NoAnswer, NoSuchJob, ask

# Source: squeue(1), JOB STATE CODES; a task in any other state waits or runs.
ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
         "PREEMPTED", "REVOKED", "TIMEOUT")  # fmt: skip
# Part of a reason for which a task waits until somebody does something.
HELD = ("held", "never satisfied", "neversatisfied")
SQUEUE = ("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N")
SACCT = ("sacct", "-n", "-X", "-P", "--duplicates", "--format=JobID,State,ExitCode,NodeList")


class Seen(NamedTuple):
    """A task as SLURM shows it."""

    state: str
    reason: str = ""  # why it waits; or its exit code, of an ended one
    node: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state not in ENDED

    @property
    def is_waiting(self) -> bool:
        """Whether it waits to start."""
        return self.state in WAITING

    @property
    def is_held(self) -> bool:
        """Whether it waits for somebody, such as after a launch that failed."""
        said = self.reason.lower().replace("_", " ")
        return self.is_waiting and any(part in said for part in HELD)


@dataclass
class Queue:
    """Tasks such as "17_3", as far as anybody knows."""

    known: bool = False  # whether squeue answered
    tasks: dict[str, Seen] = field(default_factory=dict)  # from squeue
    history: Mapping[str, Sequence[Seen]] = field(default_factory=dict)  # from sacct: every start
    notes: list[str] = field(default_factory=list)  # why something is unknown

    def active(self, task: str) -> Seen | None:
        """A task that waits or runs, else None."""
        seen = self.tasks.get(task) or self.tasks.get(task.partition("_")[0])
        return seen if seen and seen.is_active else None

    def ended(self, task: str) -> Seen | None:
        """How a task ended, where SLURM still knows; else None."""
        past = [seen for seen in self.history.get(task, ()) if not seen.is_active]
        seen = self.tasks.get(task)
        return past[-1] if past else seen if seen and not seen.is_active else None


def _numbers(tasks: Iterable[str]) -> list[str]:
    """The jobs of tasks such as "17_3", sorted."""
    jobs = {task.partition("_")[0] for task in tasks}
    return sorted((job for job in jobs if job.isdecimal()), key=int)


def ask_queue(jobs: Iterable[str]) -> Queue:
    """The tasks of these jobs, by one squeue. Its failure becomes a note."""
    queue, ids = Queue(), _numbers(jobs)
    if not ids or not shutil.which("squeue"):
        return queue
    try:
        try:
            shown = ask(*SQUEUE, f"--jobs={','.join(ids)}", attempts=1)
        except NoSuchJob:  # which one is not said; others may be known
            shown = ask(*SQUEUE, attempts=1) if len(ids) > 1 else ""
    except NoAnswer as error:
        queue.notes.append(f"the queue is unknown: {error}")
        return queue
    wanted = set(ids)
    for line in shown.splitlines():
        task, *seen = (part.strip() for part in line.split("|"))
        if task.partition("_")[0] in wanted and seen and seen[0]:
            queue.tasks[task] = Seen(*seen[:3])
    queue.known = True
    return queue


def add_history(queue: Queue, jobs: Iterable[str]) -> None:
    """Ask sacct how these jobs ended, each start of them; without accounting nothing changes."""
    ids = _numbers(jobs)
    if not ids or not shutil.which("sacct"):
        return
    try:
        shown = ask(*SACCT, f"--jobs={','.join(ids)}", attempts=1)
    except (NoAnswer, NoSuchJob):
        return
    history = defaultdict(list)
    for line in shown.splitlines():
        task, *seen = line.split("|")
        if len(seen) == 3 and seen[0]:
            state, code, node = seen
            history[task].append(Seen(state.split()[0], code, node))
    queue.history = history
