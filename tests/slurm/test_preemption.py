"""Preemption by jobs of a partition of higher priority: the unmodified templates, stand-in stages.

`grace`: PreemptMode=REQUEUE with GraceTime. SLURM sends TERM to the stage alone, and would requeue
the job at the end of the grace. `cancel`: PreemptMode=CANCEL. TERM goes to all of the job, KILL
follows after KillWait, and SLURM itself requeues nothing.
"""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from cluster import Cluster, until
from stand_in import calls, make_project

pytestmark = pytest.mark.slow

PLAN = {
    0: "stop",  # in `grace`
    1: "deaf",  # in `grace`, before the handler is set
    10: "stop",  # in `cancel`
    20: "ignore",  # in `cancel`: only KILL ends it
    21: 0,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("preempted"), PLAN)


@pytest.fixture(scope="module")
def ended(cluster: Cluster, project: Path, path: dict[str, str]) -> SimpleNamespace:
    """Preempt all at once; return the ends of elements, and those of each successor."""

    def submit(partition: str, array: str, *options: str) -> int:
        wanted = f"--partition={partition}", f"--array={array}", "--mem=1G", *options
        return cluster.sbatch(*wanted, "sbatch/train.sbatch", cwd=project, env=path)

    grace, cancel = submit("grace", "0-1"), submit("cancel", "10")
    killed = submit("cancel", "20-21")
    options = "--kill-on-invalid-dep=yes", f"--dependency=afternotok:{killed}"
    first = submit("cancel", "20-21", *options)
    second = submit("cancel", "20-21", options[0], f"{options[1]}:{first}")
    for index in (0, 1, 10, 20):
        until((project / f"ready-{index}-0").exists)
    options = "--partition=high", "--gres=gpu:16", "--output=high.out"
    high = cluster.sbatch(*options, "--wrap=true", cwd=project)
    cluster.wait(high)
    jobs = (grace, cancel, killed, first, second)
    ends = [cluster.wait(job) for job in jobs]
    points = {
        int(name.partition("_")[2]): end for of_job in ends[:3] for name, end in of_job.items()
    }
    return SimpleNamespace(points=points, first=ends[3], second=ends[4])


@pytest.mark.parametrize("index", [0, 1, 10])
def test_term_from_preemption_stops_and_requeues(ended, project, index):
    """By the template: it has ended before SLURM would requeue it, or SLURM would not."""
    assert ended.points[index] == ("COMPLETED", 0, 1)
    assert [call["restarts"] for call in calls(project, "train", index)] == [0, 1]
    [log] = (project / "logs").glob(f"train-*_{index}.out")
    assert re.search(rf"preempted: requeueing \d+_{index}", log.read_text())


def test_what_a_kill_leaves_undone_a_successor_does(ended, project):
    assert ended.points[20][0] == "PREEMPTED"
    assert set(ended.first.values()) == {("COMPLETED", 0, 0)}
    assert len(calls(project, "train", 20)) == 2


def test_a_successor_that_is_not_needed_never_starts(ended, project):
    assert {state for state, _, _ in ended.second.values()} == {"CANCELLED"}
    assert len(calls(project, "train", 21)) == 2  # by the array, and by its first successor
