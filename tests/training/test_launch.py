"""Ranks of one point share the CPUs that this process may use, and do not outlive it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lib.config.schema import Train
from lib.training.launch import launch, needs_ranks
from tests.conftest import REPOSITORY

WRITE = "import os; open(os.environ['RANK'], 'w').write(os.environ['OMP_NUM_THREADS'])"


@pytest.mark.parametrize(
    ("allowed", "ranks", "given", "threads"),
    [
        (8, 2, {}, "4"),
        (1, 2, {}, "1"),
        (8, 2, {"OMP_NUM_THREADS": "3"}, "3"),
        (8, 2, {"OMP_NUM_THREADS": "8"}, "4"),  # of the task, as sbatch/env.sh gives it
        (8, 2, {"OMP_NUM_THREADS": "4,2"}, "4"),
    ],
)
def test_threads_of_a_rank(allowed, ranks, given, threads, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)))
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    environ = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | given
    assert launch([sys.executable, "-S", "-c", WRITE], ranks, environ, 75) == 0
    assert [(tmp_path / str(rank)).read_text() for rank in range(ranks)] == [threads] * ranks


def test_ranks_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """They would hold their GPUs, and the point's lock."""
    rank = "import os, time; open(os.environ['RANK'], 'w').write(str(os.getpid())); time.sleep(60)"
    start = (
        "import os, sys; from lib.training.launch import launch; "
        f"os.chdir({str(tmp_path)!r}); launch([sys.executable, '-S', '-c', {rank!r}], 2, "
        "dict(os.environ), 75)"
    )
    parent = subprocess.Popen([sys.executable, "-c", start], cwd=REPOSITORY)
    files = [tmp_path / "0", tmp_path / "1"]
    deadline = time.monotonic() + 30
    while not all(path.exists() and path.read_text() for path in files):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ranks = [psutil.Process(int(path.read_text())) for path in files]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, left = psutil.wait_procs(ranks, timeout=10)
    for process in left:
        process.kill()
    assert not left


def test_fsdp_takes_a_rank_also_for_one_process() -> None:
    assert not needs_ranks(Train())
    assert needs_ranks(Train(processes=2))
    assert needs_ranks(Train(fsdp="configs/launchers/fsdp.yaml"))
