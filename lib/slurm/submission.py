"""The sbatch command of one array of a study, and the directories of its output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lib.config.errors import BadInput
from lib.config.grid import format_indices
from lib.config.schema import Resources
from lib.config.study import Study

LOGS = Path("logs")  # directory of the templates' output


def sbatch_command(
    study: Study,
    stage: str,
    indices: Sequence[int],
    offset: int = 0,
    condition: str | None = None,
    force: bool = False,
) -> list[str]:
    """The sbatch command of one array; condition: its dependency."""
    wanted = resources(study, stage)
    options = [
        f"--array={format_indices(indices)}",
        f"--gres=gpu:{wanted.gpus}" if wanted.gpus else "--gres=none",
        f"--cpus-per-task={wanted.cpus}",
        f"--mem={wanted.memory}",
        f"--time={wanted.time}",
        f"--signal=B:USR2@{wanted.warning}",  # to the batch script, which passes it on
        *wanted.extra,
    ]
    if condition:
        options += [f"--dependency={condition}", "--kill-on-invalid-dep=yes"]
    words = [study.path, *study.words, f"--grid-hash={study.grid_hash}"]
    if offset:
        words.append(f"--offset={offset}")
    if wanted.points > 1:
        words.append(f"--points={wanted.points}")
    if force:
        words.append("--force")
    return ["sbatch", "--parsable", *options, f"sbatch/{stage}.sbatch", *words]


def resources(study: Study, stage: str) -> Resources:
    """Resources of a stage. References and trials of a search use those of training."""
    if stage in ("reference", "search"):
        return study.config.slurm.train.model_copy(update={"points": 1})
    return getattr(study.config.slurm, stage)


def make_log_directories(study: Study, stage: str) -> None:
    """Create the directories of a task's output.

    SLURM opens the output before the script starts, and a task without its directory fails without
    a trace. Directories with a pattern (%j) are left to the user.
    """
    extra = resources(study, stage).extra
    base = Path(option(extra, "--chdir", "-D") or ".")
    named = [option(extra, "--output", "-o"), option(extra, "--error", "-e")]
    for directory in [base / LOGS, *(base / Path(name).parent for name in named if name)]:
        if "%" in str(directory):
            continue
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{directory}: cannot be made for the output of tasks: "
                           f"{error.strerror}") from None  # fmt: skip


def option(words: Sequence[str], *names: str) -> str | None:
    """The last value of an option in `--name=value` or `--name value` arguments, or None."""
    last = None
    for word, following in pairwise([*words, ""]):
        name, equals, value = word.partition("=")
        if name in names:
            last = value if equals else following
    return last
