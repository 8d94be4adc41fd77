"""A GLUE study at the command line: its data, what each point predicts, what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.data.testsets import rows_of
from lib.runs.files import read_json, read_jsonl

DATA = "stage1_generate_datasets"
CHANGES = {
    "tasks": ["glue"],
    "data": {"source": "synthetic", "train_rows": 16, "test_rows": 4, "validation": 0.25},
    "train/objective": "classification",
    "train/tuning": "lora",
    "axes": {"task": "data.task", "alpha": "train.importance.alpha"},
    "variants": {"lora": {}, "iw_lora": {"train.importance.batches": 1}},
    "grid": [{"variant": "lora", "task": ["mnli", "rte"]},
             {"variant": "iw_lora", "task": "rte", "alpha": 0.1}],
    "evaluate/baseline": {"variant": "lora", "task": "rte"},
    "trial": {},
}  # fmt: skip


@pytest.fixture
def glue(write_study: Callable[..., str], tiny_model: Path) -> Callable[..., str]:
    """Return a function that writes a small GLUE study with changes and returns its path."""

    def write(**changes: object) -> str:
        return write_study(CHANGES | {"model/name": str(tiny_model)} | changes)

    return write


def test_stage_1_writes_every_task_and_a_point_predicts_its_own(glue, run_stage) -> None:
    path = glue()
    ended = run_stage(DATA, path)
    assert ended.code == 0, ended.err
    study = load_study(path)
    manifest = read_json(study.directory / "data" / "manifest.json")
    assert {name: split["rows"] for name, split in manifest["splits"].items()} == {
        "train_mnli": 16, "train_rte": 16, "validation": 12, "test": 8}  # fmt: skip
    assert set(manifest["cut"]) == set(manifest["splits"])
    whole = read_jsonl(study.directory / "data" / "test.jsonl")
    for point in study.points():
        own = rows_of(study, "glue", point)
        assert own == [row for row in whole if row["task"] == point.values["task"]]
        assert len(own) == 4


def test_truncation_is_counted(glue, run_stage) -> None:
    path = glue(**{"model/max_length": 16})
    assert run_stage(DATA, path).code == 0
    cut = read_json(load_study(path).directory / "data" / "manifest.json")["cut"]
    assert cut["train_mnli"] == 16


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"task": "rtee"}}, "data.task: found 'rtee', expected one of the GLUE tasks "
                                     "mnli, sst2, rte; did you mean 'rte'?"),
        ({"data": {"files": {"rte": {"train": "a.tsv"}}}}, "for rte one file for each of train, "
                                                           "dev"),
        ({"data": {"sorce": "synthetic"}}, "data.sorce: unknown key"),
        ({"data": {"source": "synthetic", "validation": 1.5}}, "data.validation: found 1.5"),
    ],
)  # fmt: skip
def test_wrong_keys_are_refused_in_one_line(glue, run_stage, changes, said) -> None:
    ended = run_stage(DATA, glue(**changes))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert said in ended.err


def test_label_out_of_range_is_refused_with_its_row(glue, run_stage, tmp_path) -> None:
    rows = [{"sentence1": f"A {n}", "sentence2": "B", "label": n % 2} for n in range(40)]
    rows[4]["label"] = 2
    names = {}
    for name in ("train", "dev"):
        names[name] = str(tmp_path / f"{name}.jsonl")
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    grid = [{"variant": "lora", "task": "rte"}]
    path = glue(**{"data": {"files": {"rte": names}}, "grid": grid})
    ended = run_stage(DATA, path)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err == (
        f"error: {names['dev']}:5: label: found 2, expected one of 0 (entailment), "
        f"1 (not_entailment)\n"
    )
    assert not load_study(path).directory.exists()
