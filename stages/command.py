"""The stages' common command line: arguments, exit codes, selection of points."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput, listed
from lib.config.grid import digest, parse_indices
from lib.config.study import Point, Study, load_study, read_study
from lib.runs.activity import Holder, machine
from lib.runs.directory import Busy, Submission
from lib.runs.files import read_json, refusal, write_json
from lib.search.trials import read_trial

DEFAULT_STUDY = "configs/weighted_loss.yaml"
DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75
EXIT_CODES = {
    DONE: "done, or nothing to do",
    FAILED: "failed; also when another task works on the same point",
    BAD_INPUT: "bad input (config, data, index): one line on stderr",
    STOPPED: "stopped early on request, resumable; the templates requeue it",
}


# Spellings of other programs for these studies: `run=NAME` and `run_ids=LIST` are options,
# `--results_dir=DIR` and `--mode=trial` overrides.
AS_OPTIONS = {"run": "--run", "run_ids": "--run-ids"}
AS_OVERRIDES = ("results_dir", "mode")


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors, and arguments with or without dashes."""

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The arguments of a command line, `sys.argv` by default."""
        given = sys.argv[1:] if args is None else list(args)
        return super().parse_intermixed_args(self._plain(given), namespace)

    def _plain(self, words: Sequence[str]) -> list[str]:
        plain, rest = [], iter(words)
        for word in rest:
            bare, equals, value = word.partition("=")
            name = bare.removeprefix("--").replace("-", "_")
            dashed = bare.startswith("--")
            if name in AS_OPTIONS and AS_OPTIONS[name] in self._option_string_actions:
                if dashed or equals:
                    word = AS_OPTIONS[name] + equals + value
            elif dashed and name in AS_OVERRIDES:
                word = f"{name}={value if equals else next(rest, '')}"
            plain.append(word)
        return plain

    def error(self, message: str) -> Any:
        """Exit 2 with one line."""
        print(f"error: {self.prog}: {message}", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def parser(
    module: str,
    description: str | None,
    index: bool = False,
    stage: Sequence[str] = (),
    force: bool = True,
    trial: bool = False,
) -> Parser:
    """Arguments of all stages; index: those of array stages; stage: choices of a first argument.

    force: whether --force exists; trial: whether the stage runs trials of a search.
    """
    made = Parser(prog=f"python -m {module}", description=(description or "").split("\n")[0])
    if stage:
        made.add_argument("stage", choices=stage)
    made.add_argument(
        "study", nargs="?", default=DEFAULT_STUDY, help=f"study file (default: {DEFAULT_STUDY})"
    )
    made.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="override a key of the study, as in train.epochs=2 or mode=trial",
    )
    if force:
        made.add_argument(
            "--force", action="store_true", help="do it again; old results are kept below previous/"
        )
    if index:
        made.add_argument(
            "--index", metavar="N", help="point of the grid: 3, or several: 0-18 or 0,3,5-7"
        )
        made.add_argument("--run", metavar="NAME", help="point of the grid, by name: run=NAME")
        made.add_argument(
            "--offset",
            type=int,
            default=0,
            metavar="N",
            help="added to --index, for a grid larger than SLURM's arrays",
        )
        made.add_argument(
            "--points",
            type=int,
            default=1,
            metavar="K",
            help="--index counts groups of K points",
        )
        made.add_argument(
            "--grid-hash",
            metavar="HASH",
            help="refuse to run if the grid is not the one with this hash",
        )
    if trial:
        made.add_argument("--trial", type=int, metavar="N", help="trial of the study's search")
    return made


def load(args: argparse.Namespace, checked: bool = True) -> Study:
    """The study of a command line; a first word with `=` is an override of the default study.

    Results that lie under the names of an earlier grid are found, and that is said. Not `checked`,
    its points are not resolved, which takes a second per thousand.
    """
    if "=" in args.study and not Path(args.study).exists():
        args.overrides.insert(0, args.study)
        args.study = DEFAULT_STUDY
    if not checked:
        return read_study(args.study, args.overrides)
    study = load_study(args.study, args.overrides)
    if study.directory.is_dir():
        from lib.data.older_names import link_older_names  # --help is quicker without

        if linked := link_older_names(study):
            print(f"{study.directory}: {len(linked)} found under older names: {listed(linked, 4)}",
                  file=sys.stderr)  # fmt: skip
    return study


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


def each(points: Sequence[Point], do: Callable[[Point], int]) -> int:
    """Run points one after the other, also after one that fails.

    Returns the first exit code above 0, and immediately if a point was stopped on request.
    """
    if len(points) == 1:
        return do(points[0])
    worst = DONE
    for point in points:
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


def run(main: Callable[[Sequence[str] | None], int]) -> int:
    """Run a stage's main; errors that the user can fix become one line and an exit code."""
    try:
        return main(None)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except Busy as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except (
        OSError
    ) as error:  # of a log or a checkpoint; other files raise BadInput in lib.runs.files
        if (reason := refusal(error)) is None:
            raise
        what = f"{error.filename or 'results'}: cannot be {failed_access(error)}: {reason}"
        print(f"error: {what}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def failed_access(error: OSError) -> str:
    """The failed operation: "read", "written", or "used" if the error does not say."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
        return "written"
    if error.errno not in (errno.EACCES, errno.EPERM) or not isinstance(
        error.filename, (str, bytes)
    ):
        return "used"
    name = os.fsdecode(error.filename)
    if os.access(name, os.F_OK):
        return "written" if os.access(name, os.R_OK) else "read"
    # Missing: it was to be created, or a directory above is not accessible.
    return "written" if os.access(os.path.dirname(name) or ".", os.X_OK) else "read"


def who() -> str:
    """This process as holder of a lock, in the form that `lib.runs.activity.holder` parses."""
    return str(Holder(machine(), os.getpid(), slurm_job()))


def slurm_job() -> str | None:
    """This SLURM job as squeue names it: `17_3` for a task of an array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def submission() -> Submission | None:
    """The SLURM submission of this task, the same after each requeue."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID")
    if not job:
        return None
    element = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    return Submission(f"{job}_{element}", int(os.environ.get("SLURM_RESTART_COUNT") or 0))


def say(message: str) -> None:
    """Print one line, flushed."""
    print(message, flush=True)
