"""Run an array stage over a whole grid: through SLURM where it answers, else here, point by point.

    python -m stages.submit train configs/weighted_loss.yaml [key=value …] [--dry-run]

`make train` and `make infer` call this. The study's `slurm` section says what a task asks for; the
array carries the grid's hash; `infer` waits for a `train` of the same study that is still queued.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from lib.errors import BadInput
from lib.grid import format_indices
from lib.runs import read_json, write_json
from lib.study import Study
from stages.command import DONE, load, parser, run, say

MODULES = {"train": "stages.stage2_train", "infer": "stages.stage3_infer"}


def main(argv: Sequence[str] | None = None) -> int:
    """Submit or run a stage; returns the exit code."""
    arguments = parser("stages.submit", __doc__, stage=list(MODULES))
    arguments.add_argument("--dry-run", action="store_true", help="print the commands alone")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if args.dry_run:
        for command in sbatch_commands(study, args.stage, force=args.force):
            say(shlex.join(command))
        return DONE
    if slurm_answers():
        submit(study, args.stage, args.force)
        return DONE
    say("no SLURM controller answers: running here, point by point")
    return subprocess.call(local_command(study, args.stage, args.force))


def slurm_answers() -> bool:
    """Whether there is an sbatch and a controller behind it."""
    if not shutil.which("sbatch"):
        return False
    try:
        ping = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ping.returncode == 0 and " is UP" in ping.stdout


def local_command(
    study: Study, stage: str, force: bool = False, points: Sequence[int] | None = None
) -> list[str]:
    """The command that runs a stage over these points, or the whole grid, in one process."""
    indices = format_indices(range(len(study.grid)) if points is None else points)
    return [sys.executable, "-m", MODULES[stage], study.path, *study.words, "--index", indices,
            *(["--force"] if force else [])]  # fmt: skip


def sbatch_commands(
    study: Study,
    stage: str,
    largest: int = 1000,
    dependency: str | None = None,
    force: bool = False,
) -> list[list[str]]:
    """sbatch commands that cover the grid, in chunks whose largest index is at most `largest`."""
    asked = getattr(study.config.slurm, stage)
    tasks = -(-len(study.grid) // asked.points)
    commands = []
    for start in range(0, tasks, largest + 1):
        last = min(tasks - start, largest + 1) - 1
        options = [
            f"--array=0-{last}" if last else "--array=0",
            f"--gres=gpu:{asked.gpus}" if asked.gpus else "--gres=none",
            f"--cpus-per-task={asked.cpus}",
            f"--mem={asked.memory}",
            f"--time={asked.time}",
            *asked.extra,
        ]
        if dependency:
            options += [f"--dependency={dependency}", "--kill-on-invalid-dep=yes"]
        words = [study.path, *study.words, f"--grid-hash={study.grid_hash}"]
        if start:
            words.append(f"--offset={start}")
        if asked.points > 1:
            words.append(f"--points={asked.points}")
        if force:
            words.append("--force")
        commands.append(["sbatch", "--parsable", *options, f"sbatch/{stage}.sbatch", *words])
    return commands


def submit(study: Study, stage: str, force: bool = False) -> list[str]:
    """Submit a stage; returns the ids of its jobs, which results/<study>/jobs.json keeps."""
    record = study.directory / "jobs.json"
    jobs: dict[str, list[str]] = read_json(record) if record.exists() else {}
    dependency = None
    if stage == "infer" and (queued := [job for job in jobs.get("train", []) if _is_queued(job)]):
        same_sets = study.config.slurm.train.points == study.config.slurm.infer.points
        # Index by index where both arrays have the same; else once every training has ended.
        word = "aftercorr" if same_sets and len(queued) == 1 else "afterany"
        dependency = f"{word}:{':'.join(queued)}"
    ids: list[str] = []
    for command in sbatch_commands(study, stage, _largest_index(), dependency, force):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BadInput(f"sbatch refused: {done.stderr.strip() or done.stdout.strip()}")
        ids.append(done.stdout.strip().split(";")[0])
        write_json(record, {**jobs, stage: ids})  # at once: the next chunk may be refused
        say(f"submitted {stage} of {study.name} as job {ids[-1]}; logs/{stage}-{ids[-1]}_*.out")
    return ids


def _is_queued(job: str) -> bool:
    asked = subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True)
    return asked.returncode == 0 and bool(asked.stdout.strip())


def _largest_index() -> int:
    """MaxArraySize − 1: the largest index that the controller takes."""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True)
    for line in shown.stdout.splitlines():
        if line.startswith("MaxArraySize"):
            return int(line.split("=")[1]) - 1
    return 1000


def still_running(ids: Sequence[str]) -> bool:
    """Whether any of these jobs is queued or running."""
    return any(_is_queued(job) for job in ids)


if __name__ == "__main__":
    raise SystemExit(run(main))
