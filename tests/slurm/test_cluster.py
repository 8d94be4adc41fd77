"""The private SLURM itself: what the other tests of this folder build on."""

import os
import time
from pathlib import Path

import pytest
from cluster import Cluster, reason_to_skip, until

SCRIPT = """#!/usr/bin/env bash
#SBATCH --array=0-2 --gres=gpu:1 --output=%a.out
echo "$CUDA_VISIBLE_DEVICES"
if [[ $SLURM_ARRAY_TASK_ID == 1 ]]; then exit 3; fi
"""


def processes(directory: Path) -> list[str]:
    """Return the command lines that name the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it ended meanwhile
            continue
        if f"{directory}/" in line and process.name != str(os.getpid()):
            found.append(line)
    return found


@pytest.mark.slow
def test_states_codes_and_gpus_are_read_back(cluster: Cluster, tmp_path: Path):
    (tmp_path / "job.sh").write_text(SCRIPT)
    job = cluster.sbatch("job.sh", cwd=tmp_path)
    assert cluster.wait(job) == {
        f"{job}_0": ("COMPLETED", 0, 0),
        f"{job}_1": ("FAILED", 3, 0),
        f"{job}_2": ("COMPLETED", 0, 0),
    }
    assert all((tmp_path / f"{task}.out").read_text().strip().isdigit() for task in range(3))


@pytest.mark.slow
def test_pending_elements_are_told_apart(cluster: Cluster, tmp_path: Path):
    job = cluster.sbatch("--array=0-4:2,7", "--hold", "--wrap=true", cwd=tmp_path)
    assert cluster.elements(job) == {f"{job}_{task}": ("PENDING", 0, 0) for task in (0, 2, 4, 7)}
    cluster.run("scancel", job)
    assert {state for state, _, _ in cluster.wait(job).values()} == {"CANCELLED"}


@pytest.mark.slow
def test_a_second_one_lives_beside_and_stop_leaves_nothing(cluster: Cluster, tmp_path: Path):
    with Cluster(tmp_path / "slurm") as second:
        stays = f"tail -f {second.directory}/slurm.conf"
        job = second.sbatch("--output=1.out", f"--wrap=setsid {stays} & sleep 0.1", cwd=tmp_path)
        assert second.wait(job) == {str(job): ("COMPLETED", 0, 0)}
        second.sbatch("--output=2.out", f"--wrap={stays}", cwd=tmp_path)
        until(lambda: sum(stays in line for line in processes(second.directory)) == 2)
    time.sleep(0.1)  # a killed process may still be leaving
    assert processes(second.directory) == []
    assert len(processes(cluster.directory)) >= 3


def test_the_reason_to_skip_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in (reason_to_skip() or "")
