"""`make status`: where each point stands, whatever is wrong with one, and no lock."""

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.runs import activity
from lib.runs.activity import Holder, machine
from lib.runs.attempts import FILE
from lib.runs.directory import locked, mark_done
from lib.runs.files import write_json, write_jsonl
from lib.slurm.reasons import OF_TEXT, reason_of
from stages.command import who
from tests.fake_slurm import FakeSlurm
from tests.half_done import begun, entry, failed, logged, submitted


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}:{os.environ['PATH']}")
    return fake


@pytest.fixture
def accounts(fake_slurm):
    """Return a function that adds a sacct: its lines are JobID|State|ExitCode|NodeList."""

    def add(*lines: str) -> None:
        path = fake_slurm.bin / "sacct"
        path.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
        path.chmod(0o755)

    return add


@pytest.fixture
def study(write_study, tmp_path, monkeypatch) -> Study:
    monkeypatch.chdir(tmp_path)  # where logs/ is
    return load_study(write_study())


@pytest.fixture
def point(study) -> Point:
    """Return the first point, begun and not finished."""
    point = study.point(0)
    write_jsonl(point.directory / "train.jsonl", [{"step": 4, "loss": 0.5}])
    return point


@pytest.fixture
def survey(run_stage, study):
    """Return a function that runs status: (point → its stages, all that is known)."""

    def asked() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        ended = run_stage("status", study.path, "--json")
        assert (ended.code, ended.err) == (0, "")
        known = json.loads(ended.out)
        return [point["stages"] for point in known["points"]], known

    return asked


# What each source says, and what follows: the state of training, and of a failed one the reason.
# Columns: attempts, age of the last write, the task in squeue (None: squeue fails), sacct, log.
RUNS, WAITS, GONE = {"17": {"0": "RUNNING||node"}}, {"17": {"0": "PENDING|Priority|"}}, {}
CASES = {
    "it runs": ([entry()], 9999, RUNS, (), "", "running"),
    "pending is not killed": ([], 9999, WAITS, (), "", "queued"),
    "it ran and waits again": ([entry()], 9999, WAITS, (), "", "requeued"),
    "its launch failed": ([entry()], 9999, {"17": {"0": "PENDING|launch failed requeued held|"}},
                          (), "", "requeued: held"),
    "squeue has its end still": ([entry()], 0, {"17": {"0": "NODE_FAIL|None|node"}}, (), "",
                                 "failed: node failure"),
    "accounting, node": ([entry()], 0, GONE, ("17_0|NODE_FAIL|0:0|node",), "",
                         "failed: node failure"),
    "accounting, preempted": ([entry()], 0, GONE, ("17_0|PREEMPTED|0:15|node",), "",
                              "failed: preempted"),
    "accounting, time": ([entry()], 0, GONE, ("17_0|TIMEOUT|0:0|node",), "", "failed: time limit"),
    "accounting, last start counts": (
        [entry(), entry(restart=1)], 0, GONE,
        ("17_0|NODE_FAIL|0:0|bad", "17_0|CANCELLED by 0|0:15|node"), "", "failed: cancelled"),
    "accounting, host memory": ([entry()], 0, GONE, ("17_0|OUT_OF_MEMORY|0:125|node",), "",
                                "failed: out of host memory"),
    "host memory is the device's": ([entry(device="cpu")], 0, GONE,
                                    ("17_0|OUT_OF_MEMORY|0:125|node",), "",
                                    "failed: out of memory"),
    "accounting, exit code 2": ([], 0, GONE, ("17_0|FAILED|2:0|node",), "", "failed: bad input"),
    "the log alone, time": ([entry()], 9999, GONE, (),
                            "step 3\nslurmstepd: error: *** JOB 9 ON n CANCELLED AT 2026 DUE TO "
                            "TIME LIMIT ***\n", "failed: time limit"),
    "the log alone, before any attempt": ([], 9999, GONE, (), "error: no such file\n",
                                          "failed: bad input"),
    "the log's last reason counts": (
        [entry()], 9999, GONE, (),
        "*** DUE TO PREEMPTION ***\nTraceback (most recent call last):\nKeyError: 'x'\n",
        "failed: code error"),
    "no progress": ([failed("", 75, how="stopped")], 9999, GONE, (),
                    "stopped early and not requeued: 2 restarts with no newer checkpoint: raise\n",
                    "failed: no progress"),
    "its own error": ([failed("OutOfMemoryError: CUDA out of memory")], 0, GONE, (), "",
                      "failed: out of memory"),
    "a full disk": ([failed("BadInput: x: cannot be written: No space left on device", 2)], 0,
                    GONE, (), "", "failed: disk full"),
    "bad input": ([failed("BadInput: papers.jsonl: no such file", 2)], 0, GONE, (), "",
                  "failed: bad input"),
    "a bug": ([failed("KeyError: 'x'")], 0, GONE, (), "", "failed: code error"),
    "killed by nobody knows whom": ([entry()], 9999, GONE, (), "", "failed: killed"),
    # The controller has lost its jobs, or squeue does not answer: what was written tells.
    "a restarted controller": ([entry()], 0, GONE, (), "", "unknown"),
    "squeue fails, written just now": ([entry()], 0, None, (), "", "running"),
    "squeue fails, silent": ([entry()], 9999, None, (), "", "unknown"),
    "squeue fails, never begun": ([], 9999, None, (), "", "unknown"),
    "cancelled before it began": ([], 9999, GONE, ("17_0|CANCELLED by 0|0:0|None assigned",), "",
                                  "missing"),
    "submitted, and nobody knows more": ([], 9999, GONE, (), "", "missing"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_state_of_training(survey, study, point, fake_slurm, accounts, case) -> None:
    entries, age, queue, ended, log, expected = CASES[case]
    submitted(study)
    if entries:
        begun(point, *entries, age=age)
    if ended:
        accounts(*ended)
    if log:
        logged(study, log)
    fake_slurm.set(
        queue=queue or {}, fails={"squeue": "Connection refused"} if queue is None else {}
    )
    stages, known = survey()
    train = stages[0]["train"]
    assert ": ".join(filter(None, (train["state"], train["reason"]))) == expected
    assert any("the queue is unknown: squeue" in note for note in known["notes"]) == (queue is None)
    assert len(fake_slurm.calls("squeue")) == 1
    assert {stages[1]["train"]["state"], stages[2]["train"]["state"]} <= {"missing", "unknown"}
    assert stages[0]["infer"] == stages[1]["infer"]  # missing, and not failed behind it
    if train["state"] == "failed" and log:
        assert train["log"] == "logs/train-17_0.out"
        assert train["line"] in log


def test_of_several_points_a_task_the_one_at_work_runs(survey, study, fake_slurm) -> None:
    submitted(study, points=3)
    fake_slurm.set(queue={"17": {"0": "RUNNING||node"}})
    for index, of_point in enumerate(([failed("KeyError: 'x'")], [entry()])):
        write_jsonl(study.point(index).directory / "train.jsonl", [])
        begun(study.point(index), *of_point)
    stages, _ = survey()
    assert [s["train"]["state"] for s in stages] == ["failed", "running", "queued"]


def test_inference_waits_for_training_and_is_cancelled_with_it(survey, study, point, fake_slurm):
    submitted(study)
    submitted(study, "18", "infer")
    begun(point, entry())
    fake_slurm.set(queue={"17": {"0": "RUNNING||node"}, "18": {"0": "PENDING|Dependency|"}})
    assert [survey()[0][0][s]["state"] for s in ("train", "infer")] == ["running", "queued"]
    fake_slurm.set(queue={"17": {"0": "TIMEOUT||node"}, "18": {"0": "CANCELLED|Dependency|"}})
    assert [survey()[0][0][s]["state"] for s in ("train", "infer")] == ["failed", "missing"]


def test_after_training_its_lock_says_nothing_of_inference(survey, study, point) -> None:
    mark_done(point.directory, "train", {}, [], status="done", step=1)
    begun(point, entry(end="2026-01-01T02:00:00+00:00", how="done"))
    assert {n: s["state"] for n, s in survey()[0][0].items()} == {
        "train": "done", "infer": "missing", "evaluate": "missing"}  # fmt: skip
    begun(point, failed("EngineDied: x", stage="infer_mt_bench", job=None, task=None), lock=who())
    assert survey()[0][0]["infer"]["state"] == "failed"


def test_diverged_is_a_result_and_hours_are_counted(survey, study, point) -> None:
    mark_done(point.directory, "train", {}, [], status="diverged", step=4)
    begun(point, failed("x"), failed("x", gpus=2))
    stages, known = survey()
    assert {stage["state"] for stage in stages[0].values()} == {"diverged"}
    assert (known["gpu_hours"], known["hours"]) == (6.0, 2.0)
    assert known["counts"]["train"] == {"diverged": 1, "missing": 2}


def test_each_text_of_the_table_of_reasons_is_reached() -> None:
    texts = {
        "node failure": "*** STEP 9.0 ON n CANCELLED AT 2026 DUE TO NODE FAILURE ***",
        "preempted": "slurmstepd: error: *** JOB 9 ON n CANCELLED AT 2026 DUE TO PREEMPTION ***",
        "time limit": "slurmstepd: error: *** JOB 9 ON n CANCELLED AT 2026 DUE TO TIME LIMIT ***",
        "out of memory": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "out of host memory": "slurmstepd: error: Detected 1 oom_kill event in StepId=9.0",
        "disk full": "error: train.jsonl: cannot be written: Disk quota exceeded",
        "no progress": "stopped early and not requeued: 2 restarts with no more predictions",
        "cancelled": "slurmstepd: error: *** JOB 9 ON n CANCELLED AT 2026-01-01T00:00:00 ***",
        "stopped": "point: stopped by SIGTERM at step 3 of 9, checkpoint kept",
        "bad input": "error: configs/x.yaml: no such file",
        "code error": "KeyError: 'x'",
    }
    assert {*texts} == {reason for _, reason in OF_TEXT}
    for reason, text in texts.items():
        assert reason_of(None, None, None, ["before", text, "after"], False) == (reason, text)
    # The traceback of a process that SLURM killed is not the reason, nor is its exit code.
    assert reason_of("TIMEOUT", "KeyError: 'x'", 1, [], False)[0] == "time limit"
    assert reason_of("CANCELLED", None, 1, [texts["preempted"]], False)[0] == "preempted"
    assert reason_of("FAILED", None, 9, [], False)[0] == "killed"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.jsonl", "x\n{}\n"),
        ("train.jsonl", '{"step": 1, "loss": "x"}\n'),
        ("train.jsonl", b"\xff\n\xff\n"),
        ("attempts.json", "{"),
        ("done/train.json", "{}"),
        ("done/train.json", None),
    ],
)
def test_a_broken_file_costs_its_own_row_alone(run_stage, study, point, name, content) -> None:
    path = point.directory / name
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = run_stage("status", study.path).out
    states = [line.split()[2] for line in said.splitlines()[2:5]]
    assert states == ["broken", "missing", "missing"]
    assert f"{point.name}: {point.directory}" in said
    assert "train: 2 missing, 1 broken" in said


@pytest.mark.parametrize("content", ["{", '{"metrics": {"accuracy": {"value": "x"}}}'])
def test_a_broken_measurement(run_stage, study, point, content) -> None:
    mark_done(point.directory, "train", {}, [], status="done", step=1)
    mark_done(point.directory, "evaluate", {}, [])
    (point.directory / "metrics.json").write_text(content)
    said = run_stage("status", study.path).out
    assert f"{point.name}: {point.directory}/metrics.json: not as stage 4 writes it" in said


def test_a_directory_that_cannot_be_read(run_stage, study, point, monkeypatch) -> None:
    def refused(path: Path, stage: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "x/y")

    mark_done(point.directory, "train", {}, [], status="done", step=1)
    monkeypatch.setattr("lib.slurm.survey.done_mark", refused)
    said = run_stage("status", study.path).out
    assert "x/y: cannot be read: Permission denied" in said


def test_a_name_that_is_too_long(write_study, run_stage) -> None:
    ended = run_stage("status", write_study({"results_dir": "x" * 300}))
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_no_lock_is_taken(survey, point, monkeypatch) -> None:
    begun(point, lock=who())

    def refused(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, refused)
    assert survey()[0][0]["train"]["reason"] == "ended early"  # before attempts were recorded


def test_a_lock_of_this_machine(survey, point) -> None:
    with locked(point.directory, who()):
        stages, known = survey()
        assert stages[0]["train"]["state"] == "running"
        assert known["points"][0]["last"] == {"step": 4, "loss": 0.5}
    assert survey()[0][0]["train"]["state"] == "failed"


def test_a_lock_of_nobody_knows_whom(survey, point) -> None:
    begun(point, lock="", age=0)
    assert survey()[0][0]["train"]["state"] == "running"  # written to a moment ago
    begun(point, lock="", age=9999)
    assert survey()[0][0]["train"]["state"] == "unknown"


def test_the_time_left_is_that_of_the_last_steps(run_stage, study, point) -> None:
    rows = [{"step": s, "loss": 0.5, "seconds": 10.0 * s} for s in range(1, 200)]
    write_jsonl(point.directory / "train.jsonl", rows)
    write_json(point.directory / FILE, [entry(steps=259, job=None)])
    with locked(point.directory, who()):
        said = run_stage("status", study.path).out
    assert "199/259  0.5000  10:00" in said  # 60 steps of 10 s, by hand
    assert "10:00 until the last of 1 running is trained" in said


def test_settings_of_a_large_grid_are_counted_over_seeds(run_stage, write_study, monkeypatch):
    seeds = {"axes.seed": "train.seed", "grid": [
        {"variant": "baseline", "gamma": 1, "seed": 0},
        {"variant": "accept", "gamma": [2, 4], "seed": list(range(20))}]}  # fmt: skip
    study = load_study(write_study(seeds))
    for index in (1, 2, 21):
        mark_done(study.point(index).directory, "train", {}, [], status="done", step=1)
    lines = run_stage("status", study.path).out.splitlines()
    assert [line.split()[:6] for line in lines[1:6]] == [
        ["variant", "gamma", "train", "infer", "evaluate"],
        ["baseline", "1", "1", "missing", "1", "missing"],
        ["accept", "2", "2", "done,", "18", "missing"],
        ["accept", "4", "1", "done,", "19", "missing"],
        ["total", "3", "done,", "38", "missing", "41"],
    ]
    lines = run_stage("status", study.path, "--points").out.splitlines()
    assert sum("accept_gamma" in line for line in lines) == 40
    monkeypatch.setattr("stages.status.MOST_LINES", 2)
    lines = run_stage("status", study.path).out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["variant", "baseline", "accept", "total"]


def test_a_large_grid_is_listed_as_stage_1_wrote_it(run_stage, write_study, monkeypatch) -> None:
    from lib.config.study import Study as Loaded
    from lib.runs.listing import write_listing

    path = write_study()
    study = load_study(path)
    write_listing(study)
    monkeypatch.setattr("stages.status.LARGE", 1)
    resolved = []
    points = Loaded.points
    monkeypatch.setattr(Loaded, "points", lambda self: resolved.append(1) or points(self))
    plain = run_stage("status", path, "--json").out
    assert not resolved
    assert [p["name"] for p in json.loads(plain)["points"]] == [p.name for p in study.points()]
    resolved.clear()
    write_json(study.directory / "older" / "config.json", {})  # perhaps of an earlier grid
    run_stage("status", path)
    assert resolved
    (study.directory / "older" / "config.json").unlink()
    resolved.clear()
    run_stage("status", path, "train.learning_rate=0.1")  # another study than stage 1 saw
    assert resolved


def test_watching_ends_with_ctrl_c(run_stage, study, monkeypatch, fake_slurm) -> None:
    submitted(study)
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("stages.status.sleep", sleep)
    ended = run_stage("status", study.path, "--watch", "5")
    assert (ended.code, naps) == (0, [5.0] * 3)
    assert ended.out.count("3 points in") == len(fake_slurm.calls("squeue")) == 3
    assert run_stage("status", study.path, "--watch", "0").code == 2


@pytest.mark.parametrize("content", ["{", '{"job": "5"}'])
def test_broken_records_of_jobs(survey, study, content) -> None:
    (study.directory / "arrays").mkdir(parents=True)
    (study.directory / "arrays" / "5.json").write_text(content)
    assert "the queue is unknown: " in survey()[1]["notes"][0]
    write_json(study.directory / "arrays" / "5.json", {"grid": "of a plain sbatch"})
    assert survey()[1]["notes"] == []


def test_who_holds_a_lock_is_read_as_it_was_written(tmp_path, monkeypatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    for job in (None, "9", "17_3"):
        if job:
            monkeypatch.setenv("SLURM_JOB_ID", "9")
        if job == "17_3":
            monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
        (tmp_path / ".lock").write_text(who())
        assert activity.holder(tmp_path) == Holder(machine(), os.getpid(), job)


@pytest.mark.parametrize(
    ("number", "allowed", "expected"),
    [
        (errno.ENOSPC, "", "written"),
        (errno.EROFS, "file", "written"),
        (errno.EACCES, "", "read"),  # nor may its directory be entered
        (errno.EACCES, "directory", "written"),  # it was to be made
        (errno.EACCES, "exists", "read"),
        (errno.EACCES, "exists readable", "written"),
        (errno.EIO, "exists readable", "used"),
    ],
)
def test_a_read_that_fails_is_called_one(run_stage, study, monkeypatch, number, allowed, expected):
    def access(path: str, mode: int) -> bool:
        if path == "some":
            return "directory" in allowed
        return "readable" in allowed if mode == os.R_OK else "exists" in allowed

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "no", "some/file")

    monkeypatch.setattr("stages.status.load", fail)
    monkeypatch.setattr("stages.command.os.access", access)
    ended = run_stage("status", study.path)
    assert (ended.code, ended.err) == (2, f"error: some/file: cannot be {expected}: no\n")
