"""Dead and missing trials of a search, as seen from the login node.

The worker of a running trial is alive if squeue lists its SLURM job, or if it holds its lock here.
If neither can tell, the trial is *unknown* and left alone.

results/<study>/search/jobs.json    ids of arrays queued when it was written
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.study import Study
from lib.runs.activity import Holder, is_held_here, is_this_machine
from lib.runs.files import read_json, write_json
from lib.search.journal import MOST_RETRIES, Journal, is_over, state_of
from lib.search.trials import claim, trial_count
from lib.slurm import commands as slurm

JOBS = Path("search") / "jobs.json"


def recorded_jobs(study: Study) -> list[str]:
    """Ids of the search's arrays, as last recorded."""
    path = study.directory / JOBS
    jobs = read_json(path) if path.exists() else []
    if not isinstance(jobs, list) or not all(isinstance(job, str) and job for job in jobs):
        raise BadInput(f"{path}: expected a list of job ids; see squeue for what is queued, then "
                       f"remove the file")  # fmt: skip
    return jobs


def record_job(study: Study, job: str, queued: Mapping[str, Any]) -> None:
    """Record a submitted array, beside those that are still queued."""
    still = [known for known in recorded_jobs(study) if known in queued]
    write_json(study.directory / JOBS, [*still, job])


def worker(holder: str, job: str | None, restarts: int) -> dict[str, Any]:
    """The worker of a trial, for the journal. job: as in squeue; holder: as in locks."""
    return {"job": job, "restarts": restarts, "holder": holder}


def look(
    study: Study, current: Mapping[int, Any]
) -> tuple[dict[str, slurm.Tasks] | None, list[str]]:
    """Tasks by job, of the search's arrays and the workers of trials, from one squeue; and notes.

    None where SLURM does not answer, empty without SLURM.
    """
    jobs = [*recorded_jobs(study), *(
        by["job"].partition("_")[0] for by in map(_by, current.values()) if by.get("job")
    )]  # fmt: skip
    if not jobs or not slurm.is_installed():
        return {}, []
    try:
        return slurm.queued(jobs), []
    except slurm.NoAnswer as error:
        return None, [f"the queue is unknown: {error}"]


def states(
    study: Study, current: Mapping[int, Any], queue: Mapping[str, slurm.Tasks] | None
) -> dict[int, str]:
    """Trial → missing, queued, running, dead, unknown, failed, complete, pruned or diverged.

    "failed": died, to be retried unless that happened too often.
    """
    arrays = {job for job in recorded_jobs(study) if queue and job in queue}
    for number, attempt in current.items():  # and those submitted by sbatch directly
        array, _, task = str(_by(attempt).get("job")).partition("_")
        if task == str(number) and queue and array in queue:
            arrays.add(array)
    waiting = {task: state for job in arrays for task, state in queue[job].items()}
    return {
        number: _state(study, number, current.get(number), queue, waiting)
        for number in range(trial_count(study))
    }


def _state(
    study: Study,
    number: int,
    attempt: Any,
    queue: Mapping[str, slurm.Tasks] | None,
    waiting: Mapping[int | None, str],
) -> str:
    name = "missing" if attempt is None else state_of(attempt)
    if name in ("complete", "pruned", "diverged"):
        return name
    if name == "running":
        return _of_running(study, number, _by(attempt), queue)
    if number in waiting and not is_over(attempt):
        return "queued"
    return "failed" if name == "fail" else name


def _of_running(
    study: Study, number: int, by: Mapping[str, Any], queue: Mapping[str, slurm.Tasks] | None
) -> str:
    directory = claim(study, number)
    if is_held_here(directory):
        return "running"
    if job := by.get("job"):
        if queue is None or not slurm.is_installed():
            return "unknown"
        array, _, task = job.partition("_")
        tasks = queue.get(array, {})
        state = tasks.get(int(task) if task else None)
        if state is None:
            return "dead"
        return "queued" if state in slurm.WAITING else "running"
    text = str(by.get("holder", ""))
    here = is_this_machine(Holder(text.rpartition(", process ")[0], None, None))
    return "dead" if here else "unknown"


def reap(journal: Journal, current: Mapping[int, Any], known: Mapping[int, str]) -> list[str]:
    """Mark trials whose worker is dead as failed, to be retried; returns a line for each."""
    dead = [number for number, state in known.items() if state == "dead"]
    jobs = {number: _by(current[number]).get("job") for number in dead}
    ended = slurm.how_ended([job for job in jobs.values() if job])
    lines = []
    for number in dead:
        attempt, job = current[number], jobs[number]
        how = f"job {job} {ended.get(job, 'is no longer queued')}" if job else "its process ended"
        journal.fail(attempt, how)
        retries = attempt.user_attrs["retries"]
        lines.append(f"trial {number}: dead ({how}), {_again(retries)}")
    return lines


def _again(retries: int) -> str:
    if retries >= MOST_RETRIES:
        return f"given up after {retries + 1} attempts; --trial N --force tries it again"
    return f"to be tried again with its parameters ({retries + 1} of at most {MOST_RETRIES} times)"


def to_run(current: Mapping[int, Any], known: Mapping[int, str]) -> Sequence[int]:
    """Unfinished trials without a running or queued task."""
    return [
        number for number, state in known.items()
        if state in ("missing", "failed") and not is_over(current.get(number))
    ]  # fmt: skip


def _by(attempt: Any) -> Mapping[str, Any]:
    running = attempt is not None and attempt.state.name == "RUNNING"
    return attempt.user_attrs.get("by", {}) if running else {}
