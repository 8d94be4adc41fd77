"""Submit what a study still needs as one chain of jobs, or an array stage of it.

    python -m stages.submit all configs/weighted_loss.yaml [key=value …] [--dry-run] [--here]
    python -m stages.submit train configs/weighted_loss.yaml

`all` (make submit): data here, then arrays of references, training and inference, and a job that
evaluates and draws. Only points that are neither done nor queued are submitted, with their indices.
What runs is what was submitted: a copy of the study file, and a snapshot of the code. Without
SLURM, stages run here, point by point.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lib.config.errors import BadInput, listed
from lib.config.grid import format_indices
from lib.config.study import Study
from lib.runs.children import call
from lib.runs.directory import locked
from lib.runs.files import now
from lib.slurm import commands as slurm
from lib.slurm.arrays import (
    ARRAYS,
    Queued,
    config_hash,
    overrides_of,
    queued_arrays,
    record,
    recorded_jobs,
)
from lib.slurm.submission import LOGS, Frozen, freeze, make_log_directories, sbatch_command
from stages.command import DONE, load, parser, run, say, who
from stages.jobs import (
    OF_POINTS,
    STAGES,
    Job,
    Plan,
    asks_a_judge,
    is_built,
    missing_references,
    points_of,
)

__all__ = ["asks_a_judge", "local_command", "submit", "submit_points", "through_slurm"]
ALL = "all"
MODULES = {
    "data": "stages.stage1_generate_datasets",
    "reference": "stages.reference",
    "train": "stages.stage2_train",
    "infer": "stages.stage3_infer",
    "evaluate": "stages.stage4_evaluate",
    "plots": "stages.stage5_visualize",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Submit or run stages; returns the exit code."""
    arguments = parser("stages.submit", __doc__, stage=[ALL, *OF_POINTS])
    arguments.add_argument("--dry-run", action="store_true", help="only print the commands")
    arguments.add_argument("--here", action="store_true", help="on this machine, without SLURM")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if args.dry_run:
        commands = dry_run(study, args.stage, args.force)
        for command in commands:
            say(shlex.join(command))
        if not commands:
            print(f"{args.stage} of {study.name}: nothing to submit", file=sys.stderr)
        return DONE
    if not through_slurm(args.here):
        return run_here(study, args.stage, args.force)
    if args.stage == ALL and (code := call(local_command(study, "data"))):
        return code
    submit(study, args.stage, args.force)
    return DONE


def dry_run(study: Study, stage: str, force: bool) -> list[list[str]]:
    """The commands that `submit` would give now, with names in place of ids of jobs."""
    commands = [local_command(study, "data")] if stage == ALL and not is_built(study) else []
    try:
        available = slurm.is_available()
        queued = ask_queue(study) if available else {}
        largest = slurm.largest_array() if available else slurm.DEFAULT_MAX_ARRAY_SIZE
    except slurm.NoAnswer as error:
        print(f"as if nothing were queued: {error}", file=sys.stderr)
        queued, largest = {}, slurm.DEFAULT_MAX_ARRAY_SIZE
    plan = plan_of(study, stage, queued, largest, force)
    for note in plan.notes:
        print(note, file=sys.stderr)
    return [*commands, *(command_of(study, job, force) for job in plan.jobs)]


def through_slurm(here: bool) -> bool:
    """Whether to submit. Raises BadInput where no controller answers, unless `here`.

    Else jobs of a cluster would start on its login node.
    """
    try:
        return not here and slurm.is_available()
    except slurm.NoAnswer as error:
        raise BadInput(f"{error}; nothing was started: try again later, or give --here "
                       f"(make: ARGS=--here) to run on this machine") from None  # fmt: skip


def run_here(study: Study, stage: str, force: bool) -> int:
    """Run a stage, or all of them, on this machine; returns the exit code."""
    points = None
    if stage == "reference" and not (points := missing_references(study)):
        say(f"reference of {study.name}: nothing to do")
        return DONE
    say("running here, point by point")
    for name in ("data", "train", "infer", "evaluate", "plots") if stage == ALL else (stage,):
        if code := call(local_command(study, name, force, points)):
            return code
    return DONE


def local_command(
    study: Study, stage: str, force: bool = False, points: Sequence[int] | None = None
) -> list[str]:
    """The command that runs a stage, over these points or the whole grid, in one process."""
    command = [sys.executable, "-m", MODULES[stage], study.path, *study.words]
    if stage in OF_POINTS:
        command += ["--index", format_indices(range(len(study.grid)) if points is None else points)]
    return [*command, *(["--force"] if force and stage in ("train", "infer") else [])]


def submit(study: Study, stage: str, force: bool = False) -> list[str]:
    """Submit the points of a stage, or of all, that are neither done nor queued.

    Returns the ids of the stage's jobs that are queued now. Raises BadInput where SLURM refuses or
    does not answer; jobs submitted until then are recorded, and the next call submits the rest.
    """
    return _submit(study, stage, force, None, ())


def submit_points(
    study: Study, stage: str, indices: Sequence[int], options: Sequence[str] = ()
) -> list[str]:
    """Submit exactly these points of a stage, one a task; returns the ids of the new jobs.

    Points that are done or queued are left out. options: further ones of sbatch, such as
    --exclude=node7. Raises BadInput as `submit` does.
    """
    return _submit(study, stage, False, indices, options)


def _submit(
    study: Study,
    stage: str,
    force: bool,
    indices: Sequence[int] | None,
    options: Sequence[str],
) -> list[str]:
    with locked(study.directory / ARRAYS, who()):  # one at a time, since each checks what is queued
        queued = ask_queue(study)
        wanted = STAGES if stage == ALL else (stage,)
        mine = [array for name in wanted for array in queued[name]]
        check_same(study, wanted, [*queued["train"], *queued["reference"], *mine])
        for array in mine:
            say(f"{array.array.stage} of {study.name} is queued already: "
                f"{array.describe(len(study.grid))}")  # fmt: skip
        plan = plan_of(study, stage, queued, slurm.largest_array(), force, indices)
        for note in plan.notes:
            say(note)
        if not plan.jobs:
            say(f"{stage} of {study.name}: nothing to submit")
        new = execute(study, plan, force, options) if plan.jobs else {}
        ids = [new[job.array.job] for job in plan.jobs if job.array.stage in wanted]
        return ids if indices is not None else [*(array.array.job for array in mine), *ids]


def ask_queue(study: Study) -> dict[str, list[Queued]]:
    """Stage → its arrays that are queued or run, from one call of squeue."""
    recorded = recorded_jobs(study)
    shown = slurm.queued(job for ids in recorded.values() for job in ids)
    return {name: queued_arrays(study, shown, name) for name in STAGES}


def plan_of(
    study: Study,
    stage: str,
    queued: Mapping[str, Sequence[Queued]],
    largest: int,
    force: bool = False,
    indices: Sequence[int] | None = None,
) -> Plan:
    """What to submit for a stage, or for all of them."""
    plan = Plan(study, queued, largest, force, indices)
    add = {
        "reference": plan.add_references,
        "train": plan.add_training,
        "infer": plan.add_inference,
        "evaluate": plan.add_evaluation,
    }
    for name in ("train", "infer", "evaluate") if stage == ALL else (stage,):
        add[name]()
    return plan


def check_same(study: Study, stages: Sequence[str], queued: Sequence[Queued]) -> None:
    """Raise BadInput where queued tasks have another grid, other overrides or another config.

    They run what was submitted; but points would be told apart by index, and results be mixed.
    """
    for job, array in ((q.array.job, q.array) for q in queued):
        remedy = f"scancel {job}, or wait for its end"
        if array.grid != study.grid_hash:
            raise BadInput(
                f"{study.path}: the grid has changed while job {job} ({array.stage}) is queued "
                f"(hash {array.grid}, now {study.grid_hash}): {remedy}"
            )
        if array.stage in stages and array.overrides != overrides_of(study):
            raise BadInput(
                f"{study.directory}: job {job} ({array.stage}) is queued with overrides "
                f"{array.overrides}, found {overrides_of(study)}: scancel {job}, wait for its end, "
                f"or give the study another name=…"
            )
        if array.stage in stages and array.config not in (None, config_hash(study)):
            raise BadInput(
                f"{study.path}: changed while job {job} ({array.stage}) is queued, which runs "
                f"{array.submission}: {remedy}, or give the study another name=…"
            )


def command_of(
    study: Study,
    job: Job,
    force: bool,
    options: Sequence[str] = (),
    ids: Mapping[str, str] | None = None,
    frozen: Frozen | None = None,
) -> list[str]:
    """The command that submits a job; ids: of the jobs before it, by name."""
    array, condition = job.array, job.after
    if condition:
        condition = re.sub(r"\w+", lambda name: (ids or {}).get(name[0], name[0]), condition)
    # A successor is for what is undone: it would archive and redo what the array before has done.
    again = force and array.stage in ("train", "infer") and not job.is_successor
    return sbatch_command(
        study, array.stage, job.tasks, array.offset, condition, again,
        points=array.points, options=options, frozen=frozen,
    )  # fmt: skip


def execute(study: Study, plan: Plan, force: bool, options: Sequence[str]) -> dict[str, str]:
    """Submit the jobs of a plan, recording each; returns their ids by name."""
    for stage in dict.fromkeys(job.array.stage for job in plan.jobs):
        make_log_directories(study, stage)
    frozen, size = freeze(study), len(study.grid)
    submission = {
        "time": now(),
        "study": study.path,
        "overrides": list(study.words),
        "grid": study.grid_hash,
        "config": config_hash(study),
        **frozen.version(),
        "jobs": [],
    }
    ids: dict[str, str] = {}
    for number, job in enumerate(plan.jobs):
        command = command_of(study, job, force, options, ids, frozen)
        stage = job.array.stage
        try:
            array = replace(
                job.array,
                job=slurm.sbatch(command),
                config=submission["config"],
                code=submission["code"],
                submission=str(frozen.directory),
            )
        except BadInput as error:
            so_far = f"submitted before it: job {listed(ids.values())}; " if ids else ""
            rest = points_of(plan.jobs[number:], size)
            raise BadInput(f"{error}; {so_far}{rest} are not submitted: run the same command "
                           f"again to submit these") from None  # fmt: skip
        before = [job.array.job for job in plan.jobs[:number] if job.array.stage == stage]
        still = [queued.array.job for queued in plan.queued.get(stage, ())]
        record(study, array, [*still, *(ids[name] for name in before)])
        ids[job.array.job] = array.job
        submission["jobs"].append({"job": array.job, "stage": stage, "command": command})
        frozen.record(submission)
        what = f", points {format_indices(array.indices(job.tasks, size))}" if job.tasks else ""
        behind = (
            ", if the one before leaves any undone" if "afternotok" in (job.after or "") else ""
        )
        log = f"{LOGS}/{stage}-{array.job}{'_*' if job.tasks else ''}.out"
        say(f"submitted {stage} of {study.name} as job {array.job}{what}{behind}; {log}")
    return ids


if __name__ == "__main__":
    raise SystemExit(run(main))
