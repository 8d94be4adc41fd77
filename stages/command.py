"""The stages' common command line: arguments, exit codes, who runs."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput, listed
from lib.config.load import load_study, read_study
from lib.config.study import Study
from lib.runs.activity import Holder, machine
from lib.runs.directory import Busy, Submission
from lib.runs.files import refusal

DEFAULT_STUDY = "configs/weighted_loss.yaml"
DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75
CLOSED_PIPE = 128 + 13  # as of a program that SIGPIPE ends
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


def run(main: Callable[[Sequence[str] | None], int]) -> int:
    """Run a stage's main; errors that the user can fix become one line and an exit code."""
    try:
        code = main(None)
        sys.stdout.flush()  # here: at the interpreter's end a closed pipe would be a traceback
        return code
    except BrokenPipeError:
        if not output_is_closed():
            raise
        return CLOSED_PIPE
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


def output_is_closed() -> bool:
    """Whether the reader of standard output has gone, which then goes nowhere, as in `| head`."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


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
