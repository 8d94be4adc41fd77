"""SLURM's commands: availability of a controller, queue, accounting, limits, submission.

A failed command says nothing about jobs: it is retried, and then raises `NoAnswer`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib.config.errors import BadInput

ATTEMPTS, PAUSE, TIMEOUT = 3, 2.0, 20.0  # tries of a command; seconds between them, and of each
NO_SUCH_JOB = "Invalid job id specified"  # of a job that the controller has forgotten or never had
# SLURM is installed without configuration: no slurm.conf, and no controller in the DNS. A DNS that
# does not answer gives another message.
NO_CLUSTER = re.compile(
    r"res_nsearch error: (Unknown host|No address associated).*Could not establish a configuration",
    re.DOTALL,
)
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
DEFAULT_MAX_ARRAY_SIZE = 1001

Tasks = dict[int | None, str]  # task → state; None for a job that is not an array


class NoAnswer(BadInput):
    """A SLURM command failed or timed out: nothing is known."""


class NoSuchJob(Exception):
    """At least one of the requested jobs is unknown to the controller."""


def ask(*command: str, attempts: int = ATTEMPTS) -> str:
    """Output of a command. Raises NoAnswer after the last failed attempt."""
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
            raise NoSuchJob
        if done.returncode == 0 and (done.stdout or "error" not in said):
            return done.stdout
        reason = (said or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
    raise NoAnswer(f"{' '.join(command[:2])}: {reason}")


def is_installed() -> bool:
    """Whether squeue is installed."""
    return shutil.which("squeue") is not None


def is_available() -> bool:
    """Whether a controller answers; False where SLURM is not installed or not configured.

    Raises NoAnswer where `sbatch` is installed and no controller answers, as on a login node.
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
    """The queued and running tasks of these jobs, by one call of squeue.

    jobs: ids such as "17", or "17_3" for one task. Jobs without such tasks, or which the controller
    has forgotten, are left out. Raises NoAnswer where squeue fails.
    """
    jobs = list(dict.fromkeys(jobs))
    if not jobs:
        return {}
    # --array: one line a task, such as "17_3 PENDING".
    command = ["squeue", "--noheader", "--array", "--format=%i %T", "--jobs=" + ",".join(jobs)]
    try:
        shown = ask(*command, attempts=attempts)
    except NoSuchJob:
        if len(jobs) == 1:
            return {}
        shown = ""  # squeue does not say which one is unknown
        merged: dict[str, Tasks] = {}
        for job in jobs:
            for name, tasks in queued([job], attempts).items():
                merged.setdefault(name, {}).update(tasks)
        return merged
    tasks: dict[str, Tasks] = {}
    for line in shown.splitlines():
        if match := re.match(r"\s*(\d+)(?:_(\d+))?(?:\S*\s+(\S+))?", line):
            job, task, state = match.groups()
            tasks.setdefault(job, {})[None if task is None else int(task)] = state or "QUEUED"
        elif line.strip():
            raise NoAnswer(f"squeue: found {line.strip()!r}, expected a job id and its state")
    return tasks


def how_ended(jobs: Sequence[str]) -> dict[str, str]:
    """Final states of jobs such as "17_3", where accounting is available."""
    if not jobs or not shutil.which("sacct"):
        return {}
    command = ["sacct", "-n", "-X", "-P", "--format=JobID,State", "--jobs=" + ",".join(jobs)]
    try:
        shown = ask(*command, attempts=1)
    except (NoAnswer, NoSuchJob):
        return {}
    rows = (line.split("|") for line in shown.splitlines())
    return {row[0]: row[1].split()[0] for row in rows if len(row) == 2 and row[1]}


def largest_array() -> int:
    """Maximum number of tasks of an array."""
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
    """Submit; returns the job's id. Raises BadInput with SLURM's reason for a refusal."""
    done = subprocess.run(command, capture_output=True, text=True)
    said = " ".join((done.stderr.strip() or done.stdout.strip()).split())
    if done.returncode:
        raise BadInput(f"sbatch refused: {said}")
    # --parsable prints "ID" or "ID;CLUSTER", perhaps after a greeting of the site.
    ids = re.findall(r"^(\d+)(?:;\S+)?$", done.stdout, re.MULTILINE)
    if not ids:
        raise BadInput(f"sbatch: found {said!r}, expected the id of a job")
    return ids[-1]
