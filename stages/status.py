"""Progress of a study: one line per point.

python -m stages.status configs/weighted_loss.yaml

Read-only: it takes no lock, and unreadable files are reported in the point's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import aligned
from lib.config.study import Point, Study
from lib.runs.activity import Holder, holder, is_held_here, is_this_machine, last_change
from lib.runs.directory import status
from lib.runs.files import read_json, read_jsonl
from lib.slurm import commands as slurm
from lib.slurm.arrays import Queued, queued_arrays, recorded_jobs
from stages.command import DONE, load, parser, run

COLUMNS = ("index", "point", "state", "step", "loss", "predicted", "evaluated", "job")
RECENT = 900.0  # seconds; a task that has not written for longer may have ended


@dataclass
class Queue:
    """States of a study's jobs, from one query."""

    arrays: list[Queued] = field(default_factory=list)
    holders: dict[str, slurm.Tasks] = field(
        default_factory=dict
    )  # jobs that hold or held a point's lock
    ended: dict[str, str] = field(default_factory=dict)  # final states of ended ones
    known: bool = False  # whether squeue answered
    notes: list[str] = field(default_factory=list)  # why something is unknown

    def of(self, index: int) -> str | None:
        """`train 17_3 RUNNING` of a point's queued or running task, or None."""
        for queued in self.arrays:
            if state := queued.state(index):
                return (
                    f"{queued.array.stage} {queued.array.job}_{queued.array.task_of(index)} {state}"
                )
        return None

    def state(self, job: str) -> str | None:
        """State of a job such as "17_3", None if it is not in the queue."""
        number, _, task = job.partition("_")
        tasks = self.holders.get(number, {})
        return tasks.get(int(task)) if task else next(iter(tasks.values()), None)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    args = parser("stages.status", __doc__, force=False).parse_intermixed_args(argv)
    study = load(args)
    points = list(study.points())
    holders = {point.index: guarded(holder, point.directory) for point in points}
    queue = ask_queue(study, [h.job for h in holders.values() if h and h.job])
    rows, reasons = [], []
    for point in points:
        row, broken = describe(study, point, holders[point.index], queue)
        rows.append(row)
        reasons += [f"{point.name}: {reason}" for reason in broken]
    print(aligned([COLUMNS, *([str(row[c]) for c in COLUMNS] for row in rows)]))
    states = [row["state"] for row in rows]
    print("; ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states)))
    for line in (*reasons, *queue.notes):
        print(line)
    return DONE


def guarded(read: Any, *arguments: Any) -> Any:
    """The result of a function, None if it cannot read something."""
    try:
        return read(*arguments)
    except OSError:
        return None


def ask_queue(study: Study, jobs: Sequence[str]) -> Queue:
    """States of the study's arrays and of these jobs: one squeue, and sacct for ended ones."""
    queue = Queue()
    try:
        recorded = recorded_jobs(study)
        ids = [
            *dict.fromkeys([*(job for of_stage in recorded.values() for job in of_stage), *jobs])
        ]
        if not ids or not slurm.is_installed():
            return queue
        queue.holders = slurm.queued(ids, attempts=1)
        queue.known = True
        queue.ended = slurm.how_ended([job for job in jobs if queue.state(job) is None])
        for stage in recorded:
            queue.arrays += queued_arrays(study, queue.holders, stage)
    except (BadInput, OSError) as error:
        queue.notes.append(f"the queue is unknown: {error}")
    return queue


def describe(
    study: Study, point: Point, held_by: Holder | None, queue: Queue
) -> tuple[dict[str, Any], list[str]]:
    """The row of a point, and why parts of it are unreadable; its state is "broken" then."""
    row = dict.fromkeys(COLUMNS, "") | {"index": point.index, "point": point.name}
    broken = []
    for path, read in (
        (point.directory, lambda: state_of(study, point, held_by, queue)),
        (point.directory / "train.jsonl", lambda: of_log(point)),
        (point.directory / "metrics.json", lambda: of_metrics(point)),
    ):
        try:
            row |= read()
        except BadInput as error:
            broken.append(str(error))
        except OSError as error:
            broken.append(f"{error.filename or path}: cannot be read: {error.strerror}")
        except Exception as error:  # a damaged point never breaks the table
            broken.append(f"{path}: not as a stage writes it ({type(error).__name__}: {error})")
    if broken:
        row["state"] = "broken"
    return row, [" ".join(reason.split()) for reason in broken]


def state_of(study: Study, point: Point, held_by: Holder | None, queue: Queue) -> dict[str, Any]:
    """State: missing, queued, running, started, unknown, trained, done or diverged; and its job."""
    state, job = status(study, point), queue.of(point.index)
    if state == "missing":
        if point.directory.exists():
            state = at_work(point, held_by, queue, job)
        elif job:
            state = "queued"
    if job is None and held_by and held_by.job and state in ("running", "queued", "started"):
        how = queue.state(held_by.job) or queue.ended.get(held_by.job, "")
        job = f"{held_by.job} {how}".strip()
    return {"state": state, "predicted": "yes" if state == "done" else "", "job": job or ""}


def at_work(point: Point, held_by: Holder | None, queue: Queue, job: str | None) -> str:
    """Whether a started point is "running", "queued" again, "started" and ended, or "unknown".

    Decided by the most reliable source: locks on this machine, SLURM's queue, recent writes.
    """
    if is_held_here(point.directory):
        return "running"
    if job and job.split()[-1] in slurm.WAITING:
        return "queued"
    if not (point.directory / ".lock").exists() or is_this_machine(held_by):
        return "started"
    if held_by and held_by.job and queue.known:
        state = queue.state(held_by.job)
        return "started" if state is None else "queued" if state in slurm.WAITING else "running"
    return "running" if last_change(point.directory) < RECENT else "unknown"


def of_log(point: Point) -> dict[str, Any]:
    """Step and loss of the last row of a point's log."""
    path = point.directory / "train.jsonl"
    rows = read_jsonl(path, torn_tail=True) if path.exists() else []
    if not rows:
        return {}
    step, loss = rows[-1]["step"], rows[-1]["loss"]
    return {"step": step, "loss": "" if loss is None else f"{loss:.4f}"}


def of_metrics(point: Point) -> dict[str, Any]:
    """The accuracy of stage 4, or that it ran."""
    path = point.directory / "metrics.json"
    if not path.exists():
        return {}
    accuracy = read_json(path)["metrics"].get("accuracy")
    return {"evaluated": f"accuracy {100 * accuracy['value']:.1f} %" if accuracy else "yes"}


if __name__ == "__main__":
    raise SystemExit(run(main))
