"""Copy a study's runs to a tracker: train.jsonl and metrics of stage 4.

    python -m stages.track configs/td_dpo.yaml --to trackio|wandb|tensorboard|mlflow

Run again at any time: it adds new rows and replaces changed ones. For the login node, so that
compute nodes need no network. Keys come from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from lib.config.errors import BadInput
from lib.config.study import Study
from lib.runs.directory import done_mark
from lib.runs.files import check_writable
from lib.runs.progress import tracked
from lib.tracking.live import place_of
from lib.tracking.runs import point_run, study_run
from lib.tracking.to_wandb import check_key, is_offline
from lib.tracking.trackers import Place, Tracker, tracker
from stages.command import DONE, load, parser, run, say


def main(argv: Sequence[str] | None = None) -> int:
    """Export to the tracker that --to names; returns the exit code."""
    arguments = parser("stages.track", __doc__, force=False)
    arguments.add_argument("--to", required=True, metavar="TRACKER",
                           help="trackio, wandb, tensorboard or mlflow")  # fmt: skip
    arguments.add_argument("--project", metavar="NAME",
                           help="project of the runs, of W&B also ENTITY/PROJECT (default: the "
                           "study's name)")  # fmt: skip
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if study.mode == "trial":
        raise BadInput(f"{study.path}: found mode=trial, expected a full run: trials are tracked "
                       f"nowhere")  # fmt: skip
    try:
        target = tracker(args.to)
    except BadInput as error:
        raise BadInput(f"--to: {error}") from None
    place = place_of(study, os.environ, args.project)
    if args.to == "wandb" and not is_offline(place):
        check_key(os.environ)
    export(study, args.to, target, place)
    return DONE


def export(study: Study, name: str, target: Tracker, place: Place) -> None:
    """Write all runs. Raises BadInput, before any is written, if there are none."""
    points = list(study.points())
    in_progress = []
    if study.config.tracking == name:  # a point in training has its run open
        in_progress = [p for p in points if done_mark(p.directory, "train") is None]
    runs = [point_run(study, point) for point in points if point not in in_progress]
    runs = [run for run in (*runs, study_run(study)) if run is not None]
    if not runs:
        raise BadInput(f"{study.directory}: nothing to export yet, expected a train.jsonl of a "
                       f"point (one that is tracked while it trains counts once it has "
                       f"ended)")  # fmt: skip
    check_writable(study.directory)
    rows = [target.write(run, place) for run in tracked(runs, len(runs), name, "run")]
    new = sum(count > 0 for count in rows)
    say(f"{name}: {len(runs)} runs in project {place.project}, {new} with new rows "
        f"({sum(rows):,} rows)")  # fmt: skip
    say(f"to look at them: {target.show(place)}")


if __name__ == "__main__":
    raise SystemExit(run(main))
