"""`make retry`: what is done about each reason, and with which commands."""

import os
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.runs.attempts import read_attempts
from lib.runs.directory import mark_done
from lib.slurm import reasons
from stages import jobs
from stages.retry import POLICY
from tests.fake_slurm import FakeSlurm
from tests.half_done import begun, entry, failed, logged, submitted

CUDA = "OutOfMemoryError: CUDA out of memory"


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}:{os.environ['PATH']}")
    return fake


@pytest.fixture
def study(write_study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where logs/ is
    made = load_study(write_study({"train.batch_size": 12, "train.micro_batch": 4}))
    submitted(made)
    return made


@pytest.fixture
def retry(run_stage, study):
    """Return a function that runs retry: its lines."""

    def asked(*words: str) -> list[str]:
        ended = run_stage("retry", study.path, *words)
        assert (ended.code, ended.err) == (0, "")
        return ended.out.splitlines()

    return asked


def test_every_reason_has_a_policy() -> None:
    texts = {reason for _, reason in reasons.OF_TEXT}
    more = {reasons.HELD, reasons.KILLED, reasons.EARLY}
    assert POLICY.keys() == {*reasons.OF_STATE.values(), *texts, *more}


NODE, TIME = "DUE TO NODE FAILURE", "DUE TO TIME LIMIT"
MICRO = "again with train.micro_batch={}"
# Attempts, log → what is said, and a word of the command, None where nothing runs.
CASES = {
    "node failure": ([entry()], NODE, "again", "--array=0"),
    "time limit": ([entry()], TIME, "again", "--array=0"),
    "preempted": ([entry()], "DUE TO PREEMPTION", "again", "--array=0"),
    "stopped": ([failed("", 75, how="stopped")], "", "again", "--array=0"),
    # 12 rows a step: of the numbers up to a half, 2 and then 1 divide them.
    "memory": ([failed(CUDA, micro_batch=4)], "", MICRO.format(2), "train.micro_batch=2"),
    "memory again": ([failed(CUDA, micro_batch=4), failed(CUDA, micro_batch=2)], "",
                     MICRO.format(1), "train.micro_batch=1"),
    "memory thrice": ([failed(CUDA, micro_batch=4)] * 3, "", "ask for a GPU with more", None),
    "memory of one row": ([failed(CUDA, micro_batch=1)], "", "(train.micro_batch=1 was too much)",
                          None),
    "what was halved stays so": ([failed(CUDA, micro_batch=4), entry(micro_batch=2)], TIME,
                                 MICRO.format(2), "train.micro_batch=2"),
    "killed": ([entry()], "", "again", "--array=0"),
    "killed thrice": ([entry(reason="killed", how="failed"), entry(reason="killed", how="failed"),
                       entry()], "", "see its log", None),
    "host memory": ([entry()], "oom_kill", "ask for more than slurm.train.memory=128G", None),
    "disk": ([failed("BadInput: x: No space left on device", 2)], "", "free space or quota", None),
    "no progress": ([failed("", 75, how="stopped")], "not requeued: 2 restarts with no newer",
                    "slurm.train.time=48", None),
    "code": ([failed("KeyError: 'x'")], "", "(KeyError: 'x'); correct the code", None),
    "input": ([failed("BadInput: no file", 2)], "", "(BadInput: no file); correct the input", None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_follows_from_a_reason(retry, study, fake_slurm, case) -> None:
    attempts, log, said, word = CASES[case]
    point = study.point(0)
    point.directory.mkdir(parents=True)
    begun(point, *attempts)
    if log:
        logged(study, log)
    shown = retry("--dry-run")
    assert shown[0].startswith(f"{point.name}: train failed: ")
    assert said in shown[0]
    assert fake_slurm.calls("sbatch") == []
    assert read_attempts(point.directory) == attempts
    retry()
    calls = fake_slurm.calls("sbatch")
    if word is None:
        assert (calls, shown[1:]) == ([], ["small: nothing to run again"])
        return
    (command,) = calls
    assert word in command
    assert ("train.micro_batch" in said) == any("micro_batch" in part for part in command)
    assert shown[1].startswith("sbatch ")
    assert word in shown[1].split()
    assert retry() == ["small: nothing failed"]  # it is queued


def test_neither_diverged_nor_missing_nor_running_points_run_again(retry, study, fake_slurm):
    mark_done(study.point(0).directory, "train", {}, [], status="diverged", step=1)
    study.point(1).directory.mkdir(parents=True)
    begun(study.point(1), entry(task="1"))
    fake_slurm.set(queue={"17": {"1": "RUNNING||node"}})
    assert retry() == ["small: nothing failed"]


def test_what_is_held_is_shown_with_the_command_that_releases_it(retry, study, fake_slurm):
    fake_slurm.set(queue={"17": {"2": "PENDING|launch failed requeued held|"}})
    said, _ = retry()
    assert "train queued: held (launch failed requeued held); scontrol release 17_2" in said


def test_a_node_is_left_out_after_two_failures(retry, study, fake_slurm) -> None:
    for index in (0, 1):
        point = study.point(index)
        point.directory.mkdir(parents=True)
        begun(point, entry(task=str(index), node="bad"))
        logged(study, NODE, f"17_{index}")
        retry()
        (noted,) = read_attempts(point.directory)
        assert (noted["reason"], noted["how"]) == ("node failure", "failed")
    first, second = fake_slurm.calls("sbatch")
    assert not [word for word in first if "exclude" in word]
    assert "--exclude=bad" in second
    fake_slurm.set(queue={})
    study.point(2).directory.mkdir(parents=True)
    begun(study.point(2), entry(task="2", node="other"))
    logged(study, TIME, "17_2")
    retry()  # SLURM has forgotten the first two, their attempts have not
    assert "--exclude=bad" in fake_slurm.calls("sbatch")[-1]


def test_where_tokens_fill_a_pass_these_are_halved(retry, study, fake_slurm) -> None:
    study.point(0).directory.mkdir(parents=True)
    begun(study.point(0), failed(CUDA, micro_batch=4, micro_tokens=100))
    said, _ = retry("train.micro_tokens=100", "--dry-run")
    assert said.endswith("train failed: out of memory; again with train.micro_tokens=50")


def test_inference_out_of_memory_takes_half_the_rows_where_it_can(
    retry, study, fake_slurm, monkeypatch
):
    point = study.point(0)
    mark_done(point.directory, "train", {}, [], status="done", step=1)
    monkeypatch.setattr(jobs, "is_finished", lambda study, stage, index: stage == "train")
    begun(point, failed(CUDA, stage="infer", batch_size=8, job=None, task=None))
    said = retry("--dry-run", "infer.engine=vllm")
    assert "infer failed: out of memory" in said[0]
    assert "another infer.gpu_memory (vLLM packs its rows by itself)" in said[0]
    said, command = retry("--dry-run")
    assert said.endswith("infer failed: out of memory; again with infer.batch_size=4")
    assert "infer.batch_size=4" in command.split()


def test_without_slurm_it_runs_here(retry, study, monkeypatch) -> None:
    point = study.point(2)
    point.directory.mkdir(parents=True)
    begun(point, failed(CUDA, micro_batch=4, job=None, task=None))
    ran = []
    monkeypatch.setattr("stages.retry.call", lambda command: ran.append(command) or 0)
    monkeypatch.setattr("stages.retry.through_slurm", lambda here: False)
    retry()
    assert ran[0][1:3] == ["-m", "stages.stage2_train"]
    assert ran[0][-3:] == ["train.micro_batch=2", "--index", "2"]
