"""The sbatch command of one array of a study, what its tasks run, and where their output goes.

results/<study>/submissions/<time>/<study>.yaml      the study file as it was submitted
results/<study>/submissions/<time>/submission.json   overrides, hashes, commands, ids of jobs
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import format_indices
from lib.config.load import load_study
from lib.config.schema import Resources
from lib.config.study import Study
from lib.runs.code import code_version, snapshot
from lib.runs.files import replacing, write_json

LOGS = Path("logs")  # directory of the templates' output
SUBMISSIONS = "submissions"


@dataclass(frozen=True)
class Frozen:
    """What the tasks of a submission run, whatever is edited while they wait."""

    directory: Path  # results/<study>/submissions/<time>/
    study: Path  # copy of the study file in it
    code: Path  # snapshot of the code, see lib.runs.code

    def version(self) -> dict[str, Any]:
        """Digest and git commit of the code, see lib.runs.code."""
        return code_version(self.code)

    def record(self, content: Mapping[str, Any]) -> None:
        """Write submission.json: what was submitted, as which jobs."""
        write_json(self.directory / "submission.json", content)


def freeze(study: Study) -> Frozen:
    """Copy the study file and the code below the study's results.

    The copy keeps the file's name, which may name the study.
    """
    submissions = study.directory / SUBMISSIONS
    code = snapshot(submissions)
    directory = submissions / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    copy = directory / Path(study.path).name
    with replacing(copy) as temporary:
        shutil.copyfile(study.path, temporary)
    if load_study(copy, study.words).grid_hash != study.grid_hash:
        raise BadInput(f"{study.path}: edited while it was submitted; submit again")
    return Frozen(directory, copy, code)


def sbatch_command(
    study: Study,
    stage: str,
    indices: Sequence[int],
    offset: int = 0,
    condition: str | None = None,
    force: bool = False,
    *,
    points: int | None = None,
    options: Sequence[str] = (),
    frozen: Frozen | None = None,
) -> list[str]:
    """The sbatch command of one array, or of the evaluation, which has no indices.

    condition: its dependency. points: in a task, those of the study's section by default. options:
    further ones, after those of the section. frozen: what it runs, the working tree by default.
    """
    wanted = resources(study, stage)
    points = points or wanted.points
    most = f"%{wanted.throttle}" if wanted.throttle else ""
    options = [
        *([f"--array={format_indices(indices)}{most}"] if indices else []),
        f"--gres=gpu:{wanted.gpus}" if wanted.gpus else "--gres=none",
        f"--cpus-per-task={wanted.cpus}",
        f"--mem={wanted.memory}",
        f"--time={wanted.time}",
        # To the batch script, which passes it on.
        *([f"--signal=B:USR2@{wanted.warning}"] if indices else []),
        *wanted.extra,
        *options,
    ]
    if condition:
        options += [f"--dependency={condition}", "--kill-on-invalid-dep=yes"]
    template, words = f"sbatch/{stage}.sbatch", [study.path, *study.words]
    if frozen:
        template = str(frozen.code / template)
        words = [f"--code={frozen.code}", str(frozen.study), *study.words]
    if indices:
        words.append(f"--grid-hash={study.grid_hash}")
    if offset:
        words.append(f"--offset={offset}")
    if points > 1:
        words.append(f"--points={points}")
    if force:
        words.append("--force")
    return ["sbatch", "--parsable", *options, template, *words]


def resources(study: Study, stage: str) -> Resources:
    """Resources of a stage. References and trials of a search use those of training."""
    slurm = study.config.slurm
    alone = {"points": 1, "successors": 0}
    if stage == "reference":
        return slurm.train.model_copy(update=alone)
    if stage == "search":
        return slurm.train.model_copy(update=alone | {"throttle": study.search.workers})
    return getattr(slurm, stage)


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
