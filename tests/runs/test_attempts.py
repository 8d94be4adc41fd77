"""Every start of a point is recorded, and a killed one stays open."""

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from lib.config.errors import BadInput
from lib.runs.attempts import FILE, attempt, close_attempt, gpu_hours, hours, read_attempts

ELEMENT = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2",
           "SLURM_JOB_ID": "20", "SLURM_GPUS_ON_NODE": "4"}  # fmt: skip


def test_an_attempt_that_is_done(tmp_path) -> None:
    with attempt(tmp_path, "train", ELEMENT, device="cpu") as tried:
        (started,) = read_attempts(tmp_path)
        assert (started["end"], started["how"]) == (None, None)
        tried["step"] = 7
    (ended,) = read_attempts(tmp_path, "train")
    expected = {"job": "17", "task": "3", "restart": 2, "gpus": 4, "device": "cpu", "step": 7,
                "how": "done", "exit": 0}  # fmt: skip
    assert ended | expected == ended
    assert ended["start"] <= ended["end"]
    assert read_attempts(tmp_path, "infer") == []


def stopping() -> bool:
    return True


@pytest.mark.parametrize(
    ("error", "more", "expected"),
    [
        (BadInput("no\nsuch file"), {}, ("failed", 2, "BadInput: no such file")),
        (ValueError("x" * 999), {}, ("failed", 1, "ValueError: " + "x" * 300)),
        (SystemExit(75), {}, ("stopped", 75, None)),
        (KeyboardInterrupt(), {}, ("stopped", 130, None)),
        (ValueError("the engine died"), {"stop": stopping}, ("stopped", 75, None)),
    ],
)
def test_how_an_exception_ends_one(tmp_path, error, more, expected) -> None:
    with pytest.raises(type(error)), attempt(tmp_path, "train", {}, **more):
        raise error
    (entry,) = read_attempts(tmp_path)
    assert (entry["how"], entry["exit"], entry.get("error")) == expected
    assert entry["job"] is entry["task"] is entry["restart"] is None


def test_a_killed_process_leaves_an_open_entry_and_the_next_one_keeps_it(tmp_path) -> None:
    if not (child := os.fork()):
        with attempt(tmp_path, "train", {}):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (killed,) = read_attempts(tmp_path)
    assert (killed["end"], killed["how"]) == (None, None)
    (tmp_path / "train.jsonl").touch()
    half_an_hour_on = datetime.fromisoformat(killed["start"]).timestamp() + 1800
    os.utime(tmp_path / "train.jsonl", (half_an_hour_on,) * 2)
    with attempt(tmp_path, "train", {}) as tried:
        tried["how"] = "diverged"
    first, second = read_attempts(tmp_path)
    assert (first["how"], second["how"], hours(first)) == ("killed", "diverged", 0.5)


def test_a_parent_closes_what_its_ranks_left_open(tmp_path) -> None:
    with attempt(tmp_path, "train", {}):
        close_attempt(tmp_path, 9)
        assert [(e["how"], e["exit"]) for e in read_attempts(tmp_path)] == [("failed", 9)]
    close_attempt(tmp_path, 75)  # closed already
    close_attempt(tmp_path / "nobody", 1)
    assert [(e["how"], e["exit"]) for e in read_attempts(tmp_path)] == [("done", 0)]
    close_attempt(tmp_path, reason="node failure")
    assert read_attempts(tmp_path)[0]["reason"] == "node failure"


@pytest.mark.parametrize("text", ["{", "{}", '[{"stage": "train"}]', "[1]"])
def test_a_damaged_history_is_named_and_stops_no_attempt(tmp_path, text) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadInput, match=FILE):
        read_attempts(tmp_path)
    with attempt(tmp_path, "train", {}):
        pass
    assert len(read_attempts(tmp_path)) == 1


def test_gpu_hours_by_hand() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    at = [(start + timedelta(minutes=m)).isoformat() for m in (0, 30, 90)]
    entries = [
        {"start": at[0], "end": at[1], "gpus": 4},  # half an hour of 4
        {"start": at[1], "end": None, "gpus": 2},  # an hour of 2, where it runs still
        {"start": at[0], "end": at[2], "gpus": 0},  # on a CPU
    ]
    assert gpu_hours(entries) == 2.0
    assert gpu_hours(entries, until=start + timedelta(minutes=90)) == 4.0
