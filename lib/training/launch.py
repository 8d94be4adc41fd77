"""Several ranks for one point: start them, pass signals on, end together.

The ranks find each other by torch.distributed's own environment variables, so that `torchrun -m
stages.stage2_train …` starts the same ranks. torchrun itself cannot be used from a job that is to
be stopped: it dies of USR2, and gives its workers 30 s between TERM and KILL, too few for a
checkpoint of a large model.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO

from lib.config.schema import Train
from lib.runs.children import end_with_parent

GRACE = 30.0  # seconds that ranks get to end once one of them has failed


def needs_ranks(train: Train) -> bool:
    """Whether a point is trained by processes that this module starts; FSDP takes one as well."""
    return train.processes > 1 or train.fsdp is not None


def launch(
    command: Sequence[str],
    processes: int,
    environ: Mapping[str, str],
    resumable: int,
    lock: IO | None = None,
) -> int:
    """Run `command` as ranks 0 … processes − 1 of one host; returns the exit code.

    `resumable`: the code that says "stopped on request", and which all ranks end with together.
    Any other code above 0 is a failure: the ranks left are ended, and it is returned.
    lock: a locked file, which stays locked as long as any rank lives, also after this process.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = []
    for rank in range(processes):
        placed = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": processes,
            "LOCAL_WORLD_SIZE": processes,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        env = {
            **environ,
            "OMP_NUM_THREADS": str(threads_each(environ.get("OMP_NUM_THREADS", ""), processes)),
            **{k: str(v) for k, v in placed.items()},
        }
        held = (lock.fileno(),) if lock else ()
        # Should this process be killed, the kernel ends the ranks: they hold GPUs and the lock.
        ranks.append(
            subprocess.Popen(list(command), env=env, pass_fds=held, preexec_fn=end_with_parent())
        )

    def pass_on(number: int, frame: object) -> None:
        for rank in ranks:
            if rank.poll() is None:
                rank.send_signal(number)
        if number != signal.SIGINT and callable(own := before[number]):
            own(number, frame)  # this process stops too, before its next point

    passed = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in passed}
    for number in passed:
        signal.signal(number, pass_on)
    try:
        return _wait(ranks, resumable)
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def threads_each(given: str, processes: int) -> int:
    """Threads of one of several processes: its share of this process's CPUs, or fewer where given.

    What is given may be for the whole task: sbatch/env.sh gives the CPUs that SLURM does.
    """
    share = max(1, len(os.sched_getaffinity(0)) // processes)
    return min(share, int(given)) if given.isdecimal() and int(given) else share


def _wait(ranks: Sequence[subprocess.Popen], resumable: int) -> int:
    deadline = None
    failure = 0
    while any(rank.poll() is None for rank in ranks):
        codes = [rank.poll() for rank in ranks]
        failed = [code for code in codes if code not in (None, 0, resumable)]
        if failed and deadline is None:
            failure = failed[0]
            deadline = time.monotonic() + GRACE
            for rank in ranks:
                if rank.poll() is None:
                    rank.terminate()
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(0.1)
    codes = [rank.poll() for rank in ranks]
    failure = failure or next((c for c in codes if c not in (0, resumable)), 0) or 0
    if failure:
        return failure if failure > 0 else 128 - failure
    return resumable if resumable in codes else 0
