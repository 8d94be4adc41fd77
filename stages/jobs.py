"""Which jobs a study still needs, in what order, and what each waits for. Asks and submits nothing.

A job that has no id yet goes by a name such as TRAIN_JOB, in the dependencies of others too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.grid import digest, format_indices
from lib.config.study import Point, Study
from lib.data.prepared import MANIFEST, train_identity
from lib.data.testsets import directory, predict_identity
from lib.runs.directory import is_done
from lib.slurm.arrays import Array, Queued, group_points, overrides_of
from lib.slurm.submission import resources

STAGES = ("reference", "train", "infer", "evaluate")  # those that are jobs
OF_POINTS = STAGES[:3]


@dataclass(frozen=True)
class Job:
    """A job to submit: an array of tasks, or the evaluation, which has none."""

    array: Array  # with a name in place of its id
    tasks: tuple[int, ...]
    after: str | None = None  # as in --dependency

    def waiting(self) -> Queued:
        """The job as if it were queued."""
        return Queued(self.array, dict.fromkeys(self.tasks or (None,), "PLANNED"))


@dataclass
class Plan:
    """Jobs to submit, in this order, beside those that are queued."""

    study: Study
    queued: Mapping[str, Sequence[Queued]]  # stage → its arrays
    largest: int  # tasks of an array
    force: bool = False
    indices: Sequence[int] | None = None  # exactly these points, one a task; None: what is missing
    jobs: list[Job] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def waiting(self, stage: str) -> list[Queued]:
        """Arrays of a stage, queued or planned."""
        planned = [job.waiting() for job in self.jobs if job.array.stage == stage]
        return [*self.queued.get(stage, ()), *planned]

    def points(self, stage: str) -> int:
        """Points of a task."""
        return 1 if self.indices is not None else resources(self.study, stage).points

    def add_references(self) -> None:
        """Plan the first point of each reference that is neither stored nor queued."""
        mine = self.waiting("reference")
        missing = missing_references(self.study)
        self._add("reference", [i for i in missing if not is_among(mine, i)])

    def add_training(self) -> None:
        """Plan training, and before an array of it the references that it needs.

        A single task computes its own.
        """
        groups = self._groups("train")
        if len(groups) > 1:
            self.add_references()
        references = [queued.array.job for queued in self.waiting("reference")]
        self._add("train", groups, lambda _: after("afterok", references))

    def add_inference(self) -> None:
        """Plan inference behind the training that is queued or planned.

        Task by task (aftercorr) where the task of the same index of one array trains the same
        points. Else behind the end of every array that trains one of an array's points: a task of
        several points waits for several tasks, which aftercorr cannot say, and a job for each
        would be thousands; with successors, what one array leaves undone the next may do. However
        they end (afterany, not afterok): a task predicts those of its points that are trained.
        """
        groups, training = self._groups("infer"), self.waiting("train")
        ahead = {group: self._ahead(group, training) for group in groups}
        paired = {g: a[0].array.job for g, a in ahead.items() if self._is_paired(g, a)}
        behind: dict[int, set[str]] = {}  # number of a chunk → arrays that it waits for
        for group in groups:
            if group not in paired:
                jobs = (queued.array.job for queued in ahead[group])
                behind.setdefault(group // self.largest, set()).update(jobs)

        def condition(group: int) -> str | None:
            if group in paired:
                return f"aftercorr:{paired[group]}"
            found = behind[group // self.largest] if ahead[group] else ()
            return after("afterany", [q.array.job for q in training if q.array.job in found])

        self._add("infer", groups, condition)

    def add_evaluation(self) -> None:
        """Plan stages 4 and 5 behind all that is queued or planned, unless they have nothing to do.

        They run however the others end, since what is missing is a result as well.
        """
        ahead = [*self.waiting("train"), *self.waiting("infer")]
        mine = self.waiting("evaluate")
        new = any(job.array.stage in ("train", "infer") for job in self.jobs)
        if not new and (mine or (not ahead and is_evaluated(self.study))):
            return
        ids = [queued.array.job for queued in (*ahead, *mine)]
        self._append("evaluate", (), 0, after("afterany", ids))

    def _groups(self, stage: str) -> list[int]:
        """Groups of points, one a task, with something to do and no queued point."""
        size, points = len(self.study.grid), self.points(stage)
        mine, training = self.waiting(stage), self.waiting("train")
        groups, shared, untrained = [], [], []
        for group in range(-(-size // points)) if self.indices is None else self.indices:
            members = group_points([group], points, size)
            free = [i for i in members if not is_among(mine, i)]
            missing = [i for i in free if self.force or not is_finished(self.study, stage, i)]
            ready = [
                i for i in missing
                if stage == "train" or is_among(training, i) or is_finished(self.study, "train", i)
            ]  # fmt: skip
            untrained += [i for i in missing if i not in ready]
            if ready and len(free) < len(members):
                shared += ready
            elif ready:
                groups.append(group)
        if shared:
            self.notes.append(f"points {format_indices(shared)} share a task with queued points: "
                              f"run this again once those have ended")  # fmt: skip
        if untrained:
            names = listed((self.study.point(i).name for i in untrained), 4)
            text = f"{self.study.directory}: neither trained nor queued for training: {names}"
            if not groups and not mine:
                raise BadInput(f"{text}; run make train first")
            self.notes.append(f"not submitted: {text}")
        return groups

    def _ahead(self, group: int, training: Sequence[Queued]) -> list[Queued]:
        """The arrays that train a point of this group of inference."""
        members = group_points([group], self.points("infer"), len(self.study.grid))
        return [queued for queued in training if any(queued.state(i) for i in members)]

    def _is_paired(self, group: int, ahead: Sequence[Queued]) -> bool:
        """Whether one array trains the points of a group, in a task of the same index."""
        chunk = self.points("infer"), group // self.largest * self.largest
        return len(ahead) == 1 and (ahead[0].array.points, ahead[0].array.offset) == chunk

    def _add(
        self,
        stage: str,
        groups: Sequence[int],
        condition: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        """Plan arrays of at most `largest` tasks for these groups, each with its successors.

        condition: the dependency of a group.
        """
        tasks_of: dict[tuple[int, str | None], list[int]] = {}
        for group in groups:
            offset = group // self.largest * self.largest
            tasks_of.setdefault((offset, condition(group)), []).append(group - offset)
        for (offset, before), indices in tasks_of.items():
            names = [self._append(stage, indices, offset, before)]
            for _ in range(resources(self.study, stage).successors):
                # After all before it, not the last alone: SLURM cancels a successor that is not
                # needed, and a cancelled job is one that did not end well.
                names.append(self._append(stage, indices, offset, after("afternotok", names)))

    def _append(
        self, stage: str, indices: Sequence[int], offset: int, condition: str | None
    ) -> str:
        number = 1 + sum(job.array.stage == stage for job in self.jobs)
        name = f"{stage.upper()}_JOB" + (f"_{number}" if number > 1 else "")
        study = self.study
        array = Array(name, stage, format_indices(indices), offset, self.points(stage),
                      study.grid_hash, overrides_of(study))  # fmt: skip
        self.jobs.append(Job(array, tuple(indices), condition))
        return name


def points_of(jobs: Sequence[Job], size: int) -> str:
    """`points 2 of train, points 0-2 of infer, evaluate`: what these jobs run."""
    indices: dict[str, set[int]] = {}
    for job in jobs:
        found = group_points(
            (job.array.offset + task for task in job.tasks), job.array.points, size
        )
        indices.setdefault(job.array.stage, set()).update(found)
    return ", ".join(
        f"points {format_indices(sorted(found))} of {stage}" if found else stage
        for stage, found in indices.items()
    )


def is_among(arrays: Sequence[Queued], index: int) -> bool:
    """Whether a task of these arrays runs a point."""
    return any(array.state(index) for array in arrays)


def after(kind: str, jobs: Sequence[str]) -> str | None:
    """A dependency on jobs, None without any."""
    return ":".join([kind, *jobs]) if jobs else None


def is_built(study: Study) -> bool:
    """Whether stage 1 has written the data of every task."""
    return all((directory(study, task) / MANIFEST).exists() for task in study.config.tasks)


def missing_references(study: Study) -> list[int]:
    """The first point of each reference that is not stored, which before stage 1 are all."""
    from lib.training.reference_key import needs_reference, points_without_reference, reference_key

    if is_built(study):
        return [point.index for point in points_without_reference(study)]
    first: dict[str, Point] = {}
    for point in filter(needs_reference, study.points()):
        key = reference_key(point.config.model, point.config.train, {}, four_bits=True)
        first.setdefault(digest(key), point)
    return [point.index for point in first.values()]


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


def asks_a_judge(study: Study) -> bool:
    """Whether stage 3 judges answers, which may be missing for predicted points."""
    judged = any(tasks.get(task).judging for task in study.tasks)
    return judged and study.config.judge.model is not None


def is_evaluated(study: Study) -> bool:
    """Whether figures were drawn after the last point was predicted."""
    drawn = study.directory / "comparison" / "done" / "visualize.json"
    if not drawn.exists():
        return False
    last = drawn.stat().st_mtime
    marks = (
        point.directory / "done" / f"{study.named('infer', task)}.json"
        for point in study.points()
        for task in study.tasks
    )
    return all(mark.stat().st_mtime <= last for mark in marks if mark.exists())
