"""Paths in a study, expanded."""

from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.yaml import flatten
from tests.config.small_studies import CLASSES, SOLVED, identified


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "model.name"),
        (SOLVED, "model.adapter"),
        ({}, "data.source"),
        ({}, "data.test_source"),
        ({"tasks": ["decision", "mt_bench"]}, "mt_bench.questions"),
        ({"tasks": ["decision", "mt_bench"]}, "mt_bench.references"),
        ({"tasks": ["decision", "mt_bench"]}, "mt_bench.judge_prompts"),
        ({"tasks": ["decision", "safety"]}, "safety.prompts"),
        ({"tasks": ["decision", "safety"], "judge.kind": "qwen3guard"}, "judge.model"),
        ({"tasks": ["decision", "safety"], "judge.kind": "qwen3guard"}, "judge.prompt"),
        ({"train.processes": 2}, "train.fsdp"),
        (SOLVED, "data.self_instruct"),
        (SOLVED, "data.test_source"),
        (SOLVED | {"tasks": ["symbolic"]}, "data.test_ids"),
        (SOLVED | {"tasks": ["preference"], "train.objective": "dpo"}, "data.test_source"),
    ],
)
def test_every_path_is_expanded(write_study, monkeypatch, changes, key) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    monkeypatch.setenv("THERE", "/users")
    monkeypatch.delenv("NOWHERE", raising=False)
    for given in ("~/x", "$HOME/x", "${THERE}/me/x", "/users/me/x"):
        study = load_study(write_study(changes | {key: given}, drop=["trial"]))
        assert flatten(study.config.model_dump())[key] == "/users/me/x"
    for given, said in (
        ("$NOWHERE/x", "environment variable NOWHERE is not set"),
        ("~no_such_user/x", "no user 'no_such_user'"),
        ("a\nb", "without the control character"),
    ):
        path = write_study(changes | {key: given}, drop=["trial"])
        with pytest.raises(BadInput, match=f"{key}: found .*{said}") as refused:
            load_study(path)
        assert str(refused.value).startswith(f"{path}: ")


def test_files_by_task_are_expanded_as_well(write_study, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    files = {"rte": {"train": "~/a.tsv", "dev": "$HOME/b.tsv"}}
    found = load_study(
        write_study({**SOLVED, **CLASSES, "data": {"files": files}}, drop=["trial"])
    ).config
    assert found.data.files == {"rte": {"train": "/users/me/a.tsv", "dev": "/users/me/b.tsv"}}


def test_the_directory_of_results_is_expanded(write_study, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    for given in ("~/r", "${HOME}/r"):
        study = load_study(write_study({"results_dir": given}))
        assert study.directory == Path("/users/me/r/small")
    with pytest.raises(BadInput, match="results_dir: found .*variable SCRATCH_ is not set"):
        load_study(write_study(), ["results_dir=$SCRATCH_/r"])


def test_a_result_is_the_same_however_its_paths_are_spelled(write_study, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    one, other = (identified(write_study({"model.name": n})) for n in ("~/m", "/users/me/m"))
    assert one == other


def test_hub_ids_and_words_stay_as_they_are(write_study) -> None:
    for name in ("Qwen/Qwen2.5-7B", "synthetic", "a$", "$", "a~b", "50%"):
        assert load_study(write_study({"model.name": name})).config.model.name == name
