"""What `make diff` says of results after the study file, its data or the code were edited."""

import json
import shutil
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.runs.code import code_version
from lib.runs.files import write_sealed


@pytest.fixture
def study(prepared_study: str, fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a study of three points: predicted, trained, and one that is not there."""
    monkeypatch.chdir(tmp_path)
    loaded = load_study(prepared_study)
    first, second, _ = loaded.points()
    for point in (first, second):
        fake.trained(loaded, point)
        record = {"code": code_version()["code"], "git": None}
        (point.directory / "config.json").write_text(json.dumps(record))
    fake.predicted(loaded, first)
    return prepared_study


def edit(study: str, old: str, new: str) -> None:
    text = Path(study).read_text()
    assert old in text
    Path(study).write_text(text.replace(old, new))


def test_nothing_changed(run_stage, study) -> None:
    ended = run_stage("diff", study)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "identical: 2 (nothing to do): baseline_gamma1, accept_gamma2",
        "new: 1 (make submit): reject_gamma2",
    ]


def test_a_key_of_one_variant(run_stage, study) -> None:
    edit(study, "train.weighted_class: accept", "train.weighted_class: reject\n    train.epochs: 2")
    said = run_stage("diff", study).out
    assert "identical: 1 (nothing to do): baseline_gamma1" in said
    assert "config: 1 (trained again with --force, or under another name=…): accept_gamma2" in said
    assert "  train.epochs was 1.0, is 2.0\n" in said
    assert "  train.weighted_class was 'accept', is 'reject'\n" in said


def test_keys_that_change_no_result(run_stage, study) -> None:
    edit(study, "micro_batch: 4", "micro_batch: 2")
    assert "identical: 2" in run_stage("diff", study).out


def test_a_key_of_inference_keeps_the_training(run_stage, study) -> None:
    edit(study, "max_new_tokens: 4", "max_new_tokens: 5")
    said = run_stage("diff", study).out
    assert "predictions: 1 (predicted again with --force): baseline_gamma1" in said
    assert "  infer.max_new_tokens was 4, is 5\n" in said
    assert "identical: 1 (nothing to do): accept_gamma2" in said


def test_data_of_another_config(run_stage, study) -> None:
    edit(study, "train_rows: 24", "train_rows: 16")
    said = run_stage("diff", study).out
    assert "data: data.train_rows was 24, is 16: every point" in said


def test_data_built_again(run_stage, study, tmp_path) -> None:
    manifest = tmp_path / "results" / "small" / "data" / "manifest.json"
    content = json.loads(manifest.read_text())
    for split in content["splits"].values():
        split["sha256"] = "0" * 64
    write_sealed(manifest, {k: v for k, v in content.items() if k != "sha256"})
    said = run_stage("diff", study).out
    assert "data: 2 (trained again with --force, since what it read has changed)" in said
    assert "split sha256 was" in said


def test_a_point_that_left_the_grid(run_stage, study) -> None:
    directory = load_study(study).directory
    shutil.copytree(directory / "accept_gamma2", directory / "accept_gamma9")
    said = run_stage("diff", study).out
    assert "removed: 1 (no point of the grid; nothing reads it): accept_gamma9" in said


def test_other_code_keeps_results_and_says_whose(run_stage, study) -> None:
    record = {"code": "0123456789ab", "git": {"commit": "c" * 40, "dirty": False}}
    path = load_study(study).point(0).directory / "config.json"
    path.write_text(json.dumps(record))
    said = run_stage("diff", study).out
    assert f"code: 1 trained by 0123456789ab (cccccccccccc), now {code_version()['code']}" in said
    assert "identical: 2" in said
