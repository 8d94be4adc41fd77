"""The unmodified templates through a real sbatch, with the real stages on a tiny model.

All jobs of `ended` run side by side, and there are few: each that trains or predicts imports for
ten seconds.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster import Cluster, until

from lib.config.load import load_study
from lib.config.study import Study
from lib.runs.code import code_digest
from lib.runs.files import read_json, read_jsonl
from stages import stage1_generate_datasets
from tests.conftest import REPOSITORY, study_text

pytestmark = pytest.mark.slow

LONG = 300  # seconds to wait at most, for a machine with other things to do
STEPS = 300  # of the long point: enough for a signal to come amid them
TASK = {"gpus": 0, "cpus": 1, "memory": "1G", "time": "00:10:00"}


@pytest.fixture(scope="module")
def env(cluster: Cluster) -> dict[str, str]:
    """Return what a user of this cluster has in the environment; `python` is the tests' own."""
    path = f"{Path(sys.executable).parent}:{cluster.env['PATH']}"
    return cluster.env | {"PATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout of its own, which a test may edit: code and configs, empty results."""
    root = tmp_path_factory.mktemp("pipeline")
    for name in ("sbatch", "stages", "lib", "configs"):
        shutil.copytree(REPOSITORY / name, root / name)
    (root / "logs").mkdir()
    return root


@pytest.fixture(scope="module")
def write(project: Path, tiny_model: Path) -> Callable[..., str]:
    """Return a function that writes a study of three points into the checkout."""

    def write(name: str, changes: Mapping[str, Any] | None = None) -> str:
        common = {"model.name": str(tiny_model), "slurm": {"train": TASK, "infer": TASK}}
        text = study_text(common | dict(changes or {}), ())
        (project / f"{name}.yaml").write_text(text, encoding="utf-8")
        return f"{name}.yaml"

    return write


def make_data(project: Path, write: Callable[..., str]) -> None:
    """Run stage 1 for small.yaml, and copy its data for the study with the same data."""
    small = write("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert stage1_generate_datasets.main([small]) == 0
    shutil.copytree(project / "results/small/data", project / "results/changed/data")


@pytest.fixture(scope="module")
def ended(
    cluster: Cluster,
    project: Path,
    env: dict[str, str],
    write: Callable[..., str],
) -> SimpleNamespace:
    """Run all jobs; return ids (`jobs`), how their elements ended (`ends`), and `demo`'s output."""
    make_data(project, write)
    small = write(
        "small",
        {
            "variants/accept/train.epochs": STEPS // 3,
            "variants/reject/data.ratio": "1:3",  # for which stage 1 made no split
        },
    )
    demo = write(
        "demo",
        {
            "grid": [{"variant": ["baseline", "accept"], "gamma": 2}],
            "variants/baseline/train.weighted_class": "reject",
            "slurm": {"train": TASK | {"points": 2}, "infer": TASK | {"points": 2}},
        },
    )
    at = {"cwd": project, "env": env}
    jobs = submit_and_edit(cluster, project, write, at)
    jobs["small"] = cluster.sbatch("--array=0-3", "sbatch/train.sbatch", small, **at)
    command = [sys.executable, "-m", "stages.demo", demo]
    process = subprocess.Popen(
        command, **at, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        log = project / "results/small/accept_gamma2/train.jsonl"
        until(lambda: log.exists() and '"step": 25,' in log.read_text(), LONG)
        cluster.signal(f"{jobs['small']}_1", signal.SIGUSR2)
        ends = {}
        for name, job in jobs.items():
            for element, end in cluster.wait(job, LONG).items():
                ends[f"{name}_{element.partition('_')[2]}"] = end
        said, _ = process.communicate(timeout=LONG)
    finally:
        process.kill()
    return SimpleNamespace(jobs=jobs, ends=ends, demo=(process.returncode, said))


def submit_and_edit(
    cluster: Cluster, project: Path, write: Callable[..., str], at: Mapping[str, Any]
) -> dict[str, int]:
    """Submit all of a study of one point, and edit study and code before its first task starts.

    Return stage → job.
    """
    one = {"grid": [{"variant": "baseline", "gamma": 1}]}
    held = {"train": TASK | {"extra": ["--hold"]}, "infer": TASK,
            "evaluate": {"cpus": 1, "memory": "1G", "time": "00:10:00"}}  # fmt: skip
    changed = write("changed", one | {"slurm": held})
    cluster.run(sys.executable, "-m", "stages.submit", "all", changed, **at)
    jobs = read_json(project / "results/changed/jobs.json")
    write("changed", {"grid": [{"variant": "accept", "gamma": 4}]})
    with (project / "lib" / "__init__.py").open("a") as file:
        file.write("# edited\n")
    cluster.run("scontrol", "release", jobs["train"][0])
    return {stage: int(job) for stage, [job] in jobs.items()}


def study_in(project: Path, path: str) -> Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return load_study(path)


def errors(project: Path, job: int, task: int) -> list[str]:
    """Return the lines of an element's log that a user would look at."""
    text = (project / f"logs/train-{job}_{task}.out").read_text()
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith("error: ")]


class TestArray:
    """`sbatch --array=0-3 sbatch/train.sbatch small.yaml`: two points of three can be trained."""

    def test_each_element_trains_its_point(self, ended, project):
        assert ended.ends["small_0"] == ("COMPLETED", 0, 0)
        assert ended.ends["small_1"] == ("COMPLETED", 0, 1)
        job = ended.jobs["small"]
        for point in list(study_in(project, "small.yaml").points())[:2]:
            directory = project / point.directory
            assert (directory / "model" / "model.safetensors").exists()
            assert not (directory / "checkpoints").exists()
            assert read_json(directory / "done" / "train.json")["status"] == "done"
            record = read_json(directory / "config.json")
            assert record["point"] == point.name
            assert record["config"]["train"] == point.config.train.model_dump()
            assert record["slurm"]["SLURM_ARRAY_JOB_ID"] == str(job)
            assert record["slurm"]["SLURM_ARRAY_TASK_ID"] == str(point.index)
            log = (project / f"logs/train-{job}_{point.index}.out").read_text()
            steps = STEPS if point.index == 1 else 3
            assert f"{point.name}: done after {steps} steps" in log

    def test_each_element_has_its_log(self, ended, project):
        job = ended.jobs["small"]
        logs = sorted((project / "logs").glob(f"*-{job}_*"))
        assert [log.name for log in logs] == [f"train-{job}_{task}.out" for task in range(4)]

    @pytest.mark.parametrize(
        "task, said",
        [
            (2, r"no split '\S+' for reject_\S+; run stage 1 again"),
            (3, r"3.*(range|0.?-.?2|0 to 2)"),
        ],
    )
    def test_one_line_says_why_and_nothing_comes_back(self, ended, project, task, said):
        assert ended.ends[f"small_{task}"] == ("FAILED", 2, 0)
        [line] = errors(project, ended.jobs["small"], task)
        assert re.search(said, line)

    def test_a_signal_amid_a_run_is_a_checkpoint_and_a_requeue_of_that_element(
        self, ended, project
    ):
        """That the weights are those of a run without a break: training/test_loop.py."""
        text = (project / f"logs/train-{ended.jobs['small']}_1.out").read_text()
        assert re.search(
            rf"stopped by SIGUSR2 at step (\d+) of {STEPS}, checkpoint kept.*"
            rf"requeueing {ended.jobs['small']}_1 \(1 of at most 20 times\).*"
            rf"done after {STEPS} steps",
            text,
            re.DOTALL,
        )
        record = read_json(project / "results/small/accept_gamma2/config.json")
        assert record["slurm"]["SLURM_RESTART_COUNT"] == "1"
        rows = read_jsonl(project / "results/small/accept_gamma2/train.jsonl")
        assert [row["step"] for row in rows] == list(range(1, STEPS + 1))


def test_a_chain_runs_what_was_submitted_to_its_figures(ended, project):
    """Both the study file and the code were edited while all of it was queued."""
    ends = {name: end for name, end in ended.ends.items() if not name.startswith("small")}
    assert ends == dict.fromkeys(("train_0", "infer_0", "evaluate_"), ("COMPLETED", 0, 0))
    results = project / "results/changed"
    [trained] = results.glob("*/predictions.jsonl")
    assert trained.parent.name == "baseline_gamma1"
    [kept] = results.glob("submissions/*/submission.json")
    submitted, ran = read_json(kept), read_json(trained.parent / "config.json")
    assert ran["code"] == submitted["code"] != code_digest(project)
    assert (results / "submissions" / f"code-{ran['code']}" / "lib" / "losses.py").exists()
    assert [job["job"] for job in submitted["jobs"]] == [
        str(ended.jobs[stage]) for stage in ("train", "infer", "evaluate")
    ]
    assert (results / "report.html").exists()
    assert list((results / "comparison").glob("comparison_*.pdf"))


def test_demo_goes_through_slurm_to_its_end(ended, project):
    code, said = ended.demo
    assert code == 0, said
    jobs = read_json(project / "results/demo/jobs.json")
    for stage in ("train", "infer"):
        [job] = jobs[stage]
        assert f"submitted {stage} of demo as job {job}" in said
        assert (project / f"logs/{stage}-{job}_0.out").exists()
    for point in study_in(project, "demo.yaml").points():
        directory = project / point.directory
        record = read_json(directory / "config.json")
        assert record["slurm"]["SLURM_ARRAY_JOB_ID"] == jobs["train"][0]
        assert read_json(directory / "metrics.json")
        assert list(directory.glob("*.pdf"))
    comparison = project / "results/demo/comparison"
    assert (comparison / "criteria.md").read_text().strip() in said
    assert list(comparison.glob("comparison_*.png"))


@pytest.mark.parametrize("template", ["train", "infer"])
def test_the_default_array_covers_the_default_study(cluster, project, env, template):
    """Accepted as it stands, without a word; held, since the tiny machine could not run it."""
    job = cluster.sbatch("--hold", f"sbatch/{template}.sbatch", cwd=project, env=env)
    elements = cluster.elements(job)
    cluster.run("scancel", job)
    points = len(study_in(project, "configs/weighted_loss.yaml").grid)
    assert elements == {f"{job}_{task}": ("PENDING", 0, 0) for task in range(points)}


def test_submit_asks_for_what_the_study_says_and_chains(cluster, project, env, write):
    """infer waits for the train that is still queued, index by index, and falls with it."""
    held = TASK | {"extra": ["--hold", "--comment=mine"]}
    study = write("queued", {"slurm": {"train": held, "infer": TASK | {"points": 1}}})

    def submit(stage: str) -> str:
        said = cluster.run(
            sys.executable, "-m", "stages.submit", stage, study, cwd=project, env=env
        )
        job = read_json(project / "results/queued/jobs.json")[stage][0]
        assert f"submitted {stage} of queued as job {job}" in said
        assert len(cluster.elements(int(job))) == 3
        return job

    train = submit("train")
    shown = cluster.run("scontrol", "--oneliner", "show", "job", train)
    assert "Comment=mine" in shown
    assert "TimeLimit=00:10:00" in shown
    assert "MinMemoryNode=1G" in shown
    assert "gres" not in shown
    infer = submit("infer")
    shown = cluster.run("scontrol", "--oneliner", "show", "job", infer)
    assert f"Dependency=aftercorr:{train}_*" in shown
    assert read_json(project / "results/queued/jobs.json").keys() == {"train", "infer"}
    command = [sys.executable, "-m", "stages.submit", "train", study]
    said = cluster.run(*command, cwd=project, env=env)
    assert f"queued already: job {train}: points 0-2 (3 PENDING)" in said
    assert "nothing to submit" in said
    said = cluster.run(sys.executable, "-m", "stages.status", study, cwd=project, env=env)
    assert f"reject_gamma2: train queued: held (job {train}_2)" in said
    cluster.run("scancel", train)
    states = {state for state, _, _ in cluster.wait(int(infer), LONG).values()}
    assert states == {"CANCELLED"}
    assert not list((project / "logs").glob(f"*-{infer}_*"))


def test_more_points_than_an_array_may_have_are_several(cluster, project, env, write):
    """1,200 points where MaxArraySize is 1001: none lost, none twice, none submitted again."""
    held = TASK | {"extra": ["--hold"]}
    gammas = list(range(2, 1201))
    grid = [{"variant": "baseline", "gamma": 1}, {"variant": "accept", "gamma": gammas}]
    study = write("many", {"grid": grid, "slurm": {"train": held, "infer": TASK}})
    command = [sys.executable, "-m", "stages.submit", "train", study]
    cluster.run(*command, cwd=project, env=env)
    jobs = read_json(project / "results/many/jobs.json")["train"]
    shares = [len(cluster.elements(int(job))) for job in jobs]
    assert (len(jobs), sum(shares)) == (2, 1200)
    again = cluster.run(*command, cwd=project, env=env)
    assert "nothing to submit" in again
    said = cluster.run(sys.executable, "-m", "stages.status", study, "--json", cwd=project, env=env)
    stages = [point["stages"]["train"] for point in json.loads(said)["points"]]
    named = {stage["task"] for stage in stages}
    for job in jobs:
        cluster.run("scancel", job)
    assert len(named) == 1200
    assert {stage["state"] for stage in stages} == {"queued"}
