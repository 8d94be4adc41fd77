"""What SLURM's commands answer: is there a controller, what is queued, how large may an array be.

A command that fails says nothing about jobs: it is tried again, and then `NoAnswer` is raised.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib.config.errors import BadInput

ATTEMPTS, PAUSE, TIMEOUT = 3, 2.0, 20.0  # tries of a command; seconds between them, and of one
NO_SUCH_JOB = "Invalid job id specified"  # of a job that the controller has forgotten, or never had
# The packages are installed and no site set them up: there is no slurm.conf, and the DNS, which may
# name a controller instead, knows of none. A DNS that fails to answer is reported in other words.
NO_CLUSTER = re.compile(
    r"res_nsearch error: (Unknown host|No address associated).*Could not establish a configuration",
    re.DOTALL,
)
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
DEFAULT_MAX_ARRAY_SIZE = 1001

Tasks = dict[int | None, str]  # state of each task; None stands for a job that is no array


class NoAnswer(BadInput):
    """A SLURM command failed or did not return: nothing is known."""


class _NoSuchJob(Exception):
    """All of the jobs asked for, or one of them, are unknown to the controller."""


def ask(*command: str, attempts: int = ATTEMPTS) -> str:
    """What a command prints. Raises NoAnswer once all attempts have failed."""
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(PAUSE)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            reason = f"no answer within {TIMEOUT:g} s"
            continue
        except OSError as error:
            reason = str(error.strerror)
            continue
        said = done.stderr.strip()
        if NO_SUCH_JOB in said:
            raise _NoSuchJob
        if done.returncode == 0 and (done.stdout or "error" not in said):
            return done.stdout
        reason = (said or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
    raise NoAnswer(f"{' '.join(command[:2])}: {reason}")


def is_installed() -> bool:
    """Whether there is a command to ask for the queue."""
    return shutil.which("squeue") is not None


def is_available() -> bool:
    """Whether a controller answers; False where SLURM is not installed, or set up for no cluster.

    Raises NoAnswer where `sbatch` is there and no controller answers: this may be a login node.
    """
    sbatch, scontrol = shutil.which("sbatch"), shutil.which("scontrol")
    if sbatch is None:
        return False
    reason = "no scontrol"
    for attempt in range(ATTEMPTS if scontrol else 0):
        if attempt:
            time.sleep(PAUSE)
        try:
            ping = subprocess.run(
                ["scontrol", "ping"], capture_output=True, text=True, timeout=TIMEOUT
            )
        except (OSError, subprocess.TimeoutExpired):
            reason = f"scontrol ping: no answer within {TIMEOUT:g} s"
            break
        if " is UP" in ping.stdout:
            return True
        same_installation = Path(sbatch).parent == Path(scontrol).parent
        if same_installation and NO_CLUSTER.search(ping.stderr):
            return False
        said = ping.stdout.strip() or ping.stderr.strip() or f"exit code {ping.returncode}"
        reason = f"scontrol ping: {said.splitlines()[0]}"
    raise NoAnswer(f"sbatch is installed, but no SLURM controller answers ({reason})")


def queued(jobs: Iterable[str], attempts: int = ATTEMPTS) -> dict[str, Tasks]:
    """The tasks of these jobs that are queued or running; a job without any is left out.

    jobs: ids such as "17", or "17_3" for one task. One call of squeue serves them all. Raises
    NoAnswer where it fails; a job that the controller has forgotten is not queued.
    """
    jobs = list(dict.fromkeys(jobs))
    if not jobs:
        return {}
    # --array: one line a task, such as "17_3 PENDING".
    command = ["squeue", "--noheader", "--array", "--format=%i %T", "--jobs=" + ",".join(jobs)]
    try:
        shown = ask(*command, attempts=attempts)
    except _NoSuchJob:
        if len(jobs) == 1:
            return {}
        shown = ""  # which of them is unknown is not said
        merged: dict[str, Tasks] = {}
        for job in jobs:
            for name, tasks in queued([job], attempts).items():
                merged.setdefault(name, {}).update(tasks)
        return merged
    found: dict[str, Tasks] = {}
    for line in shown.splitlines():
        if match := re.match(r"\s*(\d+)(?:_(\d+))?(?:\S*\s+(\S+))?", line):
            job, task, state = match.groups()
            found.setdefault(job, {})[None if task is None else int(task)] = state or "QUEUED"
        elif line.strip():
            raise NoAnswer(f"squeue: found {line.strip()!r}, expected a job id and its state")
    return found


def how_ended(jobs: Sequence[str]) -> dict[str, str]:
    """Final states of jobs such as "17_3", where SLURM keeps accounts of them; else nothing."""
    if not jobs or not shutil.which("sacct"):
        return {}
    command = ["sacct", "-n", "-X", "-P", "--format=JobID,State", "--jobs=" + ",".join(jobs)]
    try:
        shown = ask(*command, attempts=1)
    except (NoAnswer, _NoSuchJob):
        return {}
    rows = (line.split("|") for line in shown.splitlines())
    return {row[0]: row[1].split()[0] for row in rows if len(row) == 2 and row[1]}


def largest_array() -> int:
    """How many tasks, with indices from 0, an array may have at most."""
    shown = ask("scontrol", "show", "config")
    limits = [
        int(match[1])
        for pattern in (r"^MaxArraySize\s*=\s*(\d+)", r"\bmax_array_tasks=(\d+)")
        if (match := re.search(pattern, shown, re.MULTILINE))
    ]
    if 0 in limits:
        raise BadInput("scontrol show config: MaxArraySize is 0: this cluster takes no job arrays")
    return min(limits, default=DEFAULT_MAX_ARRAY_SIZE)


def sbatch(command: Sequence[str]) -> str:
    """Submit; returns the id of the job. Raises BadInput with SLURM's reason where it refuses."""
    done = subprocess.run(command, capture_output=True, text=True)
    said = " ".join((done.stderr.strip() or done.stdout.strip()).split())
    if done.returncode:
        raise BadInput(f"sbatch refused: {said}")
    # --parsable prints "ID" or "ID;CLUSTER"; a site's own greeting may stand before it.
    ids = re.findall(r"^(\d+)(?:;\S+)?$", done.stdout, re.MULTILINE)
    if not ids:
        raise BadInput(f"sbatch: found {said!r}, expected the id of a job")
    return ids[-1]
