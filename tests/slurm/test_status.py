"""`make status` beside a real controller that has no accounting: squeue and logs tell."""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from cluster import Cluster, until

from lib.config.load import load_study
from lib.runs.attempts import FILE
from lib.runs.files import write_json
from tests.conftest import REPOSITORY
from tests.half_done import submitted

# A task that has begun a point, and does not end.
BEGUN = """#!/bin/bash
#SBATCH --array=0 --no-requeue --output=logs/train-%A_%a.out
cd {repository} && exec {python} - <<'PYTHON'
import os, time
from pathlib import Path
from lib.runs.attempts import attempt
from lib.runs.directory import locked
from stages.command import who
with locked(Path("{directory}"), who()), attempt(Path("{directory}"), "train", os.environ):
    print("begun", flush=True)
    time.sleep(600)
PYTHON
"""


@pytest.mark.slow
def test_how_slurm_ended_a_task_is_told(
    cluster: Cluster, tmp_path: Path, write_study, run_stage, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    study = load_study(write_study())
    directory = study.point(0).directory
    Path("logs").mkdir()
    Path("task.sh").write_text(
        BEGUN.format(repository=REPOSITORY, python=sys.executable, directory=directory)
    )

    def train() -> dict[str, str]:
        ended = run_stage("status", study.path, "--json")
        assert (ended.code, ended.err) == (0, "")
        return json.loads(ended.out)["points"][0]["stages"]["train"]

    def begin() -> int:
        (directory / FILE).unlink(missing_ok=True)
        job = cluster.sbatch("task.sh", cwd=tmp_path)
        submitted(study, str(job))
        until(lambda: (directory / FILE).exists())
        return job

    # The node goes down under the task, and comes back.
    job = begin()
    node = cluster.run("sinfo", "--noheader", "--format=%n").split()[0]
    running = ("running", f"{job}_0", node)
    assert (train()["state"], train()["task"], train()["node"]) == running

    # The controller is restarted: the task goes on, and is never said to have failed.
    controller = int((cluster.directory / "slurmctld.pid").read_text())
    os.kill(controller, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{controller}").exists())
    ended = run_stage("status", study.path, "--json")
    told = json.loads(ended.out)["points"][0]["stages"]["train"]
    assert (ended.code, told["state"] in ("running", "unknown")) == (0, True)
    cluster.run("slurmctld", "-f", cluster.env["SLURM_CONF"])
    until(lambda: not run_stage("status", study.path, "--json").err)  # it answers again
    until(lambda: (train()["state"], train()["task"], train()["node"]) == running)

    cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    cluster.wait(job)
    with suppress(RuntimeError):  # it has come back by itself
        cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
    until(lambda: "idle" in cluster.run("sinfo", "--noheader", "--format=%t"))
    until(lambda: train()["state"] == "failed")
    assert (train()["reason"], train()["node"]) == ("node failure", node)

    # It is cancelled, with what waits behind it.
    job = begin()
    behind = cluster.sbatch(f"--dependency=afterok:{job}", "task.sh", cwd=tmp_path)
    submitted(study, str(behind))
    assert train()["state"] == "running"
    cluster.run("scancel", behind)
    cluster.run("scancel", job)
    cluster.wait(job)
    (study.directory / "arrays" / f"{behind}.json").unlink()
    until(lambda: train()["state"] == "failed")
    assert train()["reason"] == "cancelled"
    assert train()["log"] == f"logs/train-{job}_0.out"

    # The controller has forgotten the task: its attempt is open, and nobody knows.
    write_json(study.directory / "arrays" / "99999.json", {"grid": "of no task"})
    entry = json.loads((directory / FILE).read_text())[-1] | {"job": "99999", "end": None}
    write_json(directory / FILE, [entry | {"how": None, "exit": None}])
    (directory / ".lock").write_text("elsewhere (0), process 1, job 99999_0")
    (study.directory / "arrays" / f"{job}.json").unlink()
    assert train()["state"] == "unknown"
