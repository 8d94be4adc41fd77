"""Two tasks at one point: what one finishes while the other waits for the lock is done once."""

import json
from contextlib import contextmanager

import pytest

from lib.config.load import load_study
from lib.inference.predict import _append, _finished_batches
from lib.runs.directory import done_mark, locked
from lib.runs.integrity import seal
from stages import stage2_train, stage3_infer

TRAIN, INFER = "stage2_train", "stage3_infer"


@pytest.fixture
def study(prepared_study):
    return load_study(prepared_study)


def lock_after(act):
    """`locked` of a task that another beats to it: `act(directory)` happens before it is had."""

    @contextmanager
    def beaten(directory, who):
        act(directory)
        with locked(directory, who) as lock:
            yield lock

    return beaten


def test_a_point_that_another_task_trains_meanwhile_is_not_trained_again(
    study, fake, run_stage, monkeypatch
) -> None:
    point = study.point(1)

    def other(directory) -> None:
        (directory / "model").mkdir(parents=True)
        (directory / "model" / "config.json").write_text("{}")
        fake.trained(study, point)

    monkeypatch.setattr(stage2_train, "locked", lock_after(other))
    monkeypatch.setattr(stage2_train, "_train", lambda *_: pytest.fail("trained twice"))
    ended = run_stage(TRAIN, study.path, "--index", "1")
    assert (ended.code, ended.out) == (0, f"{point.name}: trained already (done)\n")


def test_a_point_that_another_task_predicts_meanwhile_is_not_predicted_again(
    study, fake, run_stage, monkeypatch
) -> None:
    point = study.point(1)
    (point.directory / "model").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (point.directory / "model" / name).write_text("{}")
    fake.trained(study, point)
    other = lock_after(lambda directory: fake.predicted(study, point))
    monkeypatch.setattr(stage3_infer, "locked", other)
    monkeypatch.setattr(stage3_infer, "predict", lambda *_: pytest.fail("predicted twice"))
    ended = run_stage(INFER, study.path, "--index", "1")
    assert (ended.code, "predicted already" in ended.out) == (0, True), ended


def test_force_redoes_each_point_of_a_range_once_a_submission(
    study, fake, run_stage, monkeypatch
) -> None:
    for index in (0, 1):
        (study.point(index).directory / "model").mkdir(parents=True)
        (study.point(index).directory / "model" / "config.json").write_text("{}")
        fake.trained(study, study.point(index))
    begun = []

    def stopped(study, point, *_) -> int:
        begun.append(point.index)
        (point.directory / "checkpoint").write_text("half")
        return 75 if len(begun) == 1 else 0

    monkeypatch.setattr(stage2_train, "_train", stopped)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    command = (TRAIN, study.path, "--index", "0-1", "--force")
    assert run_stage(*command).code == 75  # within the first point
    assert done_mark(study.point(1).directory, "train") is not None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    ended = run_stage(*command)
    assert (ended.code, begun) == (0, [0, 0, 1])
    assert ended.out.count("old results archived") == 1  # the second point's; the first is resumed
    assert len(list((study.point(0).directory / "previous").iterdir())) == 1
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert run_stage(*command).out.count("old results archived") == 2


def test_predictions_under_way_count_in_whole_batches(tmp_path) -> None:
    part = tmp_path / "part.jsonl"
    assert _finished_batches(part, 2, 5) == []
    rows = [{"id": str(i), "outputs": ["\u2028"]} for i in range(5)]
    for start in (0, 2, 4):
        _append(part, rows[start : start + 2])
    whole = part.read_bytes()
    assert _finished_batches(part, 2, 5) == rows
    for spoiled, kept in (
        (whole[:-9], 4),  # cut by a kill
        (whole.replace(b'"id": "3"', b'"id": "9"'), 2),
        (whole.replace(b"\n", b"", 1), 0),
        (b"", 0),
        (json.dumps(rows[0]).encode() + b"\n", 0),
        (json.dumps(seal({"rows": rows[:1]})).encode() + b"\n" + whole, 0),  # not a whole batch
    ):
        part.write_bytes(spoiled)
        assert _finished_batches(part, 2, 5) == rows[:kept]
        assert part.read_bytes().count(b"\n") == -(-kept // 2)
    part.write_bytes(whole)
    assert _finished_batches(part, 3, 5) == []  # infer.batch_size is another: nothing adds up
