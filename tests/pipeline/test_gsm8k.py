"""configs/gsm8k_qlora.yaml: its presets, and what its user can get wrong, at the command line."""

import json

import pytest

from lib.config.load import load_study
from tests.conftest import REPOSITORY

CONFIG = str(REPOSITORY / "configs" / "gsm8k_qlora.yaml")


def problem(number: int, answer: str | None = None) -> dict:
    return {"question": f"What is {number}?", "answer": answer or f"It is so.\n#### {number}"}


@pytest.fixture
def refuses(run_stage, tiny_model, tmp_path, monkeypatch):
    """Return a function that runs stage 1 on small files and returns its one line."""
    monkeypatch.chdir(REPOSITORY)
    words = {
        "results_dir": tmp_path / "results",
        "model.name": tiny_model,
        "model.max_length": 512,
        "data.source": tmp_path / "train.jsonl",
        "data.self_instruct": tmp_path / "train.jsonl",
        "data.test_source": tmp_path / "test.jsonl",
        "data.config": "null",
        "data.validation_rows": 2,
        "data.instruction": "''",
        "safety.prompts": "sample",
        "judge.model": tiny_model,
        "infer.engine": "hf",
    }

    def write(name: str, rows: list[dict]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")

    write("train.jsonl", [problem(n) for n in range(60)])
    write("test.jsonl", [problem(n) for n in range(100, 110)])

    def refused(changes: dict | None = None, **files: list[dict]) -> str:
        for name, rows in files.items():
            write(f"{name}.jsonl", rows)
        given = [f"{key}={value}" for key, value in (words | (changes or {})).items()]
        ended = run_stage("stage1_generate_datasets", CONFIG, *given)
        assert ended.code == 2, ended
        [line] = [line for line in ended.err.splitlines() if not line.startswith("tokenise ")]
        assert line.startswith("error: ")
        return line

    return refused


def test_the_presets_have_the_values_that_are_promised():
    """r, alpha, dropout, learning rate, epochs, shots, new tokens, checkpoint candidates."""
    points = {p.values["variant"]: p.config for p in load_study(CONFIG).points()}
    found = {
        name: (c.train.lora.r, c.train.lora.alpha, c.train.lora.dropout, c.train.learning_rate,
               c.train.epochs, c.data.shots, c.infer.max_new_tokens, c.train.checkpoint_candidates)
        for name, c in points.items() if name in ("simple", "medium", "strong")
    }  # fmt: skip
    assert found == {
        "simple": (8, 16, 0, 1e-4, 1, 3, 512, None),
        "medium": (16, 32, 0.05, 5e-5, 1, 5, 768, 3),
        "strong": (32, 64, 0.1, 2e-5, 2, 8, 1024, None),
    }
    assert {c.train.tuning for c in points.values()} == {"qlora"}
    assert points["strong"].data.train_on == "self_instruct"
    assert points["strong"].safety.max_new_tokens == 512


def test_the_untrained_model_is_evaluated_as_each_preset_is():
    points = list(load_study(CONFIG).points())
    untrained = [p.config for p in points if p.config.train.epochs == 0]
    presets = [p.config for p in points if p.values["variant"] in ("simple", "medium", "strong")]
    evaluated = [[(c.data.shots, c.infer) for c in found] for found in (untrained, presets)]
    assert evaluated[0] == evaluated[1]


def test_bad_data_is_one_line(refuses, tmp_path):
    good = [problem(n) for n in range(60)]
    line = refuses(train=[*good[:3], problem(3, "Three."), *good[4:]])
    assert f"{tmp_path}/train.jsonl:4: answer: found no number behind ####" in line
    line = refuses({"data.shot_pool": 4}, train=good)
    assert "data.shots: found 8, expected at most 4: so many examples are stored" in line
    long = problem(200) | {"question": "What is it? " * 400}
    line = refuses({"data.test_share": 1}, test=[long])
    assert "model.max_length: row test-0 needs " in line
    assert "tokens for the prompt alone" in line
    (tmp_path / "asked.csv").write_text("number,kind\r\n1,dfm\r\n", encoding="utf-8")
    line = refuses({"safety.prompts": tmp_path / "asked.csv"})
    assert f"{tmp_path}/asked.csv: no column 'prompt', found number, kind" in line
    assert not (tmp_path / "results").exists()
