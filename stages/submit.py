"""Run an array stage over a whole grid: through SLURM if available, else here, point by point.

    python -m stages.submit train configs/weighted_loss.yaml [key=value …] [--dry-run] [--here]

`make train` and `make infer` call this. The study's `slurm` section has the resources of a task;
the array gets the grid's hash. Only points that are neither done nor queued are submitted, with
their indices; `infer` depends on queued training, point by point. An array that trains on
preference pairs depends on a job that scores their reference, which `make reference` submits alone.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.grid import format_indices
from lib.config.study import Study
from lib.data.prepared import train_identity
from lib.data.testsets import predict_identity
from lib.runs.children import call
from lib.runs.directory import is_done, locked
from lib.slurm import commands as slurm
from lib.slurm.arrays import (
    ARRAYS,
    Array,
    Queued,
    group_points,
    overrides_of,
    queued_arrays,
    record,
    recorded_jobs,
)
from lib.slurm.submission import LOGS, make_log_directories, resources, sbatch_command
from stages.command import DONE, load, parser, run, say, who

MODULES = {
    "reference": "stages.reference",
    "train": "stages.stage2_train",
    "infer": "stages.stage3_infer",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Submit or run a stage; returns the exit code."""
    arguments = parser("stages.submit", __doc__, stage=list(MODULES))
    arguments.add_argument("--dry-run", action="store_true", help="only print the commands")
    arguments.add_argument("--here", action="store_true", help="on this machine, without SLURM")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if args.dry_run:
        for command in dry_run(study, args.stage, args.force):
            say(shlex.join(command))
        return DONE
    if through_slurm(args.here):
        submit(study, args.stage, args.force)
        return DONE
    points = None
    if args.stage == "reference" and not (points := missing_references(study)):
        say(f"reference of {study.name}: nothing to do")
        return DONE
    say("running here, point by point")
    return call(local_command(study, args.stage, args.force, points))


def dry_run(study: Study, stage: str, force: bool) -> Iterator[list[str]]:
    """The commands that submit a whole stage, assuming that only references are done or queued."""
    groups, condition = range(-(-len(study.grid) // resources(study, stage).points)), None
    if stage == "reference" or (stage == "train" and len(groups) > 1):
        references = missing_references(study)
        for offset, _, indices in arrays(references, slurm.DEFAULT_MAX_ARRAY_SIZE):
            yield sbatch_command(study, "reference", indices, offset)
        if stage == "reference":
            return
        condition = "afterok:REFERENCE_JOB" if references else None
    for offset, _, indices in arrays(groups, slurm.DEFAULT_MAX_ARRAY_SIZE):
        yield sbatch_command(study, stage, indices, offset, condition, force)


def missing_references(study: Study, queued: Sequence[Queued] = ()) -> list[int]:
    """The first point of each reference that is neither stored nor queued."""
    from lib.training.reference_key import points_without_reference

    indices = (point.index for point in points_without_reference(study))
    return [i for i in indices if not any(array.state(i) for array in queued)]


def through_slurm(here: bool) -> bool:
    """Whether to submit. Raises BadInput where no controller answers, unless `here`.

    Else jobs of a cluster would start on its login node.
    """
    try:
        return not here and slurm.is_available()
    except slurm.NoAnswer as error:
        raise BadInput(f"{error}; nothing was started: try again later, or give --here "
                       f"(make: ARGS=--here) to run on this machine") from None  # fmt: skip


def local_command(
    study: Study, stage: str, force: bool = False, points: Sequence[int] | None = None
) -> list[str]:
    """The command that runs a stage over these points, or the whole grid, in one process."""
    indices = format_indices(range(len(study.grid)) if points is None else points)
    return [sys.executable, "-m", MODULES[stage], study.path, *study.words, "--index", indices,
            *(["--force"] if force and stage != "reference" else [])]  # fmt: skip


def submit(study: Study, stage: str, force: bool = False) -> list[str]:
    """Submit the points of a stage that are neither done nor queued; returns all queued job ids.

    Raises BadInput where SLURM refuses or does not answer; jobs submitted until then are recorded,
    and the next call submits the rest.
    """
    with locked(study.directory / ARRAYS, who()):  # one at a time, since each checks what is queued
        recorded = recorded_jobs(study)
        shown = slurm.queued(job for ids in recorded.values() for job in ids)
        queued = {name: queued_arrays(study, shown, name) for name in MODULES}
        mine = queued[stage]
        check_same(study, stage, [*mine, *queued["train"], *queued["reference"]])
        for array in mine:
            say(f"{stage} of {study.name} is queued already: {array.describe(len(study.grid))}")
        if stage == "reference":
            groups = missing_references(study, mine)
        else:
            training = queued["train"] if stage == "infer" else []
            groups = groups_to_submit(study, stage, mine, training, force)
        if not groups:
            say(f"{stage} of {study.name}: nothing to submit")
            return [array.array.job for array in mine]
        conditions: dict[int, str | None] = {}
        if stage == "infer":
            largest = slurm.largest_array()
            for group in groups:
                conditions[group] = dependency(study, stage, group, largest, queued["train"])
        elif stage == "train":
            condition = reference_first(study, groups, queued["reference"])
            conditions = dict.fromkeys(groups, condition)
        return [
            *(array.array.job for array in mine),
            *submit_groups(study, stage, groups, mine, conditions, force),
        ]


def reference_first(study: Study, groups: Sequence[int], queued: Sequence[Queued]) -> str | None:
    """Submit missing references; returns the dependency of the array that needs them.

    A single task computes its own. queued: arrays that score references already.
    """
    jobs = [array.array.job for array in queued]
    if len(groups) > 1 and (missing := missing_references(study, queued)):
        jobs += submit_groups(study, "reference", missing, queued, {}, force=False)
    return ":".join(["afterok", *jobs]) if jobs else None


def check_same(study: Study, stage: str, queued: Sequence[Queued]) -> None:
    """Raise BadInput where queued tasks have another grid or other overrides."""
    for job, array in ((q.array.job, q.array) for q in queued):
        if array.grid != study.grid_hash:
            raise BadInput(
                f"{study.path}: the grid has changed while job {job} ({array.stage}) is queued "
                f"(hash {array.grid}, now {study.grid_hash}): scancel {job}, or wait for its end"
            )
        if array.stage == stage and array.overrides != overrides_of(study):
            raise BadInput(
                f"{study.directory}: job {job} ({stage}) is queued with overrides "
                f"{array.overrides}, found {overrides_of(study)}: scancel {job}, wait for its end, "
                f"or give the study another name=…"
            )


def groups_to_submit(
    study: Study, stage: str, mine: Sequence[Queued], training: Sequence[Queued], force: bool
) -> list[int]:
    """Groups of points, one per task, with something to do and no queued point."""
    size, points = len(study.grid), resources(study, stage).points
    groups, shared, untrained = [], [], []
    for group in range(-(-size // points)):
        members = group_points([group], points, size)
        queued = [i for i in members if any(array.state(i) for array in mine)]
        missing = [
            i for i in members if i not in queued and (force or not is_finished(study, stage, i))
        ]
        trainable = [i for i in missing if stage == "train" or is_trained(study, i, training)]
        untrained += [i for i in missing if i not in trainable]
        if trainable and queued:
            shared += trainable
        elif trainable:
            groups.append(group)
    if shared:
        say(f"points {format_indices(shared)} share a task with queued points: run this again once "
            f"those have ended")  # fmt: skip
    if untrained:
        names = listed((study.point(i).name for i in untrained), 4)
        text = f"{study.directory}: neither trained nor queued for training: {names}"
        if not groups and not mine:
            raise BadInput(f"{text}; run make train first")
        say(f"not submitted: {text}")
    return groups


def is_finished(study: Study, stage: str, index: int) -> bool:
    """Whether a task would have nothing to do. Raises BadInput for results of another config."""
    point = study.point(index)
    if not (point.directory / "done" / "train.json").exists():
        return False
    mark = is_done(point.directory, "train", train_identity(study, point))
    if mark is None or stage == "train" or mark["status"] == "diverged":
        return mark is not None
    return not asks_a_judge(study) and all(
        is_done(point.directory, study.named("infer", task), predict_identity(study, point, task))
        for task in study.tasks
    )


def is_trained(study: Study, index: int, training: Sequence[Queued]) -> bool:
    """Whether a point is trained, or a queued task will train it."""
    return any(array.state(index) for array in training) or is_finished(study, "train", index)


def asks_a_judge(study: Study) -> bool:
    """Whether stage 3 judges answers, which may be missing for predicted points."""
    judged = any(tasks.get(task).judging for task in study.tasks)
    return judged and study.config.judge.model is not None


def submit_groups(
    study: Study,
    stage: str,
    groups: Sequence[int],
    mine: Sequence[Queued],
    conditions: Mapping[int, str | None],
    force: bool,
) -> list[str]:
    """Submit groups as arrays, recording each; returns the ids of their jobs.

    conditions: group → its dependency.
    """
    make_log_directories(study, stage)
    size, points = len(study.grid), resources(study, stage).points
    largest = slurm.largest_array()
    submitted: list[str] = []
    rest = list(groups)
    for offset, condition, indices in arrays(groups, largest, conditions):
        command = sbatch_command(study, stage, indices, offset, condition, force)
        try:
            job = slurm.sbatch(command)
        except BadInput as error:
            so_far = f"submitted before it: job {listed(submitted)}; " if submitted else ""
            raise BadInput(
                f"{error}; {so_far}points {format_indices(group_points(rest, points, size))} of "
                f"{stage} are not submitted: run the same command again to submit these"
            ) from None
        array = Array(job, stage, format_indices(indices), offset, points, study.grid_hash,
                      overrides_of(study))  # fmt: skip
        record(study, array, [*(a.array.job for a in mine), *submitted])
        submitted.append(job)
        done = {offset + i for i in indices}
        rest = [group for group in rest if group not in done]
        of_job = format_indices(array.indices(indices, size))
        say(f"submitted {stage} of {study.name} as job {job}, points {of_job}; "
            f"{LOGS}/{stage}-{job}_*.out")  # fmt: skip
    return submitted


def dependency(
    study: Study, stage: str, group: int, largest: int, training: Sequence[Queued]
) -> str | None:
    """The dependency of a task on the queued training of its points.

    Task by task (aftercorr) if the task of the same index of one array trains the same points; else
    on the end of every such array.
    """
    points, offset = resources(study, stage).points, group // largest * largest
    members = group_points([group], points, len(study.grid))
    waits_for = [queued for queued in training if any(queued.state(i) for i in members)]
    if not waits_for:
        return None
    same = [q for q in waits_for if (q.array.points, q.array.offset) == (points, offset)]
    kind = "aftercorr" if len(waits_for) == len(same) == 1 else "afterany"
    return ":".join([kind, *(queued.array.job for queued in waits_for)])


def arrays(
    groups: Iterable[int], largest: int, after: Mapping[int, str | None] | None = None
) -> list[tuple[int, str | None, list[int]]]:
    """Arrays for these groups: (offset, dependency, task indices below `largest`)."""
    tasks_of: dict[tuple[int, str | None], list[int]] = {}
    for group in groups:
        offset = group // largest * largest
        tasks_of.setdefault((offset, (after or {}).get(group)), []).append(group - offset)
    return [(offset, condition, indices) for (offset, condition), indices in tasks_of.items()]


if __name__ == "__main__":
    raise SystemExit(run(main))
