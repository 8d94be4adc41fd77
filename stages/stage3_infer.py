"""Stage 3: answers and their probabilities on the test set.

    python -m stages.stage3_infer configs/weighted_loss.yaml --index 0

Writes results/<study>/<point>/predictions.jsonl. One engine serves all points of a range
(--index 0-18). On USR2 or TERM it exits 75 after the rows at hand; run again, it goes on there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from lib import tasks
from lib.checkpoints import check_directory
from lib.errors import BadInput, listed
from lib.grid import digest
from lib.prepared import encoded_test, predict_identity, test_rows, train_identity
from lib.progress import progress
from lib.runs import is_done, locked, mark_done, read_jsonl, set_aside, write_jsonl
from lib.study import Point, Study
from stages.command import DONE, STOPPED, chosen_points, load, parser, run, say, who

OURS = ("predictions.jsonl", "metrics.json", "done/infer.json", "done/evaluate.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Predict for the points that --index names; returns the exit code."""
    args = parser("stages.stage3_infer", __doc__, index=True).parse_intermixed_args(argv)
    study = load(args)
    ready, untrained = [], []
    for point in chosen_points(study, args):
        trained = is_done(point.directory, "train", train_identity(study, point))
        identity = predict_identity(study, point)
        if trained is None:
            untrained.append(point.name)
        elif trained["status"] == "diverged":
            say(f"{point.name}: diverged in training, nothing to predict")
        elif not args.force and is_done(point.directory, "infer", identity):
            say(f"{point.name}: predicted already")
        else:
            ready.append(point)
    for point in ready:
        check_directory(point.directory / "model", f"{point.name}: model")
    if ready and not predict_all(study, ready, args.force):
        return STOPPED
    if untrained:
        raise BadInput(f"{study.directory}: not trained yet: {listed(untrained)}")
    return DONE


def predict_all(study: Study, points: Sequence[Point], force: bool) -> bool:
    """Predict for each point with one engine; False where a signal asked to stop."""
    from lib.generation import start_engine, whole_weights
    from lib.training.stopping import stop_on_signal

    test = encoded_test(study)
    engine = None
    with stop_on_signal() as request:
        for point in points:
            generate, model = point.config.generate, point.config.model
            with (
                locked(point.directory, who()),
                whole_weights(model, point.directory / "model", generate.precision) as weights,
            ):
                if engine is None:
                    engine = start_engine(model, generate, weights)
                engine.load(weights)
                if force:
                    set_aside(point.directory, OURS)
                if not predict(study, point, engine, test, lambda: bool(request)):
                    say(f"{point.name}: stopped by {request.signal}, finished rows are kept")
                    return False
            say(f"{point.name}: {len(test)} rows predicted")
    return True


def predict(study: Study, point: Point, engine: Any, test: Any, stop: Callable[[], bool]) -> bool:
    """Predict a point chunk by chunk; False where `stop()` ended it early."""
    task = tasks.part(study.config.tasks[0], "data")
    rows, settings = test_rows(study), point.config.generate
    identity = predict_identity(study, point)
    part = point.directory / f".predictions-{digest(identity)}.part.jsonl"
    made = read_jsonl(part, torn_tail=True) if part.exists() else []
    write_jsonl(part, made)  # a torn last line goes
    with progress(len(test), f"infer {point.name}", done=len(made)) as shown:
        while len(made) < len(test):
            if stop():
                return False
            chunk = test[len(made) : len(made) + settings.chunk]
            outputs = engine.generate(chunk["input_ids"], settings)
            scores: list = [None] * len(outputs)
            if chunk["answers"][0]:
                scores = engine.score(chunk["input_ids"], chunk["answers"])
            fresh = [
                {"id": i, "prompt_hash": h, "outputs": o, "scores": s, **task.grade(row, o, s)}
                for row, i, h, o, s in zip(
                    rows[len(made) :], chunk["id"], chunk["prompt_hash"], outputs, scores,
                    strict=False,
                )
            ]  # fmt: skip
            with part.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in fresh)
                file.flush()
                os.fsync(file.fileno())
            made += fresh
            shown.update(len(made))
    write_jsonl(point.directory / "predictions.jsonl", made)
    mark_done(point.directory, "infer", identity, rows=len(made))
    with suppress(FileNotFoundError):
        part.unlink()
    return True


if __name__ == "__main__":
    raise SystemExit(run(main))
