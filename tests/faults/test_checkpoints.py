"""Checkpoints that were changed, torn, misdated or left without disk space."""

import json
import os
import shutil
import stat
import time

import pytest

from lib.config.errors import BadInput
from lib.runs.files import read_sealed, refusal, write_jsonl, write_sealed
from lib.training import checkpointing
from lib.training.checkpointing import (
    BEST,
    COMPLETE,
    SEAL,
    SHARDED,
    candidate_directory,
    finish_checkpoint,
    last_checkpoint,
    log_rows,
    writing,
)
from lib.training.stopping import StopWindow

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "rng_state_1.pth",
         "trainer_state.json", "shards/0.distcp", "shards/.metadata")  # fmt: skip


def kept(directory, step):
    """Weights that a run keeps along its way, with the record that vouches for them."""
    from lib.runs.integrity import record

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.safetensors").write_bytes(b"weights of %d" % step)
    files = record(directory, ["model.safetensors"])
    write_sealed(directory / SEAL, {"step": step, "files": files})


def saved(directory, step):
    """Add the checkpoint of a step to a run whose log has a row a step."""
    write_jsonl(directory / "train.jsonl", [{"step": n, "loss": 1 / n} for n in range(1, step + 1)])
    checkpoint = directory / "checkpoints" / f"checkpoint-{step}"
    (checkpoint / "shards").mkdir(parents=True)
    for name in FILES:
        (checkpoint / name).write_bytes(f"{name} of {step}".encode())
    finish_checkpoint(directory, step)
    return checkpoint


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints of steps 10 and 20."""
    directory = tmp_path / "point"
    saved(directory, 10)
    saved(directory, 20)
    return directory


def resumed(directory, swept=()):
    """The step that is resumed from, and the lines that say why."""
    said = []
    found = last_checkpoint(directory, said.append, swept)
    return found and checkpointing.step_of(found), said


def test_whole_checkpoints_are_resumed_without_a_word(run):
    assert resumed(run) == (20, [])


@pytest.mark.parametrize("name", [*FILES, COMPLETE])
@pytest.mark.parametrize("damage", ["changed", "torn", "missing", "another"])
def test_a_damaged_one_is_passed_over(run, name, damage):
    path = run / "checkpoints" / "checkpoint-20" / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "another":  # of the same run, ten steps before
        shutil.copyfile(run / "checkpoints" / "checkpoint-10" / name, path)
    else:
        at = len(content) // 2
        path.write_bytes(content[:at] + (b"?" + content[at + 1 :] if damage == "changed" else b""))
    step, said = resumed(run)
    assert step == 10
    if (name, damage) != (COMPLETE, "missing"):  # a checkpoint that was never finished is no news
        assert str(path.parent) in said[0]
        assert "resumed from this older checkpoint" in said[-1]
        assert not (run / "checkpoints" / "checkpoint-20").exists()


@pytest.mark.parametrize("mark", ["", '{"step": 20}'])
def test_a_mark_that_is_none(run, mark):
    (run / "checkpoints" / "checkpoint-20" / COMPLETE).write_text(mark)
    assert resumed(run)[0] == 10


def test_without_a_whole_one_training_starts_again(run):
    for step in (10, 20):
        (run / "checkpoints" / f"checkpoint-{step}" / "optimizer.pt").unlink()
    step, said = resumed(run)
    assert step is None
    assert said[-1].endswith("no intact checkpoint, training starts from step 0")
    assert not list((run / "checkpoints").iterdir())


def test_a_lost_row_of_the_log_is_refused_and_nothing_is_removed(run):
    rows = log_rows(run, 20)
    write_jsonl(run / "train.jsonl", rows[:3] + rows[4:])
    with pytest.raises(BadInput, match=r"train\.jsonl: its rows up to step 20 are not those of"):
        last_checkpoint(run)
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"checkpoint-10", "checkpoint-20"}


def test_a_log_that_lost_its_last_rows_goes_with_the_older_one(run):
    write_jsonl(run / "train.jsonl", log_rows(run, 20)[:13])
    step, said = resumed(run)
    assert (step, len(said)) == (10, 2)


@pytest.mark.parametrize("text", ['{"loss": 1}\n', "?\n{}\n"])
def test_a_log_that_is_none_is_one_line(run, text):
    (run / "train.jsonl").write_text(text)
    with pytest.raises(BadInput, match=r"train\.jsonl: line 1: "):
        last_checkpoint(run)


@pytest.mark.parametrize("damage", ["changed", "missing", "unsealed"])
@pytest.mark.parametrize("place", [BEST, candidate_directory(15)], ids=str)
def test_kept_weights_that_changed_are_made_again(tmp_path, place, damage):
    """Those of step 15 by the checkpoint of step 10, from which step 15 comes by once more."""
    swept = [15] if place == candidate_directory(15) else []
    saved(tmp_path, 10)
    kept(tmp_path / place, 15)
    saved(tmp_path, 20)
    assert resumed(tmp_path, swept) == (20, [])
    if damage == "missing":
        shutil.rmtree(tmp_path / place)
    else:
        path = tmp_path / place / ("model.safetensors" if damage == "changed" else SEAL)
        path.write_bytes(b"{}")
    step, said = resumed(tmp_path, swept)
    assert step == 10
    assert str(tmp_path / place) in said[0]
    assert not (tmp_path / BEST).exists()  # at step 10 there was none


def test_order_is_that_of_steps_whatever_the_clock_said(run):
    for name in ("checkpoint-10", "checkpoint-20"):  # written when the clock was ahead
        os.utime(run / "checkpoints" / name, (4e9, 4e9))
    (run / "checkpoints" / "checkpoint-25").mkdir()  # of a kill
    saved(run, 30)
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"checkpoint-20", "checkpoint-30"}
    saved(run, 100)
    assert resumed(run) == (100, [])
    assert not (run / "checkpoints" / "checkpoint-20").exists()
    finish_checkpoint(run, 100, kept=1)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["checkpoint-100"]


def test_other_ranks_than_wrote_it_are_said(run):
    said = []
    assert last_checkpoint(run, said.append, ranks=4).name == "checkpoint-20"
    assert "written by 1 ranks, resumed by 4" in said[0]


@pytest.mark.parametrize("sharded", [True, False])
def test_ranks_that_share_a_model_resume_what_such_ranks_wrote(run, sharded):
    if not sharded:
        for checkpoint in (run / "checkpoints").iterdir():
            (checkpoint / "shards").rename(checkpoint / SHARDED)
            finish_checkpoint(run, checkpointing.step_of(checkpoint))
    with pytest.raises(BadInput, match=r"train\.fsdp: found .*, but .*checkpoint-20 was written"):
        last_checkpoint(run, sharded=sharded)
    assert last_checkpoint(run, sharded=not sharded).name == "checkpoint-20"


def test_a_checkpoint_says_how_long_it_took(tmp_path):
    checkpoint = saved(tmp_path, 5)
    seconds = finish_checkpoint(tmp_path, 5, started=time.monotonic() - 300)
    assert 300 <= seconds < 360
    assert checkpointing.seconds_of(checkpoint) == pytest.approx(seconds, abs=0.1)


def test_a_stop_that_does_not_fit_is_said_once():
    said: list[str] = []
    window = StopWindow(120, said.append)
    window.check(checkpoint=100, step=20)
    assert not said
    window.check(checkpoint=100, step=25)
    window.check(checkpoint=200, step=25)
    assert len(said) == 1
    assert "found 120 seconds, but the last checkpoint took 100 and a step up to 25" in said[0]
    assert said[0].endswith("set slurm.train.warning=240")  # 1.5 × 125, in whole minutes


def test_a_renamed_checkpoint_is_that_of_its_step(run):
    (run / "checkpoints" / "checkpoint-20").rename(run / "checkpoints" / "checkpoint-90")
    assert resumed(run)[0] == 10


def test_complete_comes_after_all_that_it_vouches_for(tmp_path, monkeypatch):
    flushed = []

    def flush(path):
        there = (tmp_path / "checkpoints" / "checkpoint-5" / COMPLETE).exists()
        flushed.append((path.name, there))

    monkeypatch.setattr(checkpointing, "flush_to_disk", flush)
    saved(tmp_path, 5)
    assert flushed == [("checkpoint-5", False), ("train.jsonl", False), ("checkpoint-5", True)]


def test_files_have_the_mode_of_the_umask(tmp_path):
    checkpoint = tmp_path / "checkpoints" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").touch(mode=0o600)  # as safetensors makes its own
    before = os.umask(0o027)
    try:
        finish_checkpoint(tmp_path, 5)
    finally:
        os.umask(before)
    assert stat.S_IMODE((checkpoint / "model.safetensors").stat().st_mode) == 0o640
    assert read_sealed(checkpoint / COMPLETE, "")["step"] == 5


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        RuntimeError("open file failed with strerror: No space left on device"),
        RuntimeError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"),
    ],
    ids=str,
)
def test_a_disk_that_refuses_is_one_line(tmp_path, error):
    with pytest.raises(BadInput) as refused, writing(tmp_path / "checkpoint-1"):
        raise error
    assert str(refused.value).startswith(f"{tmp_path / 'checkpoint-1'}: cannot be written: ")


def test_a_disk_that_refuses_a_part_is_one_line(tmp_path):
    """torch.distributed.checkpoint raises on every rank what any of them met."""
    from torch.distributed.checkpoint.api import CheckpointException

    full = CheckpointException("write", {1: (OSError(28, "No space left on device"), None)})
    with pytest.raises(BadInput, match="cannot be written: No space left"), writing(tmp_path):
        raise full
    other = CheckpointException("write", {0: (ValueError("shape"), None)})
    with pytest.raises(CheckpointException), writing(tmp_path):
        raise other


def test_other_errors_are_not_the_disk_s(tmp_path):
    with pytest.raises(RuntimeError, match="shape"), writing(tmp_path):
        raise RuntimeError("shape mismatch")
    assert refusal(OSError(2, "No such file or directory")) is None


def test_a_full_disk_in_training(tiny_model, prepared_study, small_disk):
    """The checkpoint that does not fit is one line, and no part of it stays."""
    from lib.config.load import load_study
    from lib.training.inputs import train_data
    from lib.training.loop import train_point

    study = load_study(prepared_study, ["train.checkpoint_steps=1"])
    data = train_data(study, study.point(1))
    with pytest.raises(BadInput, match="checkpoint-1: cannot be written: ") as refused:
        train_point(study.point(1), data, small_disk, bool)
    assert "\n" not in str(refused.value)
    assert not list((small_disk / "checkpoints").glob("checkpoint-*"))
    assert [json.loads(line)["step"] for line in (small_disk / "train.jsonl").open()] == [1]
