"""A byte that changed in any file of a study stops the stage that reads it, with one line.

A small study is led to stage 5 once; each case then spoils one file, runs the stage that reads it,
and puts the file back.
"""

import json
import shutil
from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.runs.files import read_json
from lib.runs.integrity import SMALL, record, seal, unseal, verify

DATA, TRAIN, INFER, EVALUATE, VISUALIZE = (
    "stage1_generate_datasets",
    "stage2_train",
    "stage3_infer",
    "stage4_evaluate",
    "stage5_visualize",
)
POINT = "accept_gamma2"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the first test leaves the study of `finished` for the others."""
    return tmp_path_factory.mktemp("kept") / "study"


@pytest.fixture
def finished(kept, write_study, tiny_model, fake, run_stage, tmp_path, monkeypatch):
    """A study of which two points have been led to stage 5, on a model of its own."""
    monkeypatch.chdir(tmp_path)
    if kept.exists():
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
        return load_study("small.yaml")
    own = shutil.copytree(tiny_model, tmp_path / "own")
    path = Path(write_study({"model.name": "./own", "results_dir": "results"})).name
    assert run_stage(DATA, path).code == 0
    study = load_study(path)
    for index in (0, 1):
        point = study.point(index)
        shutil.copytree(own, point.directory / "model")
        fake.trained(study, point)
        fake.predicted(study, point)
    assert run_stage(EVALUATE, path, "--allow-missing").code == 0
    assert run_stage(VISUALIZE, path).code == 0
    shutil.copytree(tmp_path, kept)
    return study


def flip(path: Path) -> bytes:
    """Change the byte in the middle of a file; returns what the file was."""
    before = path.read_bytes()
    at = len(before) // 2
    path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
    return before


def refused(run_stage, module: str, study, spoiled: Path, *words: str) -> str:
    """The one line by which a stage refuses a spoiled file."""
    ended = run_stage(module, study.path, *words)
    assert ended.code == 2, (spoiled, ended)
    assert ended.err.count("\n") == 1, ended.err
    assert str(spoiled) in ended.err
    return ended.err


# Files of the study, and the command that reads each: the last that could let it pass.
READERS = {
    "data/manifest.json": (TRAIN, "--index", "2"),
    "data/encoded/rows/*.arrow": (TRAIN, "--index", "2"),
    "data/encoded/rows/state.json": (TRAIN, "--index", "2"),
    "data/encoded/train_1-1.npy": (TRAIN, "--index", "2"),
    f"{POINT}/model/model.safetensors": (TRAIN, "--index", "1"),
    f"{POINT}/done/train.json": (TRAIN, "--index", "1"),
    f"{POINT}/model/tokenizer.json": (INFER, "--index", "1", "infer.max_new_tokens=5", "--force"),
    "data/encoded/test/*.arrow": (INFER, "--index", "1", "--force"),
    f"{POINT}/done/infer.json": (INFER, "--index", "1"),
    "data/test.jsonl": (EVALUATE, "--allow-missing", "--force"),
    f"{POINT}/predictions.jsonl": (EVALUATE, "--allow-missing"),
    f"{POINT}/train.jsonl": (EVALUATE, "--allow-missing"),
    "tables/estimates.csv": (VISUALIZE, "--force"),
    "comparison/aggregated_metrics.json": (VISUALIZE,),
    "comparison/aggregated_metrics.csv": (VISUALIZE,),
    "comparison/criteria.md": (VISUALIZE,),
    "comparison/done/evaluate.json": (VISUALIZE,),
}


def test_the_stage_that_reads_a_spoiled_file_names_it(finished, run_stage) -> None:
    for pattern, (module, *words) in READERS.items():
        path = next(finished.directory.glob(pattern), None)
        assert path, pattern
        before = flip(path)
        assert "changed since it was written" in refused(run_stage, module, finished, path, *words)
        path.write_bytes(before)


@pytest.mark.parametrize("content", ["", '{"a": 1}'])
def test_a_done_mark_that_is_none_is_one_line(finished, run_stage, content: str) -> None:
    mark = finished.directory / POINT / "done" / "infer.json"
    mark.write_text(content)
    for module in (INFER, EVALUATE):
        words = ("--index", "1") if module == INFER else ("--allow-missing",)
        refused(run_stage, module, finished, mark, *words)


def test_metrics_that_changed_are_measured_again(finished, run_stage) -> None:
    path = finished.directory / POINT / "metrics.json"
    right = path.read_text()
    wrong = json.loads(right)
    wrong["metrics"]["accuracy"]["value"] = 0.999
    path.write_text(json.dumps(wrong))
    ended = run_stage(EVALUATE, finished.path, "--point", POINT)
    assert (ended.code, f"measured again: {path}: changed" in ended.out) == (0, True)
    assert path.read_text() == right
    path.write_text("{")  # not even read by who is about to write it
    assert run_stage(EVALUATE, finished.path, "--allow-missing", "--force").code == 0
    assert path.read_text() == right


def test_another_analysis_measures_anew(finished, run_stage, monkeypatch) -> None:
    again = lambda: run_stage(EVALUATE, finished.path, "--allow-missing").out  # noqa: E731
    assert "evaluated already" in again()
    monkeypatch.setattr("lib.analysis.results.analysis_version", lambda: "another")
    assert "changed since stage 4" in run_stage(VISUALIZE, finished.path).err
    assert "evaluated already" not in again()
    assert "evaluated already" in again()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer_config.json", "new.jinja"])
def test_a_base_model_that_changed_after_stage_1_is_refused(finished, run_stage, name) -> None:
    own = Path(finished.config.model.name)
    if name == "new.jinja":
        (own / name).write_text("{{ messages }}")  # a template beside the config replaces it
    else:
        flip(own / name)
    infer = (INFER, "--index", "1", "--force")
    for module, *words in ((DATA,), (TRAIN, "--index", "2"), infer):
        line = refused(run_stage, module, finished, own / name, *words)
        assert "would not be of one model" in line
    assert not (finished.directory / "reject_gamma2").exists()
    assert run_stage(EVALUATE, finished.path, "--allow-missing").code == 0  # reads no base model
    shutil.rmtree(own)
    assert "trained already" in run_stage(TRAIN, finished.path, "--index", "1").out


def test_a_model_that_is_gone_is_missed_unless_all_is_predicted(finished, run_stage) -> None:
    directory = finished.directory / POINT
    shutil.rmtree(directory / "model")
    assert "model/ was removed since" in run_stage(TRAIN, finished.path, "--index", "1").out
    (directory / "done" / "infer.json").unlink()
    refused(run_stage, TRAIN, finished, directory / "model", "--index", "1")


# -- the mechanism ---------------------------------------------------------------------------------


def test_records_name_what_changed_came_and_went(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_text("weights")
    (tmp_path / "log").write_text("log")
    recorded = record(tmp_path, ["model", "log", "never written"])
    assert sorted(recorded) == ["log", "model/w"]
    verify(tmp_path, recorded, "do this")
    (tmp_path / "model" / "w").write_text("Weights")
    with pytest.raises(BadInput, match=r"model/w: changed .* found sha256 \w{12}, .*; do this$"):
        verify(tmp_path, recorded, "do this")
    verify(tmp_path, recorded, "do this", ["log"])
    (tmp_path / "model" / "w").write_text("weights")
    (tmp_path / "model" / "adapter_config.json").write_text("{}")
    with pytest.raises(BadInput, match="adapter_config.json: not among the files"):
        verify(tmp_path, recorded, "do this")
    with pytest.raises(BadInput, match="other: no checksum was recorded of it"):
        verify(tmp_path, recorded, "do this", ["other"])
    (tmp_path / "log").unlink()
    with pytest.raises(BadInput, match="log: missing"):
        verify(tmp_path, recorded, "do this", ["log"])


def test_a_large_file_is_hashed_only_where_its_time_differs(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "w"
    with path.open("wb") as file:
        file.truncate(SMALL + 1)
    recorded = record(tmp_path, ["w"])
    hashed = []
    monkeypatch.setattr("lib.runs.integrity.checksum", lambda p: hashed.append(p) or "another")
    verify(tmp_path, recorded, "")
    assert hashed == []
    path.touch()
    with pytest.raises(BadInput, match="found sha256 another, expected"):
        verify(tmp_path, recorded, "")
    assert hashed == [path]


def test_a_sealed_object_is_what_was_sealed() -> None:
    content = {"a": (1, 2), "b": {"c": None, "é": 0.1}}
    assert unseal(json.loads(json.dumps(seal(content)))) == {"a": [1, 2], "b": content["b"]}
    for spoiled in ({**seal(content), "a": [1, 3]}, content, [], None, {"sha256": 1}):
        with pytest.raises(ValueError, match="sha256"):
            unseal(spoiled)


def test_manifests_record_every_file_of_the_data(finished) -> None:
    data = finished.directory / "data"
    files = {p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file()}
    assert files == set(read_json(data / "manifest.json")["files"]) | {"manifest.json"}
