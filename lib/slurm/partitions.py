"""What a partition allows: its longest time and its size; and when a job would start there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from lib.config.schema import Resources
from lib.slurm import commands as slurm
from lib.slurm.submission import option

FORMAT = "%P|%l|%D|%c|%G"  # name (* after the default one), longest time, nodes, their cores, gres


class Partition(NamedTuple):
    """A partition of the cluster: what all its nodes together have."""

    name: str
    time: str  # longest of a job, as SLURM writes it: 2-00:00:00, infinite
    nodes: int
    cpus: int
    gpus: int

    def at_once(self, wanted: Resources) -> int:
        """How many tasks with these resources fit into an empty partition; 0: not one.

        By GPUs and cores of the whole, so that nodes with odd ones left over count too much.
        """
        fits = [self.cpus // wanted.cpus]
        if wanted.gpus:
            fits.append(self.gpus // wanted.gpus)
        return min(fits)


def partition_of(extra: Sequence[str]) -> Partition | None:
    """The partition that `extra` options name, or the default one; None where sinfo lists none.

    Raises NoAnswer where sinfo fails.
    """
    name = option(extra, "--partition", "-p")
    command = ["sinfo", "--noheader", f"--format={FORMAT}"]
    shown = slurm.ask(*command, *([f"--partition={name}"] if name else []), attempts=1)
    lines = [line.split("|") for line in shown.splitlines() if line.count("|") == 4]
    if name is None:
        chosen = [line for line in lines if line[0].endswith("*")]
    else:
        chosen = [line for line in lines if line[0].rstrip("*") == name.split(",")[0]]
    if not chosen:
        return None
    nodes = cpus = gpus = 0
    for _, _, count, cores, gres in chosen:  # a line for each kind of node
        nodes += int(count)
        cpus += int(count) * int(cores.rstrip("+"))
        gpus += int(count) * sum(map(int, re.findall(r"gpu(?::[^:,()]+)?:(\d+)", gres)))
    return Partition(chosen[0][0].rstrip("*"), chosen[0][1], nodes, cpus, gpus)


def would_start(command: Sequence[str]) -> str:
    """What `sbatch --test-only` says about a command: when it would start, or why it would not."""
    program, *words = command
    try:
        done = subprocess.run([program, "--test-only", *words], capture_output=True, text=True,
                              timeout=slurm.TIMEOUT)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "unknown: sbatch --test-only did not answer"
    said = " ".join((done.stderr.strip() or done.stdout.strip()).split())
    if match := re.search(r"to start at (\S+)", said):
        return f"at {match[1]}"
    return f"unknown: {said or f'exit code {done.returncode}'}"
