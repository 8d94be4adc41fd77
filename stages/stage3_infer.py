"""Stage 3: predictions on the test sets: answers, their probabilities, a judge's scores.

    python -m stages.stage3_infer configs/weighted_loss.yaml --index 0

Writes results/<study>/<point>/predictions.jsonl, and of each further task predictions_<task>.jsonl.
Before that, where train.checkpoint_candidates kept several checkpoints, the one that answers most
validation rows becomes model/.
One engine serves all tasks and all points of a range (--index 0-18); its memory is freed before a
judge is loaded. On USR2 or TERM it exits 75 after the current rows; run again, it resumes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.study import Point, Study
from lib.data.prepared import train_identity, verify_models
from lib.data.testsets import manifest_of, predict_identity, rows_of
from lib.inference.base import EngineDied
from lib.inference.checkpoint_selection import choose, is_due
from lib.inference.predict import files_of, predict, predictor, read_answers
from lib.inference.serving import Served
from lib.judging.loop import check_judge, judge_answers
from lib.models.checkpoints import check_directory, verify_model
from lib.runs.attempts import attempt
from lib.runs.devices import CHECK_BY_NVML, devices_line, in_job, listed_devices, only_devices
from lib.runs.directory import archive, is_archived, is_done, locked
from stages.command import (
    DONE,
    STOPPED,
    load,
    parser,
    run,
    say,
    submission,
    who,
)
from stages.points import chosen_points


def main(argv: Sequence[str] | None = None) -> int:
    """Predict for the points of --index; returns the exit code."""
    args = parser("stages.stage3_infer", __doc__, index=True).parse_intermixed_args(argv)
    study = load(args)
    for task in study.tasks:
        manifest_of(study, task)
    trained, untrained = [], []
    for point in chosen_points(study, args):
        mark = is_done(point.directory, "train", train_identity(study, point))
        if mark is None:
            untrained.append(point.name)
        elif mark["status"] == "diverged":
            say(f"{point.name}: diverged in training, nothing to predict")
        else:
            trained.append(point)
    for task in study.tasks:
        # Before hours of generation, not after.
        if tasks.get(task).judging:
            check_judge(study, task, trained, os.environ, args.force)
    from lib.training.stopping import stop_on_signal

    with one_device(study) if trained else nullcontext(), stop_on_signal() as request:
        try:
            finished = infer(study, trained, args.force, lambda: bool(request))
        except EngineDied:  # it would get SLURM's TERM before the current rows are finished
            if not request:
                raise
            finished = False
        if not finished:
            say(f"stopped by {request.signal}, finished rows are kept")
            return STOPPED
    if untrained:
        raise BadInput(f"{study.directory}: not trained yet: {listed(untrained)}")
    return DONE


@contextmanager
def one_device(study: Study) -> Iterator[None]:
    """A block that sees at most one GPU; reports idle GPUs, or a job without any."""
    os.environ[CHECK_BY_NVML] = "1"  # the engine's process starts later
    named = listed_devices(os.environ)
    visible = 1 if named is None else len(named)
    with only_devices(os.environ, 1, visible):
        usable = 1
        if in_job(os.environ):
            import torch

            usable = torch.cuda.device_count()
        asked = study.config.slurm.infer.gpus
        if line := devices_line(os.environ, "infer", asked, 1, visible, usable):
            say(line)
        yield


def infer(study: Study, points: Sequence[Point], force: bool, stop: Callable[[], bool]) -> bool:
    """Predict every task for each point, then judge the answers; False if stopped."""
    served = Served(study)
    for point in filter(is_due, points):
        verify_models(study, [point])
        with locked(point.directory, who()):
            if not is_due(point):  # another task has done it meanwhile
                continue
            with attempt(point.directory, "infer", os.environ, stop=stop) as tried:
                step = choose(study, point, served, stop)
                tried["how"] = "stopped" if step is None else "done"
        if step is None:
            return False
        say(f"{point.name}: weights of step {step} chosen, see checkpoint_scores.csv")
    for task in study.tasks:
        if not predict_task(study, task, points, force, served, stop):
            return False
    served.close()
    for task in study.tasks:
        if tasks.get(task).judging:
            with ExitStack() as held:  # two processes at one point would both pay
                for point in points:
                    held.enter_context(locked(point.directory, who()))
                if not judge_answers(study, task, points, os.environ, say, stop):
                    return False
    return True


def predict_task(
    study: Study,
    task: str,
    points: Sequence[Point],
    force: bool,
    served: Served,
    stop: Callable[[], bool],
) -> bool:
    """Predict one task for each point with one model in memory; False if `stop()` ended it."""
    ready = [p for p in points if force or not is_predicted(study, task, p)]
    for point in ready:
        check_directory(point.directory / "model", f"{point.name}: model")
        verify_model(point.directory)
    verify_models(study, ready)
    model = None  # without rows none is needed
    if ready and rows_of(study, task):
        say(f"{label(study, task)}loading the model of {listed((p.name for p in ready), 4)}")
        model = predictor(study, task, served)
    mark = study.named("infer", task)
    for point in ready:
        with locked(point.directory, who()):
            again = force and not is_archived(point.directory, mark, submission())
            if not again and is_predicted(study, task, point):  # meanwhile, or before a restart
                continue
            begun, started = time.monotonic(), served.start_seconds
            serving = model.serving(point) if model else nullcontext()
            known = {"batch_size": point.config.infer.batch_size}
            with attempt(point.directory, mark, os.environ, stop=stop, **known) as tried, serving:
                if again:  # only once there is a model to serve
                    marks = (mark, f"judge_{task}", f"judging_{task}", "evaluate")
                    old = [*files_of(study, task, point), *(f"done/{name}.json" for name in marks)]
                    archive(point.directory, old, mark, submission())
                start = served.start_seconds - started
                loading = {"start": start, "load": time.monotonic() - begun - start}
                rows = predict(study, task, point, model, stop, loading)
                tried["how"] = "stopped" if rows is None else "done"
        if rows is None:
            return False
        say(f"{point.name}: {label(study, task)}{rows} rows predicted")
    return True


def is_predicted(study: Study, task: str, point: Point) -> bool:
    """Whether a task's predictions exist, with a line if so. Raises BadInput if they changed."""
    mark = study.named("infer", task)
    if not is_done(point.directory, mark, predict_identity(study, point, task)):
        return False
    read_answers(study, task, point)
    say(f"{point.name}: {label(study, task)}predicted already")
    return True


def label(study: Study, task: str) -> str:
    """Prefix of lines about a task; the first task has no name."""
    return "" if task == study.config.tasks[0] else f"{task}: "


if __name__ == "__main__":
    raise SystemExit(run(main))
