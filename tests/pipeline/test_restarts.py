"""Whether a stopped task starts again: not after two restarts that left no more behind."""

import pytest

from lib.config.load import load_study
from stages.restarts import FRUITLESS


@pytest.fixture
def asked(run_stage, write_study, monkeypatch):
    """Return the first point, and a function that asks as sbatch/run.sh does."""
    study = write_study({"slurm": {"train": {"time": "00:20:00"}}, "train.checkpoint_steps": 30})
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")

    def ask(stage: str = "stage2_train") -> tuple[int, str]:
        words = (f"stages.{stage}", study, "--index", "0", "--force")
        ended = run_stage("restarts", *words)
        return ended.code, ended.err

    point = load_study(study).point(0)
    point.directory.mkdir(parents=True)
    return point, ask


def test_two_restarts_without_a_checkpoint_are_the_last(asked) -> None:
    point, ask = asked
    codes = []
    for run in range(3):  # what each start writes is no progress
        (point.directory / "config.json").write_text(str(run))
        (point.directory / "train.jsonl").write_text("{}\n" * run)
        (point.directory / "attempts.json").write_text("[]" * run)
        (point.directory / f".model.{run}.tmp").mkdir()
        code, said = ask()
        codes.append(code)
    assert codes == [0, 0, FRUITLESS]
    assert said.count("\n") == 1
    assert "2 restarts with no newer checkpoint: raise the time limit (slurm.train.time, now 00:20:00)" in said  # fmt: skip # noqa: E501
    assert "train.checkpoint_steps (now 30)" in said


@pytest.mark.parametrize("made", ["checkpoints/checkpoint-3", "done", "candidates/step-000002"])
def test_progress_starts_the_count_again(asked, made) -> None:
    point, ask = asked
    assert [ask()[0] for _ in range(2)] == [0, 0]
    (point.directory / made).mkdir(parents=True)
    (point.directory / made / "train.json").touch()
    assert [ask()[0] for _ in range(3)] == [0, 0, FRUITLESS]


def test_a_reference_is_progress(asked) -> None:
    point, ask = asked
    assert [ask()[0] for _ in range(2)] == [0, 0]
    (point.directory.parent / "reference" / "0123").mkdir(parents=True)
    (point.directory.parent / "reference" / "0123" / "train.npy").touch()
    assert ask()[0] == 0


def test_predictions_are_progress_of_stage_3(asked) -> None:
    point, ask = asked
    part = point.directory / ".predictions-0123.part.jsonl"
    for rows in range(4):
        part.write_text("{}\n" * rows)
        assert ask("stage3_infer")[0] == 0
    assert ask("stage3_infer")[0] == 0
    code, said = ask("stage3_infer")
    assert code == FRUITLESS
    assert "2 restarts with no more predictions" in said
    assert "infer.batch_size" in said


def test_another_submission_begins_anew(asked, monkeypatch) -> None:
    _, ask = asked
    assert [ask()[0] for _ in range(3)] == [0, 0, FRUITLESS]
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8")
    assert ask()[0] == 0
