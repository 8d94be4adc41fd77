"""Splits of GLUE tasks: published dev sets, validation cut off training, tokens, grades."""

import gzip
import json
from collections import Counter

import pytest
from pydantic import ValidationError

from lib.config.errors import BadInput
from lib.tasks.glue import data as glue
from lib.tasks.glue.schema import Data
from lib.tasks.glue.table import GLUE

TASKS = ("mnli", "sst2", "rte")


def write(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


def pairs(first, last, **more):
    return [{"sentence1": f"A {n}.", "sentence2": f"B {n}.", "label": n % 2} | more
            for n in range(first, last)]  # fmt: skip


@pytest.fixture
def files(tmp_path):
    train = write(tmp_path / "train.jsonl.gz", pairs(0, 200))
    return {"rte": {"train": train, "dev": write(tmp_path / "dev.jsonl", pairs(1000, 1040))}}


def build(debug=False, tasks=("rte",), **keys):
    data = Data(task=tasks[0], **keys)
    return glue.build(data, [Data(task=task, **keys) for task in tasks], None, debug)


def refused(**keys):
    with pytest.raises(BadInput) as error:
        build(**keys)
    assert "\n" not in str(error.value)
    return str(error.value)


def ids(rows):
    return [row["id"] for row in rows]


def test_dev_set_is_the_test_split_whole(files):
    made = build(files=files).rows
    assert set(ids(made["test"])) == {f"rte-dev-{n}" for n in range(40)}
    assert {row["prompt"]["a"] for row in made["test"]} == {f"A {n}." for n in range(1000, 1040)}
    assert sum(row["label"] for row in made["test"][:10]) == 5  # any head has both labels
    assert list(made) == ["train_rte", "validation", "test"]


def test_validation_is_a_seeded_tenth_of_the_training_rows(files):
    made = build(files=files).rows
    assert (len(made["validation"]), len(made["train_rte"])) == (20, 180)
    assert set(ids(made["validation"])).isdisjoint(ids(made["train_rte"]))
    assert made["validation"] == build(files=files).rows["validation"]
    assert made["validation"] != build(files=files, seed=1).rows["validation"]
    assert set(ids(made["test"])) == set(ids(build(files=files, seed=1).rows["test"]))


def test_validation_is_bounded_and_can_be_left_out(files):
    assert len(build(files=files, validation_rows=7).rows["validation"]) == 7
    made = build(files=files, validation=0.0).rows
    assert list(made) == ["train_rte", "test"]
    assert len(made["train_rte"]) == 200


def test_training_rows_in_a_dev_set_go_and_are_counted(files, tmp_path):
    dev = pairs(1000, 1040) + [{"sentence1": "a  0.", "sentence2": "B 0.", "label": 1}]
    files["rte"]["dev"] = write(tmp_path / "dev.jsonl", dev)
    made = build(files=files, validation=0.0)
    assert "rte-train-0" not in ids(made.rows["train_rte"])
    told = made.report["tasks"]["rte"]["train"]
    assert (told["dropped_as_in_dev"], told["read"], told["repeated"]) == (1, 200, 0)


def test_repeated_sentences_stay_and_are_on_one_side_of_the_cut(files, tmp_path):
    files["rte"]["train"] = write(tmp_path / "train.jsonl", pairs(0, 50) * 4)
    made = build(files=files, validation=0.2)
    texts = [
        {row["prompt"]["a"] for row in made.rows[name]} for name in ("train_rte", "validation")
    ]
    assert texts[0].isdisjoint(texts[1])
    assert len(made.rows["validation"]) == 40
    assert len(made.rows["train_rte"]) == 160
    assert made.report["tasks"]["rte"]["train"]["repeated"] == 150


def test_mnli_has_both_dev_sets_and_a_limit_takes_from_both(tmp_path):
    sets = {"train": pairs(0, 60), "matched": pairs(100, 130), "mismatched": pairs(200, 230)}
    files = {"mnli": {name: write(tmp_path / f"{name}.jsonl", r) for name, r in sets.items()}}
    whole = build(files=files, tasks=("mnli",)).rows["test"]
    assert Counter(row["set"] for row in whole) == {"matched": 30, "mismatched": 30}
    few = build(files=files, tasks=("mnli",), test_rows=9).rows["test"]
    assert sorted(Counter(row["set"] for row in few).values()) == [4, 5]
    assert set(ids(few)) < set(ids(whole))


def test_every_task_of_the_grid_is_in_the_shared_splits():
    made = build(tasks=TASKS, source="synthetic", train_rows=30, test_rows=8).rows
    assert list(made) == ["train_mnli", "train_sst2", "train_rte", "validation", "test"]
    for task in TASKS:
        section = Data(task=task)
        assert len(glue.select_rows(made["test"], section)) == 8
        assert [row["task"] for row in made[glue.train_split(section)]] == [task] * 30
        assert glue.select_rows(made["validation"], section)
        assert glue.labels(section) == list(GLUE[task].labels)
    assert len(set(ids(made["test"]))) == 24


@pytest.mark.parametrize("task", TASKS)
def test_synthetic_sets_have_every_label_and_share_no_sentence(task):
    made = build(tasks=(task,), source="synthetic").rows
    assert {row["target"] for row in made["test"]} == set(GLUE[task].labels)
    texts = {name: {str(row["prompt"]) for row in rows} for name, rows in made.items()}
    assert texts[f"train_{task}"].isdisjoint(texts["test"] | texts["validation"])
    assert len(made[f"train_{task}"]) > 300


def test_debug_takes_a_hundred_training_rows(files):
    made = build(debug=True, files=files)
    assert [len(made.rows[name]) for name in ("train_rte", "validation", "test")] == [100, 20, 40]


def test_train_rows_draws_by_the_seed(files):
    few, more = (ids(build(files=files, train_rows=n).rows["train_rte"]) for n in (10, 20))
    assert len(few) == 10
    assert set(few) < set(more)
    assert few == sorted(few, key=lambda name: int(name.rpartition("-")[2]))


def test_unknown_task_gets_the_nearest():
    with pytest.raises(ValidationError, match=r"GLUE tasks mnli, sst2, rte; did you mean 'sst2'"):
        Data(task="SST-2")


@pytest.mark.parametrize(
    ("files", "expected"),
    [({"rt": {"train": "a", "dev": "b"}}, "did you mean 'rte'"),
     ({"rte": {"train": "a"}}, "for rte one file for each of train, dev"),
     ({"mnli": {"train": "a", "match": "b", "mismatched": "c"}}, "did you mean 'matched'")],
)  # fmt: skip
def test_files_name_tasks_and_sets(files, expected):
    with pytest.raises(ValidationError, match=expected):
        Data(files=files)


def test_label_out_of_range_names_file_and_line(files, tmp_path):
    dev = write(tmp_path / "dev.jsonl", pairs(0, 2) + pairs(2, 3, label=3))
    files["rte"]["dev"] = dev
    assert refused(files=files) == (
        f"{dev}:3: label: found 3, expected one of 0 (entailment), 1 (not_entailment)"
    )


def test_missing_file_is_named_with_its_key(files):
    files["rte"]["dev"] = files["rte"]["train"].replace("train", "trainn")
    said = refused(files=files)
    assert said.startswith(f"data.files.rte.dev: {files['rte']['dev']}: no such file; did you mean")


def test_file_as_source_is_told_where_it_belongs(files):
    assert "name files with data.files, as in data.files={rte:" in refused(
        source=files["rte"]["dev"])  # fmt: skip


def test_nothing_left_for_training(files, tmp_path):
    files["rte"]["train"] = write(tmp_path / "train.jsonl", pairs(1000, 1010))
    assert "no row of rte is left for training: of 10 read, 10 are in a dev set" in refused(
        files=files)  # fmt: skip


def test_hub_splits_are_asked_for_by_task(monkeypatch):
    asked = []

    def read(source, split, example, config=None):
        asked.append((source, config, split))
        return [(f"{source}: row {n}", {"premise": f"A {split} {n}", "hypothesis": "B",
                                        "label": "neutral"}) for n in range(20)]  # fmt: skip

    monkeypatch.setattr("lib.tasks.glue.rows.read_placed", read)
    made = build(tasks=("mnli",)).rows
    hub = "nyu-mll/glue"
    assert asked == [(hub, "mnli", "validation_matched"), (hub, "mnli", "validation_mismatched"),
                     (hub, "mnli", "train")]  # fmt: skip
    assert len(made["test"]) == 40


def test_grade_compares_numbers_and_refuses_other_outputs():
    row = {"id": "rte-dev-0", "task": "rte", "label": 1}
    assert glue.grade(row, {"outputs": ["not_entailment"]}) == {
        "predicted": 1, "label": 1, "correct": True}  # fmt: skip
    assert not glue.grade(row, {"outputs": ["entailment"]})["correct"]
    with pytest.raises(BadInput, match=r"rte-dev-0: outputs: found \['neutral'\]"):
        glue.grade(row, {"outputs": ["neutral"]})
    assert glue.summary([{"correct": True}, {"correct": False}]) == "right 50.0 %"


@pytest.fixture(scope="module")
def bert():
    """Return a word-level tokenizer that joins pairs as BERT does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c"]
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=made, model_input_names=inputs, **names)


def encoded(tokenizer, a, b, room):
    row = {"id": "x", "prompt": {"a": a, "b": b}, "label": 1}
    return glue.encode(row, tokenizer, None, room)


def test_tokens_of_one_sentence_and_of_two(bert):
    one = encoded(bert, "a b", None, 16)
    assert (one["input_ids"], one["token_type_ids"], one["cut"]) == ([2, 4, 5, 3], [0] * 4, False)
    two = encoded(bert, "a b", "c", 16)
    assert two["input_ids"] == [2, 4, 5, 3, 6, 3]
    assert two["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert (two["id"], two["label"]) == ("x", 1)
    assert one["prompt_hash"] != two["prompt_hash"] == encoded(bert, "a b", "c", 9)["prompt_hash"]


def test_the_longer_sentence_loses_its_end(bert):
    """Ten places less three special tokens: 7 of 9 + 3 words, so 4 + 3."""
    made = encoded(bert, "a " * 9, "b b b", 10)
    assert made["input_ids"] == [2, 4, 4, 4, 4, 3, 5, 5, 5, 3]
    assert made["cut"]
    assert not encoded(bert, "a " * 4, "b b b", 10)["cut"]
