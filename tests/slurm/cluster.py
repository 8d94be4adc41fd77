"""A private one-node SLURM for tests, started and stopped by slurm.sh beside this file."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SCRIPT = Path(__file__).with_name("slurm.sh")
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT",
}  # fmt: skip


def reason_to_skip() -> str | None:
    """Say why a private SLURM cannot be had here, or None where it can."""
    if os.geteuid() != 0:
        return "a private SLURM needs root: slurmd starts jobs for other users"
    if not (shutil.which("slurmctld") or shutil.which("apt-get")):
        return "SLURM is not installed, and without apt-get it cannot be"
    return None


def until(condition: Callable[[], object], timeout: float = 60) -> None:
    """Wait for `condition()` to hold; raise TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {timeout} s")
        time.sleep(0.1)


class Cluster:
    """One SLURM in one new directory: `with Cluster(directory) as cluster: cluster.sbatch(…)`.

    An element is named as SLURM names it, "JOB_TASK" ("JOB" for a job that is no array).
    """

    def __init__(self, directory: Path):
        self.directory = directory
        # A test run may itself be a SLURM job: nothing of that job may reach those of the test.
        self.env = {k: v for k, v in os.environ.items() if not re.match("S(LURM|BATCH|RUN)", k)}
        self.env |= {
            "SLURM_CONF": str(directory / "slurm.conf"),
            "SLURM_BITSTR_LEN": "0",  # never shorten a list of pending elements
        }

    def __enter__(self) -> "Cluster":
        try:
            self.run("bash", SCRIPT, "start", self.directory)
        except KeyboardInterrupt:  # a start that fails cleans up after itself
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Cancel all jobs and end the daemons; nothing happens when they have ended before."""
        self.run("bash", SCRIPT, "stop", self.directory)

    def run(
        self, *command: object, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> str:
        """Run a command that sees this SLURM; `env` is added to the environment."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=self.env | (env or {}),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{command} exited {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def sbatch(self, *args: object, cwd: Path, env: dict[str, str] | None = None) -> int:
        """Submit from `cwd` and return the job's id."""
        return int(self.run("sbatch", "--parsable", *args, cwd=cwd, env=env))

    def elements(self, job: int) -> dict[str, tuple[str, int, int]]:
        """Map each element to (state, exit code, restarts); a killed one has -signal for a code."""
        elements = {}
        for line in self.run("scontrol", "--oneliner", "show", "job", job).splitlines():
            field = dict(word.split("=", 1) for word in line.split() if "=" in word)
            code, killed_by = map(int, field["ExitCode"].split(":"))
            now = field["JobState"], -killed_by if killed_by else code, int(field["Restarts"])
            if "ArrayTaskId" not in field:
                elements[str(job)] = now
            else:  # elements that were never started share one line
                elements |= {f"{job}_{task}": now for task in _tasks(field["ArrayTaskId"])}
        return elements

    def wait(self, job: int, timeout: float = 120) -> dict[str, tuple[str, int, int]]:
        """Wait until every element has ended for good; return `elements`."""
        try:
            until(
                lambda: all(state in ENDED for state, _, _ in self.elements(job).values()), timeout
            )
        except TimeoutError as error:
            raise TimeoutError(f"job {job} after {timeout} s: {self.elements(job)}") from error
        return self.elements(job)

    def signal(self, element: str, number: signal.Signals) -> None:
        """Send a signal to the batch shell alone, as `--signal=B:…` does.

        Not by scancel: while other elements of the array are pending, that of SLURM 22.05 delivers
        the signal, reports a failure all the same and goes on trying for a minute and a half.
        """
        job = re.match(r"JobId=(\d+)", self.run("scontrol", "--oneliner", "show", "job", element))
        for line in self.run("scontrol", "listpids", job[1]).splitlines():
            pid, _, step, local, _ = line.split()
            if (step, local) == ("batch", "0"):
                os.kill(int(pid), number)
                return
        raise RuntimeError(f"{element} has no batch shell: {self.elements(element)}")


def _tasks(spec: str) -> Iterator[int]:
    """Expand SLURM's "0-2,7%4" or "0-8:2" into the indices."""
    for part in spec.partition("%")[0].split(","):
        first, last, step = re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part).groups()
        yield from range(int(first), int(last or first) + 1, int(step or 1))
