"""Stage 2: train one point of the grid.

    python -m stages.stage2_train configs/weighted_loss.yaml --index 0 [key=value …]

Reads the data of stage 1; writes results/<study>/<point>/: config.json, train.jsonl, model/. On
USR2 or TERM it saves a checkpoint at the next step and exits 75; run again, it resumes from there.
With model.adapter or train.epochs=0 nothing is trained, and model/ is that adapter or the model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.steps import step_count
from lib.config.study import Point, Study
from lib.data.prepared import (
    split_size,
    train_identity,
    verify_models,
)
from lib.inference.base import free
from lib.inference.checkpoint_selection import check_selection
from lib.losses import OBJECTIVES
from lib.models.checkpoints import check_adapter, check_directory, verify_model
from lib.models.needs import training_needs
from lib.models.precision import on_this_machine
from lib.models.shared import SharedBase
from lib.runs.attempts import attempt, close_attempt, read_attempts
from lib.runs.directory import (
    LOG,
    RECORDS,
    Busy,
    archive,
    is_archived,
    is_done,
    locked,
    mark_done,
    refuse_change,
    status,
)
from lib.runs.disk import check_space
from lib.runs.files import now, read_json, write_json, write_sealed
from lib.runs.provenance import provenance
from lib.tracking.live import live
from lib.training.launch import launch, needs_ranks
from lib.training.stopping import StopRequest, stop_on_signal
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
from stages.points import at_once, chosen_points, each

LOCKED = "LOSSGRID_LOCKED"  # set for ranks whose parent process has locked the point
FILES = (LOG, *(f"{name}.json" for name in RECORDS), "config.json", "model")  # of a trained point


def main(argv: Sequence[str] | None = None) -> int:
    """Train the points of --index in turn, or several at once; returns the exit code."""
    arguments = parser("stages.stage2_train", __doc__, index=True, trial=True)
    arguments.add_argument(
        "--parallel", type=int, metavar="M", help="points at once (default: slurm.train.parallel)"
    )
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    points = chosen_points(study, args)
    processes = study.config.slurm.train.parallel if args.parallel is None else args.parallel
    if processes < 1:
        raise BadInput(f"--parallel: found {processes}, expected 1 or more")
    if processes > 1 and len(points) > 1:
        words = ["--force"] if args.force else []
        return at_once("stages.stage2_train", study, points, processes, words)
    shared = SharedBase(keeps=len(points) > 1)
    with stop_on_signal() as request:
        return each(points, lambda p: train(study, p, args.force, request, shared), request)


def train(study: Study, point: Point, force: bool, request: StopRequest, shared: SharedBase) -> int:
    """Train one point unless that is done; returns the exit code."""
    identity = train_identity(study, point)
    if not force and is_trained(study, point, identity):
        return DONE
    settings, model = point.config.train, point.config.model
    check_directory(model.name)
    verify_models(study, [point])
    if model.adapter:
        check_adapter(model)
    steps = 0 if model.adapter else step_count(settings, split_size(study, point))
    if steps:
        check_selection(study, point)
    free()  # what the point before had for itself, even if that failed
    rank, world = os.environ.get("RANK"), int(os.environ.get("WORLD_SIZE", "1"))
    first = rank in (None, "0")
    ranks = steps > 0 and needs_ranks(settings) and rank is None
    devices: Any = nullcontext()
    if steps and not ranks:
        from lib.training.ranks import devices_of

        devices = devices_of(settings, world, os.environ, study.config.slurm.train.gpus)
    takes_lock = first and LOCKED not in os.environ
    lock_point = locked(point.directory, who()) if takes_lock else nullcontext()
    with devices as line, lock_point as lock:
        if line and first:
            say(f"{point.name}: {line}")
        if lock:  # another task may have finished the point meanwhile
            again = force and not is_archived(point.directory, "train", submission())
            if again and (aside := archive(point.directory, None, "train", submission())):
                say(f"{point.name}: old results archived in {aside}")
            if is_trained(study, point, identity):
                if rank is not None:  # torchrun's other ranks wait for this one
                    raise Busy(f"{point.name}: trained by another task just now")
                return DONE
            check_space(point.directory, training_needs(point))
        if ranks:
            return _launch(study, point, lock)
        code = _train(study, point, identity, first, steps, request, shared)
    from lib.training.ranks import leave_group

    leave_group()
    return code


def is_trained(study: Study, point: Point, identity: dict) -> bool:
    """Whether the point is trained, with a line if so. Raises BadInput if its model changed."""
    mark = is_done(point.directory, "train", identity)
    if mark is None:
        return False
    kept = (point.directory / "model").exists()
    if mark["status"] == "done" and (kept or status(study, point) != "done"):
        verify_model(point.directory)
    removed = "" if kept or mark["status"] != "done" else "; model/ was removed since"
    say(f"{point.name}: trained already ({mark['status']}{removed})")
    return True


def _launch(study: Study, point: Point, lock: Any) -> int:
    """Run the ranks of a point as child processes, which keep its lock while they live."""
    words = ["-m", "stages.stage2_train", study.path, *study.words, *point.words]
    environ = {**os.environ, LOCKED: "1"}
    code = launch([sys.executable, *words], point.config.train.processes, environ, STOPPED, lock)
    close_attempt(point.directory, code)
    return code


def _train(
    study: Study,
    point: Point,
    identity: dict,
    first: bool,
    steps: int,
    request: StopRequest,
    shared: SharedBase,
) -> int:
    directory = point.directory
    if (directory / "checkpoints").exists():
        if not (directory / "config.json").exists():
            raise BadInput(
                f"{directory / 'checkpoints'}: found without the run's config.json, expected both: "
                f"no run can resume from there; --force archives them"
            )
        before = read_json(directory / "config.json")
        if not isinstance(before, dict) or not isinstance(before.get("identity"), dict):
            raise BadInput(
                f"{directory / 'config.json'}: no identity of a run, expected that of its "
                f"checkpoints; --force archives both"
            )
        refuse_change(directory, "a checkpoint", before["identity"], identity)
    from lib.training.inputs import train_data
    from lib.training.loop import Outcome, remove_checkpoints, train_point
    from lib.training.ranks import device_name
    from lib.training.saving import save_untrained

    point = on_this_machine(point)
    record = {
        "point": point.name,
        "index": point.index,
        "values": point.values,
        "config": point.config.model_dump(),
        "identity": identity,
        "hash": digest(identity),
        "device": device_name(),
        **provenance(os.environ),
        "start": now(),
    }
    track = live(study, point, record["hash"], os.environ, say)
    settings, trying = point.config.train, nullcontext({})
    sizes = {"micro_batch": settings.micro_batch, "micro_tokens": settings.micro_tokens}
    known = {"device": record["device"], **sizes, "steps": steps}
    if first:
        write_json(directory / "config.json", record)
        trying = attempt(directory, "train", os.environ, settings.processes, **known)
    with trying as tried:
        if steps:
            if first:
                say(f"{point.name}: loading {point.config.model.name}")
            data = train_data(study, point)
            outcome = train_point(
                point, data, directory, lambda: bool(request), say, track, shared=shared
            )
        else:
            save_untrained(point)
            outcome = Outcome("done", 0, 0)
        tried |= {"how": outcome.status, "step": outcome.step}
    if outcome.status == "stopped":
        say(
            f"{point.name}: stopped by {request.signal or 'another rank'} at step "
            f"{outcome.step} of {outcome.steps}, checkpoint kept"
        )
        return STOPPED
    if first:
        attempts = read_attempts(directory, "train")
        record |= {**outcome.loaded, "attempts": attempts, "end": now()}
        write_json(directory / "config.json", record)
        if OBJECTIVES[point.config.train.objective].batch == "pairs":
            write_loss_curves(study)
        mark_done(directory, "train", identity, FILES, status=outcome.status, step=outcome.step)
        remove_checkpoints(directory, diverged=outcome.status == "diverged")
        why = f": {outcome.reason}" if outcome.reason else ""
        say(f"{point.name}: {outcome.status} after {outcome.step} steps{why}")
    return DONE


def write_loss_curves(study: Study) -> None:
    """Write the table of the study's losses for stage 5, which draws it without torch."""
    from lib.training.curves import loss_curves

    trains = {}
    for point in study.points():
        train, variant = point.config.train, point.values.get("variant", study.name)
        key = OBJECTIVES[train.objective].margin_key
        setting = f"{key}={getattr(train, key):g}" if key else ""
        trains[f"{variant} {setting}"] = train
    write_sealed(study.directory / "tables" / "loss_curves.json", loss_curves(trains))


if __name__ == "__main__":
    raise SystemExit(run(main))
