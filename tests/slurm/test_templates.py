"""The templates, unmodified, through a real sbatch and under plain bash, with stand-in stages."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from cluster import Cluster, until
from stand_in import calls, make_project

REPOSITORY = Path(__file__).parents[2]

PLAN = {1: 1, 2: 2, 3: "stop", 5: "always", 7: "deaf", 9: "always", 20: "stop"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"), PLAN)


@pytest.mark.slow
class TestUnderSlurm:
    """One whole train array, a chained infer array and a job that is no array, run at once."""

    @pytest.fixture(scope="class")
    def ended(self, cluster: Cluster, project: Path, path: dict[str, str]) -> dict[str, tuple]:
        """Map train_0 … infer_18 and single to (state, exit code, restarts)."""
        env = path | {"MAX_REQUEUES": "1"}
        train = cluster.sbatch("sbatch/train.sbatch", cwd=project, env=env)
        chain = f"--dependency=aftercorr:{train}", "--kill-on-invalid-dep=yes"
        infer = cluster.sbatch(*chain, "sbatch/infer.sbatch", cwd=project, env=env)
        template = (project / "sbatch/train.sbatch").read_text()
        (project / "single.sbatch").write_text(template.replace("#SBATCH --array=0-18\n", ""))
        # Of one minute's time all is within 120 s of its end: SLURM's own signal comes at once,
        # at the next of its checks, which are 30 s apart.
        single = cluster.sbatch("--time=1", "single.sbatch", "--index", 20, cwd=project, env=env)

        for ready, element in {
            "3-0": f"{train}_3",
            "5-0": f"{train}_5",
            "7-0": f"{train}_7",
            "5-1": f"{train}_5",
            "9-0": f"{train}_9",
        }.items():
            until((project / f"ready-{ready}").exists)
            if element == f"{train}_9":
                cluster.run("scancel", element)
            else:
                cluster.signal(element, signal.SIGUSR2)
        jobs = {f"{train}_": "train_", f"{infer}_": "infer_", f"{single}": "single"}
        ends = cluster.wait(train) | cluster.wait(infer) | cluster.wait(single)
        return {re.sub(r"^\d+_?", lambda job: jobs[job[0]], name): ends[name] for name in ends}

    def test_the_whole_array_runs_without_a_word(self, ended, project):
        assert {f"train_{index}" for index in range(19)} <= ended.keys()
        for index in range(19):
            for call in calls(project, "train", index):
                assert call["argv"] == ["--index", str(index)]
                assert len(call["gpus"].split(",")) == 4

    def test_a_failure_stays_with_its_element(self, ended):
        assert ended["train_1"] == ("FAILED", 1, 0)
        assert ended["train_2"] == ("FAILED", 2, 0)
        for index in set(range(19)) - PLAN.keys():
            assert ended[f"train_{index}"] == ("COMPLETED", 0, 0)

    def test_a_stopped_element_is_requeued_alone_and_resumes(self, ended, project):
        assert ended["train_3"] == ("COMPLETED", 0, 1)
        assert [call["restarts"] for call in calls(project, "train", 3)] == [0, 1]
        [log] = (project / "logs").glob("train-*_3.out")
        assert re.search(r"run 0 of 3.*requeueing \d+_3 .*run 1 of 3", log.read_text(), re.DOTALL)

    def test_a_signal_before_the_handler_costs_no_point(self, ended, project):
        assert ended["train_7"] == ("COMPLETED", 0, 1)
        [log] = (project / "logs").glob("train-*_7.out")
        assert "run 0 of 7" in log.read_text()  # not lost in a buffer when it was killed

    def test_requeues_are_limited(self, ended, project):
        assert ended["train_5"] == ("FAILED", 75, 1)
        [log] = (project / "logs").glob("train-*_5.out")
        assert "not requeued" in log.read_text()

    def test_a_cancelled_element_does_not_come_back(self, ended, project):
        assert ended["train_9"] == ("CANCELLED", 75, 0)
        assert len(calls(project, "train", 9)) == 1

    def test_slurm_itself_stops_a_job_before_its_time_is_over(self, ended, project):
        """Before the stage has started, too: then only the second run of two has called it."""
        assert ended["single"] == ("COMPLETED", 0, 1)
        last = calls(project, "train", 20)[-1]
        assert (last["argv"], last["restarts"]) == (["--index", "20"], 1)

    def test_the_chain_goes_on_where_training_came_to_its_end(self, ended, project):
        for index in range(19):
            done = ended[f"train_{index}"][0] == "COMPLETED"
            assert ended[f"infer_{index}"][:2] == ("COMPLETED" if done else "CANCELLED", 0)
            assert len(calls(project, "infer", index)) == done
        assert len(calls(project, "infer", 0)[0]["gpus"].split(",")) == 1

    def test_arguments_arrive_unchanged(self, cluster, project, path):
        words = ["configs/demo.yaml", "train.lr=1e-4", "note=two  words, $HOME", "--offset", "30"]
        job = cluster.sbatch("--array=4", "sbatch/train.sbatch", *words, cwd=project, env=path)
        assert cluster.wait(job) == {f"{job}_4": ("COMPLETED", 0, 0)}
        assert calls(project, "train", 4)[-1]["argv"] == [*words, "--index", "4"]


class TestUnderPlainBash:
    """The same files without SLURM, from another directory."""

    @pytest.fixture
    def bash(self, project: Path, path: dict[str, str], tmp_path: Path):
        """Return a function that starts a template."""
        outside = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}

        def start(template: str, *args: str, **env: str) -> subprocess.Popen[str]:
            return subprocess.Popen(
                ["bash", project / "sbatch" / template, *args],
                cwd=tmp_path,
                env=outside | path | env,
                stderr=subprocess.PIPE,
                text=True,
            )

        return start

    @pytest.mark.parametrize("code", [0, 1, 2, 75])
    def test_the_exit_code_passes_through(self, bash, project, code):
        (project / "plan.json").write_text(json.dumps(PLAN | {30 + code: code}))
        assert bash("train.sbatch", SLURM_ARRAY_TASK_ID=str(30 + code)).wait() == code

    def test_an_index_among_the_arguments_wins(self, bash, project):
        words = ["configs/demo.yaml", "--index=200", "a=b c"]
        assert bash("infer.sbatch", *words, SLURM_ARRAY_TASK_ID="3").wait() == 0
        assert calls(project, "infer", 200)[0]["argv"] == words

    def test_a_restart_gets_the_same_arguments(self, bash, project):
        """--force too: the stage knows which points its first run has archived."""
        words = ["configs/demo.yaml", "--force", "a=b c"]
        for count in ("0", "1"):
            given = {"SLURM_ARRAY_TASK_ID": "201", "SLURM_RESTART_COUNT": count}
            assert bash("train.sbatch", *words, **given).wait() == 0
        first, second = (call["argv"] for call in calls(project, "train", 201))
        assert first == second == [*words, "--index", "201"]

    def test_without_an_index_one_line_says_so(self, bash):
        process = bash("train.sbatch", "configs/demo.yaml")
        _, said = process.communicate()
        assert process.returncode == 2
        assert "--index" in said
        assert len(said.splitlines()) == 1

    @pytest.mark.parametrize("name", ["SIGUSR2", "SIGTERM"])
    def test_a_signal_reaches_the_stage(self, bash, project, name):
        index = 300 + signal.Signals[name]
        (project / "plan.json").write_text(json.dumps(PLAN | {index: "stop"}))
        process = bash("train.sbatch", SLURM_ARRAY_TASK_ID=str(index))
        until((project / f"ready-{index}-0").exists)
        process.send_signal(signal.Signals[name])
        assert process.wait() == 75

    def test_the_environment_outside_wins(self, project):
        def sourced(**env: str) -> str:
            command = "source sbatch/env.sh; echo $MAX_REQUEUES $OMP_NUM_THREADS"
            path = {"PATH": os.environ["PATH"]}
            done = subprocess.run(
                ["bash", "-c", command], cwd=project, env=path | env, capture_output=True, text=True
            )
            return done.stdout.strip()

        assert sourced() == "20"
        assert sourced(MAX_REQUEUES="3", SLURM_CPUS_PER_TASK="2") == "3 2"
        assert sourced(OMP_NUM_THREADS="1", SLURM_CPUS_PER_TASK="2") == "20 1"
        assert sourced(CUDA_VISIBLE_DEVICES="0,1", SLURM_CPUS_PER_TASK="2") == "20"


SHOWN = "JobId=12 ArrayJobId=7 Requeue={requeue} Restarts=0 BatchFlag={batch} Reboot=0"
COMMANDS = {
    "srun": 'echo srun >>"$SAID"; while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": """echo "$*" >>"$SAID"
        if [[ $* == *show* ]]; then echo "$SHOWN"; else exit "${REQUEUE_FAILS:-0}"; fi""",
    "sleep": "",  # between two tries to requeue
}


class TestInsideAJob:
    """The templates in a job's environment, with stand-ins for srun and scontrol."""

    @pytest.fixture
    def job(self, project, path, tmp_path):
        """Return a function that runs a template: exit code, what it said, SLURM commands."""
        made = tmp_path / "bin"
        made.mkdir()
        for name, text in COMMANDS.items():
            (made / name).write_text(f"#!/bin/bash\n{text}\n")
            (made / name).chmod(0o755)
        (project / "plan.json").write_text(json.dumps(PLAN | {"400": 75}))

        def run(script: Path, submitted: Path, **more: str) -> tuple[int, str, list[str]]:
            said = tmp_path / "said"
            said.write_text("")
            ids = {"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "400"}
            done = subprocess.run(
                ["bash", script, "configs/demo.yaml"],
                cwd=tmp_path,
                env={
                    "PATH": f"{made}:{path['PATH']}",
                    "SAID": str(said),
                    "SHOWN": SHOWN.format(requeue=1, batch=1),
                    "SLURM_SUBMIT_DIR": str(submitted),
                    **ids,
                    **more,
                },
                capture_output=True,
                text=True,
                timeout=60,
            )
            return done.returncode, done.stderr, said.read_text().splitlines()

        return run

    @pytest.fixture
    def spooled(self, project, tmp_path) -> Path:
        """Return what slurmd runs: a copy of the template, in a directory of its own."""
        script = tmp_path / "spool" / "job00012" / "slurm_script"
        script.parent.mkdir(parents=True)
        shutil.copy(project / "sbatch" / "train.sbatch", script)
        return script

    def test_a_batch_job_is_requeued(self, job, spooled, project):
        code, said, commands = job(spooled, project)
        assert (code, commands[-1]) == (75, "requeue 7_400")
        assert "requeueing 7_400 (1 of at most 20 times)" in said

    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ({"SHOWN": SHOWN.format(requeue=0, batch=1)}, "submitted with --no-requeue"),
            ({"SHOWN": SHOWN.format(requeue=1, batch=0)}, "7_400 is no batch job"),
            ({"SLURM_RESTART_COUNT": "20"}, "it was, 20 times"),
            ({"FRUITLESS": "3"}, ""),  # stages.restarts has said why
        ],
    )
    def test_no_requeue_is_claimed_that_is_none(self, job, spooled, project, more, expected):
        code, said, commands = job(spooled, project, **more)
        assert code == 75
        assert expected in said
        assert "requeueing" not in said
        assert not any(command.startswith("requeue") for command in commands)

    def test_preemption_counts_for_nothing(self, job, spooled, project):
        """Neither MAX_REQUEUES nor a lack of progress keeps a preempted task from its requeue."""
        shown = SHOWN.format(requeue=1, batch=1) + " PreemptTime=2026-01-01T00:00:00"
        more = {"SHOWN": shown, "SLURM_RESTART_COUNT": "20", "FRUITLESS": "3"}
        code, said, commands = job(spooled, project, **more)
        assert (code, commands[-1]) == (75, "requeue 7_400")
        assert "preempted: requeueing 7_400" in said

    def test_a_requeue_that_fails_is_said(self, job, spooled, project):
        code, said, commands = job(spooled, project, REQUEUE_FAILS="1")
        assert (code, commands.count("requeue 7_400")) == (75, 3)
        assert "not requeued: scontrol requeue 7_400 failed" in said

    def test_what_cannot_be_asked_keeps_no_job_from_its_requeue(self, job, spooled, project):
        assert job(spooled, project, SHOWN="", FRUITLESS="1")[2][-1] == "requeue 7_400"

    @pytest.mark.parametrize("step", [None, "0"])
    def test_an_interactive_allocation_runs_the_code_beside_the_script(
        self, job, project, tmp_path, step
    ):
        other = tmp_path / "other"
        shutil.copytree(REPOSITORY / "sbatch", other / "sbatch")
        before = len(calls(project, "train", 400))
        script = project / "sbatch" / "train.sbatch"
        code, said, commands = job(script, other, **({"SLURM_STEP_ID": step} if step else {}))
        assert (code, said) == (75, "")
        assert len(calls(project, "train", 400)) == before + 1
        assert commands == ([] if step else ["srun"])  # a step could start no other

    def test_where_it_looked_is_said(self, job, spooled, tmp_path):
        code, said, commands = job(spooled, tmp_path)
        assert (code, commands, said.count("\n")) == (2, [], 1)
        assert f"no run.sh in {spooled.parent} or {tmp_path}/sbatch" in said


def test_the_template_asks_for_what_the_default_study_does(monkeypatch) -> None:
    """Submitted by hand it gets the same GPUs, memory, time, and warning before its end."""
    from lib.config.load import load_study
    from lib.slurm.submission import sbatch_command

    monkeypatch.chdir(REPOSITORY)
    template = Path("sbatch/train.sbatch").read_text().splitlines()
    header = [line.split()[1] for line in template if line.startswith("#SBATCH ")]
    asked = sbatch_command(load_study("configs/weighted_loss.yaml"), "train", [0])
    resources = ("--gres", "--cpus-per-task", "--mem", "--time", "--signal")
    for option in (word for word in asked if word.startswith(resources)):
        assert option in header
    longer = load_study("configs/weighted_loss.yaml", ["slurm.train.warning=900"])
    assert "--signal=B:USR2@900" in sbatch_command(longer, "train", [0])
