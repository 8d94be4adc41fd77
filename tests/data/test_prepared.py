import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.data import preparation
from lib.data.encoding import (
    answer_encoder,
    encode_pair,
    encode_prompt,
    encode_row,
    fit_prompt,
    prompt_hash,
)
from lib.data.preparation import data_identity, prepare
from lib.data.prepared import (
    encoded_split,
    encoded_test,
    encoded_training,
    read_manifest,
    train_identity,
    train_split,
)
from lib.data.testsets import predict_identity, rows_of
from lib.runs.directory import Busy, locked
from lib.runs.files import read_jsonl
from lib.runs.integrity import checksum
from lib.tasks.decision.task import TASK as task

TWO_RATIOS = {
    "axes.ratio": "data.ratio",
    "grid": [
        {"variant": "baseline", "gamma": 1, "ratio": "1:1"},
        {"variant": "accept", "gamma": 2, "ratio": "1:2"},
    ],
}


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture) -> None:
    """Progress goes to standard error."""


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """Return a file of 60 papers."""
    path = tmp_path / "papers.jsonl"
    rows = [
        {"title": f"Paper {n}", "abstract": f"Idea {n}.", "decision": ("accept", "reject")[n % 2]}
        for n in range(60)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def of_papers(write_study, tiny_model: Path, papers: Path) -> str:
    """Return a study of these papers."""
    return write_study({"model.name": str(tiny_model), "data.source": str(papers)})


# -- once ------------------------------------------------------------------------------------------


def test_data_are_made_once(prepared_study: str, snapshot, monkeypatch) -> None:
    study = load_study(prepared_study)
    before = snapshot(study.directory)
    times = {p: p.stat().st_mtime_ns for p in study.directory.rglob("*")}
    monkeypatch.setattr(task, "build", lambda *_: pytest.fail("built again"))
    manifest = prepare(study)
    assert manifest == read_manifest(study)
    assert snapshot(study.directory) == before
    assert {p: p.stat().st_mtime_ns for p in study.directory.rglob("*")} == times


def test_data_outlive_their_source(of_papers: str, papers: Path) -> None:
    manifest = prepare(load_study(of_papers))
    papers.unlink()
    assert prepare(load_study(of_papers)) == manifest


def test_another_content_of_the_source_is_refused(of_papers: str, papers: Path, snapshot) -> None:
    study = load_study(of_papers)
    prepare(study)
    before = snapshot(study.directory)
    papers.write_text(papers.read_text().replace("Idea 7.", "Idea 8."))
    message = rf"data: data has results of another config: {papers} sha256 was '\w{{12}}', is '"
    with pytest.raises(BadInput, match=message):
        prepare(study)
    assert snapshot(study.directory) == before


def test_a_source_below_the_home_is_known_by_its_content(
    write_study, tiny_model, papers, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    changes = {"model.name": str(tiny_model), "data.source": "~/papers.jsonl"}
    study = load_study(write_study(changes))
    assert data_identity(study, False)[f"{papers} sha256"] == checksum(papers)[:12]


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("data.seed=43", "data.seed was 42, is 43"),
        ("data.train_rows=20", "data.train_rows was 24, is 20"),
        ("model.max_length=96", "model.max_length was 128, is 96"),
        ("data.instruction=" + "x" * 300, "data.instruction was None, is 'xxx"),
    ],
)
def test_another_config_is_refused_by_its_keys(prepared_study, snapshot, word, change) -> None:
    study = load_study(prepared_study, [word])
    before = snapshot(study.directory)
    with pytest.raises(BadInput, match=f"data has results of another config: {change}"):
        prepare(study)
    assert snapshot(study.directory) == before


def test_what_is_no_part_of_the_data_changes_nothing(prepared_study: str) -> None:
    words = ["train.learning_rate=1", "evaluate.level=0.9", "infer.max_new_tokens=3"]
    assert prepare(load_study(prepared_study, words))


def test_a_ratio_more_or_less_in_the_grid_is_another_config(
    prepared_study: str, write_study, tiny_model
) -> None:
    changes = {"model.name": str(tiny_model), **TWO_RATIOS}
    with pytest.raises(BadInput, match=r"data.ratio was '1:1', is \['1:1', '1:2'\]"):
        prepare(load_study(write_study(changes)))
    changes["grid"] = [{**block, "ratio": "1:2"} for block in changes["grid"]]
    with pytest.raises(BadInput, match=r"data.ratio was '1:1', is '1:2'"):
        prepare(load_study(write_study(changes)))


def test_force_makes_them_again_and_keeps_the_old(of_papers, papers, snapshot) -> None:
    study = load_study(of_papers)
    prepare(study)
    before = snapshot(study.directory / "data")
    papers.write_text(papers.read_text().replace("Idea", "Thought"))
    manifest = prepare(study, force=True)
    assert read_manifest(study) == manifest
    (kept,) = (study.directory / "previous").iterdir()
    assert snapshot(kept / "data") == before
    assert "Thought" in rows_of(study, "decision")[0]["prompt"]["abstract"]


def test_a_forced_build_that_fails_leaves_the_old_data(prepared_study, snapshot, monkeypatch):
    study = load_study(prepared_study)
    before = snapshot(study.directory)

    def fail(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparation, "write_sealed", fail)
    with pytest.raises(BadInput, match="data: cannot be written: No space left on device"):
        prepare(study, force=True)
    after = snapshot(study.directory)
    assert {name: content for name, content in after.items() if name != ".lock"} == before


# -- refused before anything is written ------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.max_length": 32}, "model.max_length: row .* needs"),
        ({"model.name": "/nowhere/model"}, "model.name: no such model directory /nowhere/model"),
        ({"data.source": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
    ],
)
def test_nothing_is_written_for_bad_input(
    write_study, tiny_model, tmp_path, changes, message
) -> None:
    study = load_study(write_study({"model.name": str(tiny_model), **changes}))
    with pytest.raises(BadInput, match=message):
        prepare(study)
    assert not (tmp_path / "results").exists()


def test_one_task_at_a_time(write_study, tiny_model: Path) -> None:
    study = load_study(write_study({"model.name": str(tiny_model)}))
    with locked(study.directory, "the other"), pytest.raises(Busy, match="the other"):
        prepare(study)
    assert [p.name for p in study.directory.iterdir()] == [".lock"]


def test_a_full_disk_leaves_no_half_data(write_study, tiny_model, small_disk, snapshot) -> None:
    if not os.path.ismount(small_disk):
        pytest.skip("a limit on the size of a file stops none of these small files")
    study = load_study(write_study({"model.name": str(tiny_model), "results_dir": str(small_disk)}))
    filler, fits = small_disk / "filler", 0
    free = shutil.disk_usage(small_disk).free
    for room in (4096, 24576, 40960, 57344, 131072):
        filler.write_bytes(b"x" * (free - room))
        try:
            prepare(study)
            fits += 1
            shutil.rmtree(study.directory)
        except BadInput as error:
            assert "cannot be written: No space left on device" in str(error)  # noqa: PT017
            assert set(snapshot(study.directory)) <= {".lock"}
    assert 0 < fits < 5  # some rooms were too small, some not: every file had its turn


# -- what is there ---------------------------------------------------------------------------------


def test_the_manifest_tells_what_there_is(prepared_study: str) -> None:
    study = load_study(prepared_study)
    manifest, directory = read_manifest(study), study.directory / "data"
    assert set(manifest["splits"]) == {"test", "train_1-1"}
    for name, split in manifest["splits"].items():
        assert split["sha256"] == checksum(directory / split["file"])
        assert split["rows"] == len(read_jsonl(directory / split["file"]))
        assert split["rows"] == {"test": 8, "train_1-1": 24}[name]
    assert manifest["cut"] == {"train": 0, "test": 0}
    assert manifest["identity"] == data_identity(study, False)
    assert sorted(p.name for p in directory.iterdir()) == [
        "encoded", "manifest.json", "test.jsonl", "train_1-1.jsonl",
    ]  # fmt: skip


def test_stored_rows_are_what_encoding_gives_now(prepared_study: str, tokenizer) -> None:
    study = load_study(prepared_study)
    config, answer_ids = study.config, answer_encoder(tokenizer)
    rows = read_jsonl(study.directory / "data" / "train_1-1.jsonl")
    assert encoded_training(study, study.point(0)).to_list() == [
        encode_row(tokenizer, task, row, config.data, config.model.max_length, answer_ids)
        for row in rows
    ]
    test = encoded_test(study, study.point(0)).to_list()
    assert [row["id"] for row in test] == [row["id"] for row in rows_of(study, "decision")]
    for made, row in zip(test, rows_of(study, "decision"), strict=True):
        messages = task.messages(row, config.data)
        answers = [answer_ids(messages, answer) for answer in task.answers(config.data)]
        room = config.model.max_length - max(map(len, answers))
        ids, cut = fit_prompt(tokenizer, task, row, config.data, room)
        assert (made["input_ids"], made["answers"], made["cut"]) == (ids, answers, cut)
        assert made["prompt_hash"] == prompt_hash(ids)


def test_what_had_to_be_cut_is_counted(prepared_study: str) -> None:
    whole = load_study(prepared_study)
    room = max(map(len, encoded_training(whole, whole.point(0))["input_ids"])) - 1
    study = load_study(prepared_study, ["name=shorter", f"model.max_length={room}"])
    cut = prepare(study)["cut"]
    assert cut["train"] == sum(encoded_training(study, study.point(0))["cut"])
    assert cut["test"] == sum(encoded_test(study, study.point(0))["cut"])
    assert cut["train"] > 0
    assert max(map(len, encoded_training(study, study.point(0))["input_ids"])) <= room


def test_a_point_gets_the_rows_of_its_split_in_order(write_study, tiny_model: Path) -> None:
    study = load_study(write_study({"model.name": str(tiny_model), **TWO_RATIOS}))
    prepare(study)
    ids = []
    for index, name in enumerate(("train_1-1", "train_1-2")):
        point = study.point(index)
        assert train_split(study, point) == name
        wanted = [row["id"] for row in read_jsonl(study.directory / "data" / f"{name}.jsonl")]
        assert encoded_training(study, point)["id"] == wanted
        ids.append(set(wanted))
    encoded = study.directory / "data" / "encoded"
    assert len(np.load(encoded / "train_1-1.npy")) == 24
    # A row of both sets is stored once.
    stored = prepared_rows(encoded)
    assert ids[0] & ids[1]
    assert sorted(stored) == sorted(ids[0] | ids[1])
    assert not set(stored) & {row["id"] for row in rows_of(study, "decision")}


def prepared_rows(encoded: Path) -> list[str]:
    from datasets import load_from_disk

    return list(load_from_disk(str(encoded / "rows"))["id"])


def test_a_split_that_is_not_there_is_named(prepared_study: str) -> None:
    study = load_study(prepared_study, ["data.ratio=1:2"])
    with pytest.raises(BadInput, match="no split 'train_1-2' for baseline_gamma1; run stage 1"):
        train_split(study, study.point(0))


# -- a task that encodes its own rows --------------------------------------------------------------

PAIRS = {
    "tasks": ["preference"],
    "train.objective": "dpo",
    "data": {"source": "synthetic", "train_rows": 12, "test_rows": 4, "validation": 0.25},
    "axes": {"seed": "train.seed"},
    "variants": {"one": {"train.epochs": 1}},
    "grid": [{"variant": "one", "seed": [1, 2]}],
    "evaluate.baseline": {"variant": "one", "seed": 1},
}


@pytest.fixture
def of_pairs(write_study, tiny_model: Path) -> str:
    """Return a study of preference pairs."""
    return write_study({"model.name": str(tiny_model), **PAIRS}, drop=["trial"])


def test_every_split_of_pairs_is_tokenised_in_its_order(of_pairs: str, tokenizer) -> None:
    study = load_study(of_pairs)
    manifest, directory = prepare(study), study.directory / "data"
    sizes = {"train": 12, "validation": 4, "test": 4}
    assert {name: split["rows"] for name, split in manifest["splits"].items()} == sizes
    assert manifest["cut"] == manifest["dropped_truncated"] == dict.fromkeys(sizes, 0)
    assert sorted(p.name for p in (directory / "encoded").iterdir()) == sorted(sizes)
    for name in sizes:
        rows = read_jsonl(directory / f"{name}.jsonl")
        assert encoded_split(study, name).to_list() == [
            {"id": row["id"]}
            | encode_pair(tokenizer, row["prompt"]["messages"], row["chosen"], row["rejected"], 128)
            for row in rows
        ]
    point = study.point(0)
    assert train_split(study, point) == "train"
    assert {"split sha256", "validation sha256"} <= set(train_identity(study, point))
    assert prepare(study) == manifest


def test_pairs_of_which_nothing_is_left_are_in_no_file(of_pairs: str, tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    lines = [
        {
            "id": n,
            "prompt": f"{'Why? ' * (200 if n % 2 else 1)}{n}",
            "chosen": f"So {n}.",
            "rejected": "No.",
            "split": "test" if n > 15 else "train",
        }
        for n in range(20)
    ]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [f"data.source={source}", "data.train_rows=null", "data.test_rows=null"]
    study = load_study(of_pairs, words)
    manifest = prepare(study)
    lost = manifest["dropped_truncated"]
    assert lost["test"] == 2
    assert lost["train"] + lost["validation"] == 8
    for name, split in manifest["splits"].items():
        rows = read_jsonl(study.directory / "data" / f"{name}.jsonl")
        assert split["rows"] == len(rows)
        assert [row["id"] for row in rows] == encoded_split(study, name)["id"]
        assert all(int(row["id"]) % 2 == 0 for row in rows)


def test_pairs_that_all_are_too_long_are_refused(of_pairs: str, tmp_path: Path) -> None:
    study = load_study(of_pairs, ["model.max_length=16"])
    with pytest.raises(BadInput, match="model.max_length: found 16, which leaves nothing of all"):
        prepare(study)
    assert not (tmp_path / "results").exists()


def test_a_split_of_pairs_that_is_not_there_is_named(of_pairs: str) -> None:
    study = load_study(of_pairs, ["data.validation=0"])
    prepare(study)
    with pytest.raises(BadInput, match="no split 'validation' for its pairs; run stage 1 again"):
        encoded_split(study, "validation")


# -- prompts that differ between points ------------------------------------------------------------


@pytest.fixture
def of_renderings(write_study, tiny_model, monkeypatch) -> str:
    """Three points, two renderings of their prompts, and validation rows."""
    build = task.build

    def with_validation(data, wanted, *more):
        splits = build(data, wanted[:1], *more)
        splits.rows["validation"] = [{**row, "id": f"v{row['id']}"} for row in splits.rows["test"]]
        return splits

    monkeypatch.setattr(task, "build", with_validation)
    monkeypatch.setattr(task, "rendering", lambda data: data.system or "")
    changes = {
        "variants/accept/data.system": "once",
        "variants/accept/train.epochs": 0,  # untrained models may be asked in any words
        "variants/reject/data.system": "once",
        "variants/reject/train.epochs": 0,
        "variants/reject/infer.max_new_tokens": 5,  # else it would be the same run
        "model.name": str(tiny_model),
    }
    return write_study(changes)


def test_no_point_is_trained_on_other_words_than_it_is_tested_on(of_renderings: str) -> None:
    text = Path(of_renderings).read_text(encoding="utf-8")
    Path(of_renderings).write_text(text.replace("train.epochs: 0", "train.epochs: 1"))
    with pytest.raises(
        BadInput, match="the point accept_gamma2 phrases its training prompts unlike"
    ):
        prepare(load_study(of_renderings))


def test_each_rendering_of_the_prompts_is_tokenised_once(of_renderings: str, tokenizer) -> None:
    study = load_study(of_renderings)
    manifest = prepare(study)
    encoded = study.directory / "data" / "encoded"
    prompts = {"test", "validation", "test-once", "validation-once"}
    answered = {"rows", "train_1-1.npy", "validation-rows"}
    assert {path.name for path in encoded.iterdir()} == prompts | answered
    assert manifest["cut"] == dict.fromkeys(["train", *sorted(prompts)], 0)
    assert set(manifest["splits"]) == {"train_1-1", "test", "validation"}
    baseline, accept, reject = study.points()
    for point in (baseline, accept, reject):
        for split in ("test", "validation"):
            made = encoded_test(study, point, split)
            rows = read_jsonl(study.directory / "data" / f"{split}.jsonl")
            assert made["id"] == [row["id"] for row in rows]
            for ids, row in zip(made["input_ids"], rows, strict=True):
                assert ids == encode_prompt(tokenizer, task.messages(row, point.config.data))
    one, other = encoded_test(study, baseline), encoded_test(study, accept)
    assert not set(one["prompt_hash"]) & set(other["prompt_hash"])
    assert other["prompt_hash"] == encoded_test(study, reject)["prompt_hash"]
    trained = set(prepared_rows(encoded))
    assert not trained & {*one["id"], *encoded_test(study, baseline, "validation")["id"]}


def test_prompts_of_another_rendering_are_named(of_renderings: str) -> None:
    study = load_study(of_renderings)
    prepare(study)
    other = load_study(of_renderings, ["data.instruction=x"])
    point = other.point(0)
    changed = point.config.data.model_copy(update={"system": "twice"})
    moved = replace(point, config=point.config.model_copy(update={"data": changed}))
    with pytest.raises(BadInput, match="test-twice: no checksum was recorded of it; run stage 1"):
        encoded_test(study, moved)


def test_a_prompt_may_not_be_longer_than_the_models_context(write_study, tiny_model) -> None:
    given = {"model.name": str(tiny_model)}
    prepare(load_study(write_study(given | {"model.max_length": 512})))
    message = f"model.max_length: found 513, expected at most 512, the context of {tiny_model}"
    with pytest.raises(BadInput, match=message):
        prepare(load_study(write_study(given | {"model.max_length": 513, "name": "longer"})))
    assert not (Path(load_study(write_study()).results_dir) / "longer").exists()


def test_the_whole_test_set_is_other_data_than_a_sample_of_it(prepared_study, monkeypatch) -> None:
    monkeypatch.setattr(task, "reads", ("evaluate.full_test",))
    study = load_study(prepared_study, ["evaluate.full_test=true"])
    with pytest.raises(BadInput, match="data has .*: evaluate.full_test was None, is True"):
        prepare(study)
    assert prepare(load_study(prepared_study, ["evaluate.full_test=false"]))
    sections = []
    build = task.build
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(task, "build", lambda *given: sections.append(given[2]) or build(*given))
        prepare(load_study(prepared_study, ["evaluate.full_test=true", "name=whole"]))
    assert [section.full_test for section in sections] == [True]


# -- identities ------------------------------------------------------------------------------------


def test_a_point_depends_on_its_config_and_its_rows(prepared_study: str) -> None:
    study = load_study(prepared_study)
    baseline, accept, _ = study.points()
    train, predict = train_identity(study, accept), predict_identity(study, accept, "decision")
    assert train["split sha256"] == read_manifest(study)["splits"]["train_1-1"]["sha256"][:12]
    assert predict.items() >= train.items()
    assert predict["test sha256"] == read_manifest(study)["splits"]["test"]["sha256"][:12]
    assert predict["infer.max_new_tokens"] == 4
    assert "infer.max_new_tokens" not in train
    other = train_identity(study, baseline)
    # A baseline weights no class, so what it would weight by is no part of it.
    assert {key for key in train if train[key] != other.get(key)} == {
        "train.gamma", "train.weighted_class", "train.weighting",
    }  # fmt: skip
    words = [
        "evaluate.level=0.9",
        "train.micro_batch=2",
        "infer.batch_size=3",
        "slurm.train.gpus=0",
    ]
    again = load_study(prepared_study, words)
    assert predict_identity(again, again.point(1), "decision") == predict


def test_rows_of_equal_text_and_other_tokens_are_other_data() -> None:
    rows = [{"id": "a", "input_ids": [1, 2]}, {"id": "b", "input_ids": [3]}]
    made = {"rows": rows, "test": rows[:1], "places": {"train_1": [0, 1], "train_2": [1]}}
    found = preparation.token_digests(made)
    assert set(found) == {"train_1", "train_2", "test"}
    rows[0] = {"id": "a", "input_ids": [1, 7]}
    changed = preparation.token_digests(made)
    assert found["train_1"] != changed["train_1"]
    assert found["train_2"] == changed["train_2"]  # a split holds what its own rows are
    assert preparation.token_digests({"train": rows[1:]})["train"] == found["train_2"]
