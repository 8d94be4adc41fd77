"""`precision: auto`: by what the device multiplies in hardware; what has begun keeps its own."""

import json
from pathlib import Path

import pytest
import torch

from lib.config.load import load_study
from lib.config.study import identity
from lib.models import precision


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that sets the flags of the CPU, without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def set_flags(flags: str) -> None:
        precision._fast_here.cache_clear()
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
        monkeypatch.setattr(precision, "CPU_FLAGS", tmp_path / "cpuinfo")

    yield set_flags
    precision._fast_here.cache_clear()


def test_what_a_cpu_does_well_and_what_is_named(machine) -> None:
    expected = {"sse avx512f avx512_bf16": "fp32", "avx512f amx_tile amx_bf16": "bf16"}
    for flags, chosen in expected.items():
        machine(flags)
        assert precision.precision_here("auto") == chosen
        assert [precision.precision_here(named) for named in ("bf16", "fp32")] == ["bf16", "fp32"]


def test_training_keeps_the_precision_that_it_began_with(machine, write_study) -> None:
    machine("avx512f")
    words = ["train.precision=auto", "infer.precision=auto"]
    point = load_study(write_study(), words).point(0)
    chosen = precision.on_this_machine(point)
    assert (chosen.config.train.precision, chosen.config.infer.precision) == ("fp32", "fp32")
    assert identity(point.config, "train")["train.precision"] == "auto"  # the same on each machine
    point.directory.mkdir(parents=True)
    record = json.dumps({"config": {"train": {"precision": "bf16"}}})
    (point.directory / "config.json").write_text(record)
    chosen = precision.on_this_machine(point)
    assert (chosen.config.train.precision, chosen.config.infer.precision) == ("bf16", "fp32")


def test_a_trial_chooses_unless_the_study_says_fp32(write_study) -> None:
    study = load_study(write_study({"train.precision": "bf16"}), ["mode=trial"])
    config = study.point(0).config
    assert (config.train.precision, config.infer.precision) == ("auto", "fp32")


def test_config_json_has_the_precision(machine, prepared_study, run_stage) -> None:
    machine("avx512f")
    words = ["train.precision=auto", "train.max_steps=1", "--index", "0"]
    ended = run_stage("stage2_train", prepared_study, *words)
    assert ended.code == 0, ended.err
    point = load_study(prepared_study, words[:2]).point(0)
    record = json.loads((point.directory / "config.json").read_text())
    assert record["config"]["train"]["precision"] == "fp32"
    assert record["identity"]["train.precision"] == "auto"
