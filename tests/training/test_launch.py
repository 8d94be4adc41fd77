"""Ranks of one point share the CPUs that this process may use, not those of the node."""

import os
import sys
from pathlib import Path

import pytest

from lib.training.launch import launch

WRITE = "import os; open(os.environ['RANK'], 'w').write(os.environ['OMP_NUM_THREADS'])"


@pytest.mark.parametrize(
    ("allowed", "ranks", "given", "threads"),
    [(8, 2, {}, "4"), (1, 2, {}, "1"), (8, 2, {"OMP_NUM_THREADS": "3"}, "3")],
)
def test_threads_of_a_rank(allowed, ranks, given, threads, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)))
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    environ = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | given
    assert launch([sys.executable, "-S", "-c", WRITE], ranks, environ, 75) == 0
    assert [(tmp_path / str(rank)).read_text() for rank in range(ranks)] == [threads] * ranks
