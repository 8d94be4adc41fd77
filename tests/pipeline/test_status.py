"""`make status`: a row for every point, whatever is wrong with one, and no lock."""

import errno
import fcntl
import os
import time
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.runs import activity
from lib.runs.activity import Holder, machine
from lib.runs.directory import locked
from lib.runs.files import write_json, write_jsonl
from lib.slurm import commands as slurm
from stages.command import who
from tests.fake_slurm import FakeSlurm


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}:{os.environ['PATH']}")
    return fake


@pytest.fixture
def study(write_study, tmp_path) -> Study:
    return load_study(write_study())


@pytest.fixture
def point(study) -> Point:
    """Return the first point, begun and not finished."""
    point = study.point(0)
    write_jsonl(point.directory / "train.jsonl", [{"step": 4, "loss": 0.5}])
    return point


@pytest.fixture
def table(run_stage, study):
    """Return a function that runs status: (words of each point's row, all that was said)."""

    def shown() -> tuple[dict[str, list[str]], str]:
        ended = run_stage("status", study.path)
        assert (ended.code, ended.err) == (0, "")
        rows = [line.split() for line in ended.out.splitlines()[1:4]]
        return {row[1]: row[2:] for row in rows}, ended.out

    return shown


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", "{"),
        ("metrics.json", '{"metrics": {"accuracy": {"value": "x"}}}'),
        ("train.jsonl", "x\n{}\n"),
        ("train.jsonl", '{"step": 1, "loss": "x"}\n'),
        ("train.jsonl", b"\xff\n\xff\n"),
        ("done/train.json", "{}"),
        ("done/train.json", None),
    ],
)
def test_a_broken_file_costs_its_own_row_alone(table, study, point, name, content) -> None:
    path = point.directory / name
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows, said = table()
    assert [row[0] for row in rows.values()] == ["broken", "missing", "missing"]
    assert f"{point.name}: {point.directory}" in said
    assert "1 broken; 2 missing" in said


@pytest.mark.parametrize(
    "error",
    [PermissionError(errno.EACCES, "Permission denied", "x/y"),
     RecursionError("too deep")],
)  # fmt: skip
def test_a_point_that_cannot_be_read(table, study, monkeypatch, error) -> None:
    def status(_study: Study, point: Point) -> str:
        if point.index == 1:
            raise error
        return "missing"

    monkeypatch.setattr("stages.status.status", status)
    rows, said = table()
    assert [row[0] for row in rows.values()] == ["missing", "broken", "missing"]
    if isinstance(error, OSError):
        assert f"x/y: cannot be read: {error.strerror}" in said


def test_a_name_that_is_too_long(write_study, run_stage) -> None:
    ended = run_stage("status", write_study({"results_dir": "x" * 300}))
    assert (ended.code if "3 broken" in ended.out else 2) == ended.code
    assert "Traceback" not in ended.err


def test_no_lock_is_taken(table, point, monkeypatch) -> None:
    (point.directory / ".lock").write_text(who())

    def refused(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, refused)
    assert table()[0][point.name][0] == "started"


def test_a_lock_of_this_machine(table, point) -> None:
    with locked(point.directory, who()):
        assert table()[0][point.name][:3] == ["running", "4", "0.5000"]
    assert table()[0][point.name][0] == "started"


@pytest.mark.parametrize(
    ("state", "silent", "age", "expected"),
    [
        ("RUNNING", False, 9999, ["running", "17_3", "RUNNING"]),
        ("PENDING", False, 9999, ["queued", "17_3", "PENDING"]),
        (None, False, 0, ["started", "17_3"]),
        ("RUNNING", True, 0, ["running", "17_3"]),
        ("RUNNING", True, 9999, ["unknown"]),
    ],
)
def test_a_lock_of_another_node(
    table, point, fake_slurm, monkeypatch, state, silent, age, expected
) -> None:
    lock = point.directory / ".lock"
    lock.write_text(str(Holder("node (0123)", os.getpid(), "17_3")))
    for path in point.directory.iterdir():
        os.utime(path, (time.time() - age,) * 2)
    queue = {"17": {"3": state}} if state else {}
    fake_slurm.set(queue=queue, fails={"squeue": "Connection refused"} if silent else {})
    rows, said = table()
    row = rows[point.name]
    assert [row[0], *row[3:]] == expected
    assert ("the queue is unknown: squeue" in said) == silent


def test_a_lock_of_nobody_knows_whom(table, point) -> None:
    (point.directory / ".lock").write_text("")
    assert table()[0][point.name][0] == "running"  # written to a moment ago
    for path in point.directory.iterdir():
        os.utime(path, (1, 1))
    assert table()[0][point.name][0] == "unknown"


def test_what_is_queued_is_shown(table, study, fake_slurm) -> None:
    record = {"job": "5", "stage": "train", "tasks": "0-2", "offset": 0, "points": 1,
              "grid": study.grid_hash, "overrides": {}}  # fmt: skip
    write_json(study.directory / "jobs.json", {"train": ["5"]})
    write_json(study.directory / "arrays" / "5.json", record)
    fake_slurm.set(queue={"5": {"1": "RUNNING", "2": "PENDING"}})
    rows, _ = table()
    assert list(rows.values()) == [
        ["missing"],
        ["queued", "train", "5_1", "RUNNING"],
        ["queued", "train", "5_2", "PENDING"],
    ]
    assert len(fake_slurm.calls("squeue")) == 1


@pytest.mark.parametrize("content", ["{", '{"train": [5]}'])
def test_broken_records_of_jobs(table, study, content) -> None:
    study.directory.mkdir(parents=True)
    (study.directory / "jobs.json").write_text(content)
    assert "the queue is unknown: " in table()[1]


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


def test_how_jobs_ended_where_there_are_accounts(fake_slurm) -> None:
    assert slurm.how_ended(["17_3"]) == {}
    (fake_slurm.bin / "sacct").write_text("#!/bin/sh\necho '17_3|CANCELLED by 0'\n")
    (fake_slurm.bin / "sacct").chmod(0o755)
    assert slurm.how_ended(["17_3"]) == {"17_3": "CANCELLED"}


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

    def fail(*_: object) -> None:
        raise OSError(number, "no", "some/file")

    monkeypatch.setattr("stages.status.load", fail)
    monkeypatch.setattr("stages.command.os.access", access)
    ended = run_stage("status", study.path)
    assert (ended.code, ended.err) == (2, f"error: some/file: cannot be {expected}: no\n")
