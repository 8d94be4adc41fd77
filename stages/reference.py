"""Score the reference of a study's preference pairs, which training needs first.

    python -m stages.reference configs/td_dpo.yaml --index 0 [key=value …]

Computes what the training of point 0 would, on its ranks and devices, and stores it in
results/<study>/reference/ for all points with the same reference. `make train` submits this first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.config.errors import BadInput
from lib.config.study import Point, Study
from lib.data.prepared import verify_models
from lib.models.checkpoints import check_directory
from lib.models.precision import on_this_machine
from lib.training.launch import launch, needs_ranks
from lib.training.reference_key import has_reference, needs_reference
from lib.training.stopping import StopRequest, stop_on_signal
from stages.command import DONE, STOPPED, load, parser, run, say
from stages.points import chosen_points, each

MODULE = "stages.reference"


def main(argv: Sequence[str] | None = None) -> int:
    """Store the references of the points of --index; returns the exit code."""
    args = parser(MODULE, __doc__, index=True, force=False).parse_intermixed_args(argv)
    study = load(args)
    points = chosen_points(study, args)
    with stop_on_signal() as request:
        return each(points, lambda point: store(study, point, request), request)


def store(study: Study, point: Point, request: StopRequest) -> int:
    """Score and store the reference of a point unless it exists; returns the exit code."""
    train = point.config.train
    if not needs_reference(point):
        raise BadInput(
            f"{point.name}: found train.objective={train.objective}, "
            f"train.epochs={train.epochs:g}, expected training on preference pairs, which "
            f"have a reference"
        )
    if has_reference(study, point):
        say(f"{point.name}: its reference is stored already")
        return DONE
    check_directory(point.config.model.name)
    verify_models(study, [point])
    rank, world = os.environ.get("RANK"), int(os.environ.get("WORLD_SIZE", "1"))
    if needs_ranks(train) and rank is None:
        words = ["-m", MODULE, study.path, *study.words, "--index", str(point.index)]
        return launch([sys.executable, *words], train.processes, os.environ, STOPPED)
    from lib.training.ranks import devices_of, leave_group

    with devices_of(train, world, os.environ, study.config.slurm.train.gpus) as line:
        if line and rank in (None, "0"):
            say(f"{point.name}: {line}")
        code = _store(study, point, rank in (None, "0"), request)
    leave_group()
    return code


def _store(study: Study, point: Point, first: bool, request: StopRequest) -> int:
    from lib.training.inputs import train_data
    from lib.training.loop import train_point

    point = on_this_machine(point)
    data = train_data(study, point)
    with TemporaryDirectory() as scratch:
        train_point(point, data, Path(scratch), lambda: bool(request), say, reference_only=True)
    if has_reference(study, point):
        if first:
            say(f"{point.name}: reference stored")
        return DONE
    if first:
        say(f"{point.name}: stopped by {request.signal or 'another rank'} before its reference")
    return STOPPED


if __name__ == "__main__":
    raise SystemExit(run(main))
