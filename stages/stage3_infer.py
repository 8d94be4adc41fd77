"""Stage 3: predictions on the test sets: answers, their probabilities, a judge's scores.

    python -m stages.stage3_infer configs/weighted_loss.yaml --index 0

Writes results/<study>/<point>/predictions.jsonl, and of each further task predictions_<task>.jsonl.
Before that, where train.sweep kept several weights, the best on the validation rows become model/.
One engine serves all tasks and all points of a range (--index 0-18); its memory is free before a
judge is loaded. On USR2 or TERM it exits 75 after the rows at hand; run again, it goes on there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext

from lib import tasks
from lib.checkpoints import check_directory
from lib.errors import BadInput, listed
from lib.prediction import files_of, predict, predictor
from lib.prepared import train_identity
from lib.runs import is_done, locked, set_aside
from lib.serving import Served
from lib.study import Point, Study
from lib.sweep import choose, is_due
from lib.testsets import manifest_of, predict_identity, rows_of
from stages.command import DONE, STOPPED, chosen_points, load, parser, run, say, who


def main(argv: Sequence[str] | None = None) -> int:
    """Predict for the points that --index names; returns the exit code."""
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
        part = tasks.part(task, "score") if tasks.has_part(task, "score") else None
        if hasattr(part, "check"):  # told now, and not after hours of answers
            part.check(study, task, trained, os.environ)
    from lib.training.stopping import stop_on_signal

    with stop_on_signal() as request:
        if not infer(study, trained, args.force, lambda: bool(request)):
            say(f"stopped by {request.signal}, what is finished is kept")
            return STOPPED
    if untrained:
        raise BadInput(f"{study.directory}: not trained yet: {listed(untrained)}")
    return DONE


def infer(study: Study, points: Sequence[Point], force: bool, stop: Callable[[], bool]) -> bool:
    """Predict every task for each point, then score what there is to score; False where stopped."""
    served = Served(study)
    for point in filter(is_due, points):
        with locked(point.directory, who()):
            step = choose(study, point, served, stop)
        if step is None:
            return False
        say(f"{point.name}: weights of step {step} chosen, see checkpoint_scores.csv")
    for task in study.tasks:
        if not predict_task(study, task, points, force, served, stop):
            return False
    served.close()
    for task in study.tasks:
        if tasks.has_part(task, "score"):
            score = tasks.part(task, "score").score
            with ExitStack() as held:  # two tasks at one point would both pay
                for point in points:
                    held.enter_context(locked(point.directory, who()))
                if not score(study, task, points, os.environ, say, stop):
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
    """Predict one task for each point with one model in memory; False where `stop()` ended it."""
    kind = "" if task == study.config.tasks[0] else f"{task}: "
    ready = []
    for point in points:
        mark = study.named("infer", task)
        if not force and is_done(point.directory, mark, predict_identity(study, point, task)):
            say(f"{point.name}: {kind}predicted already")
        else:
            check_directory(point.directory / "model", f"{point.name}: model")
            ready.append(point)
    # Without rows there is nothing to load a model for.
    model = predictor(study, task, served) if ready and rows_of(study, task) else None
    for point in ready:
        serving = model.serving(point) if model else nullcontext()
        with locked(point.directory, who()), serving:
            if force:
                marks = (study.named("infer", task), f"judge_{task}", "evaluate")
                old = [*files_of(study, task, point), *(f"done/{mark}.json" for mark in marks)]
                set_aside(point.directory, old)
            rows = predict(study, task, point, model, stop)
        if rows is None:
            return False
        say(f"{point.name}: {kind}{rows} rows predicted")
    return True


if __name__ == "__main__":
    raise SystemExit(run(main))
