"""Arrays submitted for a study, and the points of each of their tasks.

results/<study>/jobs.json         {stage: ids of jobs queued when it was written}
results/<study>/arrays/<id>.json  an `Array`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import digest, format_indices
from lib.config.schema import RUNTIME_KEYS
from lib.config.study import Study
from lib.config.study_file import SECTIONS
from lib.runs.files import read_json, write_json
from lib.slurm.commands import Tasks

JOBS, ARRAYS = "jobs.json", "arrays"
NO_RESULTS = ("slurm", "evaluate", "tracking")  # sections that no result of a task depends on


@dataclass(frozen=True)
class Array:
    """A submitted job array: task i runs group `offset` + i of the grid's points."""

    job: str
    stage: str
    tasks: str  # as in --array: "0-2,7"
    offset: int
    points: int  # in a group
    grid: str  # hash of the grid
    overrides: dict[str, Any]
    # Hashes of what the study claimed when its first array was submitted; None: nobody noted it.
    claims: list[str] | None = field(default=None, kw_only=True)
    config: str | None = field(default=None, kw_only=True)  # `config_hash` of the study
    code: str | None = field(default=None, kw_only=True)  # digest, see lib.runs.code
    submission: str | None = field(default=None, kw_only=True)  # directory of what was submitted

    def task_of(self, index: int) -> int:
        """The task that runs a point, or None."""
        return index // self.points - self.offset

    def indices(self, tasks: Iterable[int], size: int) -> list[int]:
        """Points of these tasks, in a grid with `size` points."""
        return group_points((self.offset + task for task in tasks), self.points, size)


@dataclass(frozen=True)
class Queued:
    """An array with the states of its queued and running tasks."""

    array: Array
    states: Tasks

    def state(self, index: int) -> str | None:
        """State of the task that runs a point, None if no task of this array will."""
        if not self.array.tasks:  # the evaluation, a job of no point
            return None
        return self.states.get(self.array.task_of(index), self.states.get(None))

    def describe(self, size: int) -> str:
        """`job 17: points 0-3 (1 RUNNING, 3 PENDING)`."""
        if not self.array.tasks:
            return f"job {self.array.job} ({', '.join(self.states.values())})"
        tasks = [task for task in self.states if task is not None]
        which = format_indices(self.array.indices(tasks, size)) if tasks else "unknown"
        states = list(self.states.values())
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return f"job {self.array.job}: points {which} ({counts})"


def group_points(groups: Iterable[int], points: int, size: int) -> list[int]:
    """Points of groups of `points` consecutive ones, in a grid with `size` points."""
    return [i for g in groups for i in range(g * points, min((g + 1) * points, size))]


def overrides_of(study: Study) -> dict[str, Any]:
    """Overrides that can change results: neither those of `slurm` nor runtime keys."""
    return {
        k: v
        for k, v in study.overrides.items()
        if k.split(".")[0] != "slurm" and k not in RUNTIME_KEYS
    }


def config_hash(study: Study) -> str:
    """Identifies what points are computed from: sections of the study file, grid, overrides."""
    sections = {k: study.raw[k] for k in SECTIONS if k in study.raw and k not in NO_RESULTS}
    return digest([sections, study.mode, study.grid_hash, overrides_of(study)])


def recorded_jobs(study: Study) -> dict[str, list[str]]:
    """Stage → ids of its jobs, as last recorded. Raises BadInput for a damaged file."""
    path = study.directory / JOBS
    if not path.exists():
        return {}
    jobs = read_json(path)
    if not isinstance(jobs, dict) or not all(
        isinstance(ids, list) and all(isinstance(job, str) and job for job in ids)
        for ids in jobs.values()
    ):
        raise BadInput(f"{path}: expected lists of job ids by stage; see squeue for what is "
                       f"queued, then remove the file")  # fmt: skip
    return jobs


def recorded_array(study: Study, job: str) -> Array:
    """An array that `record` wrote. Raises BadInput for a damaged file."""
    path = study.directory / ARRAYS / f"{job}.json"
    try:
        array = Array(**(read_json(path) if path.exists() else {}))
        if not (type(array.offset) is type(array.points) is int and array.points > 0):
            raise TypeError
    except TypeError:
        raise BadInput(f"{path}: does not say what job {job} does: scancel {job}, or wait for its "
                       f"end") from None  # fmt: skip
    return array


def record(study: Study, array: Array, still_queued: Iterable[str]) -> None:
    """Record a submitted array, beside those of its stage that are still queued.

    Each array keeps the claims of the first, so that one changed later is shown as such.
    """
    submitted = (study.directory / ARRAYS).exists()
    claims = first_claims(study) if submitted else [c.hash for c in study.claims.values()]
    noted = asdict(array) | {"claims": claims}
    write_json(study.directory / ARRAYS / f"{array.job}.json", noted)
    jobs = recorded_jobs(study)
    write_json(study.directory / JOBS, {**jobs, array.stage: [*still_queued, array.job]})


def first_claims(study: Study) -> list[str] | None:
    """Hashes of the claims when the first array was submitted; None where that is not known.

    A damaged record is passed over here: whoever needs the array itself names it.
    """
    for path in sorted((study.directory / ARRAYS).glob("*.json")):
        try:
            return recorded_array(study, path.stem).claims
        except BadInput:
            continue
    return None


def queued_arrays(study: Study, shown: dict[str, Tasks], stage: str) -> list[Queued]:
    """The arrays of a stage that still have tasks in `shown`, from squeue."""
    jobs = recorded_jobs(study).get(stage, [])
    return [Queued(recorded_array(study, job), shown[job]) for job in jobs if job in shown]
