"""The points of a command line: which ones, and one after the other."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import IO

from lib.config.errors import BadInput
from lib.config.grid import digest, format_indices, parse_indices
from lib.config.study import Point, Study
from lib.runs.children import children
from lib.runs.directory import Busy
from lib.runs.files import read_json, write_json
from lib.search.trials import read_trial
from lib.training.launch import threads_each
from lib.training.stopping import StopRequest
from stages.command import BAD_INPUT, DONE, FAILED, STOPPED, Parser, say


def chosen_points(study: Study, args: argparse.Namespace) -> list[Point]:
    """The points of --index, run= or --trial, after checking that the grid is the submitted one."""
    trial, run = getattr(args, "trial", None), args.run
    ways = {"--index": args.index, "run=": run, "--trial": trial}
    if len(given := [way for way, value in ways.items() if value is not None]) != 1:
        raise BadInput(f"which point? found {' and '.join(given) or 'none'}, expected one of "
                       f"--index N and run=NAME")  # fmt: skip
    if trial is not None:
        return [read_trial(study, trial)]
    if run is not None:
        point = study.point_by_name(run)
        check_grid(study, args.grid_hash)
        return [point]
    size = len(study.grid)
    indices: Sequence[int]
    if args.points < 1:
        raise BadInput(f"--points: found {args.points}, expected 1 or more")
    if args.offset or args.points > 1:
        groups = -(-size // args.points)
        if not args.index.isdecimal() or int(args.index) + args.offset >= groups:
            raise BadInput(
                f"--index: found {args.index!r} with --offset {args.offset} --points "
                f"{args.points}, expected a number from 0 to {groups - 1 - args.offset}"
            )
        first = (int(args.index) + args.offset) * args.points
        indices = range(first, min(first + args.points, size))
    else:
        indices = parse_indices(args.index, size)
    points = [study.point(index) for index in indices]
    check_grid(study, args.grid_hash)
    return points


def take_run_ids(arguments: Parser, purpose: str) -> None:
    """Add `run_ids='["NAME", "NAME"]'`: points by name."""
    arguments.add_argument("--run-ids", metavar="LIST", type=names_of, help=purpose)


def names_of(text: str) -> list[str]:
    """The names in a JSON list. Raises BadInput for anything else, and for duplicates."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(n, str) for n in found):
        raise BadInput(f"--run-ids: found {text!r}, expected a JSON list such as "
                       f"'[\"NAME\", \"NAME\"]'")  # fmt: skip
    if repeated := [name for name in found if found.count(name) > 1]:
        raise BadInput(f"--run-ids: found {repeated[0]} twice")
    return found


def comparison_of(study: Study, names: Sequence[str] | None) -> Path:
    """Directory of the comparison of these points, or of all points."""
    return study.directory / (f"comparison-{digest(sorted(names))}" if names else "comparison")


def each(points: Sequence[Point], do: Callable[[Point], int], request: StopRequest) -> int:
    """Run points one after the other, also after one that fails.

    Returns the first exit code above 0, and STOPPED as soon as a point was stopped on request, or
    if `request` is set when another one would begin.
    """
    if len(points) == 1:
        return do(points[0])
    worst = DONE
    for point in points:
        if request:
            say(f"stopped by {request.signal} before {point.name}")
            return STOPPED
        try:
            code = do(point)
        except BadInput as error:
            print(f"error: {point.name}: {error}", file=sys.stderr)
            code = BAD_INPUT
        except Busy as error:
            print(f"error: {point.name}: {error}", file=sys.stderr)
            code = FAILED
        except Exception:
            traceback.print_exc()
            print(f"error: {point.name}: failed, see above", file=sys.stderr)
            code = FAILED
        if code == STOPPED:
            return code
        worst = worst or code
    return worst


def at_once(
    module: str, study: Study, points: Sequence[Point], processes: int, words: Sequence[str]
) -> int:
    """Run points in several processes of a stage, each of which takes its share in turn.

    They share the devices, and evenly the CPUs. Each line of theirs tells its point. A signal goes
    to all; one that fails stops no other. Returns STOPPED if one was stopped, else the first exit
    code above 0.
    """
    shares = [points[first::processes] for first in range(min(processes, len(points)))]
    commands = [
        [sys.executable, "-m", module, study.path, *study.words, "--parallel=1",
         f"--grid-hash={study.grid_hash}", "--index", format_indices(p.index for p in share),
         *words]
        for share in shares
    ]  # fmt: skip
    threads = threads_each(os.environ.get("OMP_NUM_THREADS", ""), len(shares))
    environ = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    pipe = subprocess.PIPE
    with children(commands, env=environ, stdout=pipe, stderr=pipe, text=True) as (started, _):
        relays = [
            Thread(target=relay, args=(source, target, [point.name for point in share]))
            for process, share in zip(started, shares, strict=True)
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        ]
        for thread in relays:
            thread.start()
        for thread in relays:
            thread.join()
    codes = [p.returncode if p.returncode >= 0 else 128 - p.returncode for p in started]
    return STOPPED if STOPPED in codes else next(filter(None, codes), DONE)


def relay(source: IO[str], target: IO[str], names: Sequence[str]) -> None:
    """Copy lines, each with the name of the point that it or the last named one is about."""
    name = names[0]
    for line in source:
        name = next((n for n in names if re.search(rf"(^|\s){re.escape(n)}:", line)), name)
        target.write(line if name in line else f"{name}: {line}")
        target.flush()


def check_grid(study: Study, submitted: str | None) -> None:
    """Raise BadInput if the grid changed after submission, so that indices mean other points.

    `make` submits with the grid's hash. With plain sbatch the first task of the array records the
    hash, and later ones compare.
    """
    if submitted and submitted != study.grid_hash:
        raise BadInput(
            f"{study.path}: the grid has changed since it was submitted (hash "
            f"{submitted}, now {study.grid_hash}); submit again"
        )
    job = os.environ.get("SLURM_ARRAY_JOB_ID")
    if not job or submitted or not study.directory.exists():
        return
    record = study.directory / "arrays" / f"{job}.json"
    if not record.exists():
        write_json(record, {"grid": study.grid_hash})
    elif (first := read_json(record)["grid"]) != study.grid_hash:
        raise BadInput(
            f"{study.path}: the grid has changed since array {job} started (hash "
            f"{first}, now {study.grid_hash}); submit again"
        )
