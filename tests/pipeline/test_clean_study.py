"""`make clean-study`: what is freed, what stays, and that nothing is trained again for it."""

import json
import shutil
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.config.study import Study
from lib.runs.directory import locked
from stages.clean_study import claimed
from stages.command import who

CLAIMS = [
    {"say": "as accurate", "metric": "accuracy", "of": {"variant": "accept"}, "no_worse_by": 0.5},
    {"say": "complete", "metric": "training.complete", "above": 1},
]


@pytest.fixture
def finished(prepared_study: str, write_study, tiny_model: Path, fake) -> str:
    """Return the path of a predicted study with weights, a checkpoint, archives, and claims."""
    path = write_study({"model.name": str(tiny_model), "claims": CLAIMS})
    study = load_study(path)
    for point in study.points():
        shutil.copytree(tiny_model, point.directory / "model")
        fake.trained(study, point)
        fake.predicted(study, point)
    (study.point(2).directory / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    (study.point(0).directory / "previous" / "1").mkdir(parents=True)
    (study.directory / "previous").mkdir()
    return path


def models(study: Study) -> list[str]:
    """Return the points that have weights."""
    return [point.name for point in study.points() if (point.directory / "model").exists()]


def test_what_no_claim_needs_goes_and_the_rest_of_the_study_works(run_stage, finished) -> None:
    study = load_study(finished)
    assert claimed(study) == {"baseline_gamma1", "accept_gamma2"}
    assert run_stage("stage4_evaluate", finished).code == 0
    ended = run_stage("clean_study", finished, "--yes")
    assert (ended.code, ended.err) == (0, "")
    for line in ("archives (2): ", "checkpoints of finished points (1): ",
                 "weights of predicted points (1): "):  # fmt: skip
        assert f"can be freed: {line}" in ended.out
    assert models(study) == ["baseline_gamma1", "accept_gamma2"]
    assert not list(study.directory.rglob("checkpoints"))
    assert not list(study.directory.rglob("previous"))
    assert not list(study.directory.rglob("*.tmp"))
    records = [json.loads(line) for line in (study.directory / "freed.jsonl").open()]
    assert [record["path"] for record in records] == [
        "previous", "baseline_gamma1/previous", "reject_gamma2/checkpoints", "reject_gamma2/model",
    ]  # fmt: skip
    trained = run_stage("stage2_train", finished, "--index", "2")
    assert trained.code == 0
    assert "reject_gamma2: trained already (done; model/ was removed since)" in trained.out
    assert run_stage("stage3_infer", finished, "--index", "0-2").code == 0
    assert run_stage("stage4_evaluate", finished, "--force").code == 0
    one = "figures=[{bars: accuracy, x: setting, name: accuracy}]"
    assert run_stage("stage5_visualize", finished, one).code == 0
    assert "nothing can be freed" in run_stage("clean_study", finished, "--yes").out


@pytest.mark.parametrize(("weights", "left"), [("predicted", 0), ("none", 3)])
def test_weights_of_all_or_none(run_stage, finished, weights, left) -> None:
    assert run_stage("clean_study", finished, "--yes", "--weights", weights).code == 0
    assert len(models(load_study(finished))) == left


def test_without_a_terminal_nothing_goes(run_stage, finished, snapshot, monkeypatch) -> None:
    study = load_study(finished)
    before = snapshot(study.directory)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ended = run_stage("clean_study", finished)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "give --yes" in ended.err
    assert snapshot(study.directory) == before


@pytest.mark.parametrize(("answer", "left"), [("", 3), ("n", 3), ("y", 2)])
def test_it_asks_first(run_stage, finished, monkeypatch, answer, left) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert run_stage("clean_study", finished).code == 0
    assert len(models(load_study(finished))) == left


def test_a_point_at_work_is_left_alone(run_stage, finished, monkeypatch) -> None:
    study = load_study(finished)
    with locked(study.point(2).directory, who()):
        shown = run_stage("clean_study", finished, "--yes")
        assert "reject_gamma2: a task works on it, left alone" in shown.out
        monkeypatch.setattr("stages.clean_study.is_held_here", lambda _: False)  # another node
        assert "left alone: " in run_stage("clean_study", finished, "--yes").out
    assert len(models(study)) == 3


def test_what_is_unfinished_stays(run_stage, finished) -> None:
    """A point without predictions keeps its weights, one without a mark its checkpoints."""
    study = load_study(finished)
    (study.point(2).directory / "done" / "infer.json").unlink()
    run_stage("clean_study", finished, "--yes")
    assert "reject_gamma2" in models(study)
    (study.point(2).directory / "checkpoints").mkdir()
    (study.point(2).directory / "done" / "train.json").unlink()
    run_stage("clean_study", finished, "--yes")
    assert (study.point(2).directory / "checkpoints").exists()


def test_a_study_that_has_not_run(run_stage, write_study) -> None:
    ended = run_stage("clean_study", write_study())
    assert (ended.code, ended.err) == (0, "")
    assert "nothing there" in ended.out
