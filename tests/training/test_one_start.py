"""Points of one process: equal to the bit to a process each, whatever the ones before did."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lib.config.load import load_study
from lib.config.schema import Model, Train
from lib.models import load, shared
from lib.models.trainable import load_for_training
from lib.runs.files import read_jsonl
from lib.training import loop
from lib.training.monitor import RunMonitor
from tests.conftest import as_started

LORA = {"train.tuning": "lora", "train.weighted_class": "accept"}
VARIANTS = {
    "plain": LORA | {"train.weighted_class": None},
    "dropped": LORA | {"train.lora.dropout": 0.3, "train.gradient_checkpointing": True},
    "full": {"train.tuning": "full", "train.weighted_class": "accept"},
    "diverged": LORA | {"train.learning_rate": 1e30, "train.clip": 1e30},
    "raised": LORA | {"train.lora.target_modules": ["nowhere"]},
    "row": LORA | {"train.weighting": "row", "train.lora.target_modules": ["q_proj"]},
    "dropped_again": LORA | {"train.lora.dropout": 0.3, "train.seed": 7},
}


@pytest.fixture
def study(write_study, tiny_model, prepared_study, tmp_path) -> str:
    """Return the path of a study of these variants, one point each."""
    changes = {
        "model.name": str(tiny_model),
        "variants": VARIANTS,
        "grid": [{"variant": list(VARIANTS)}],
        "evaluate.baseline": {"variant": "plain"},
        "train.gamma": 2,
    }
    return write_study(changes, drop=["axes"])


def trained(directory: Path) -> dict[str, Any]:
    """What a point's training left: weights, tokenizer, log without times, how it ended."""
    rows = [{k: v for k, v in row.items() if k != "seconds"}
            for row in read_jsonl(directory / "train.jsonl")]  # fmt: skip
    files = {path.name: path.read_bytes() for path in sorted((directory / "model").glob("*"))}
    status = json.loads((directory / "done/train.json").read_text())["status"]
    return {"rows": rows, "status": status, "files": files}


def test_several_points_are_as_processes_of_their_own(study, processes, tmp_path) -> None:
    (tmp_path / "alone" / "small").mkdir(parents=True)
    (tmp_path / "alone" / "small" / "data").symlink_to(tmp_path / "results" / "small" / "data")
    words = ("stages.stage2_train", study)
    compared = [5, 6]
    started = [processes.Process(target=as_started, args=(*words, "--index", "0,2-6"))]
    started += [
        processes.Process(
            target=as_started, args=(*words, f"results_dir={tmp_path / 'alone'}", "--index", str(i))
        )  # fmt: skip
        for i in compared
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [2, 0, 0]  # 2: of the one that raised
    for index in compared:
        name = load_study(study).point(index).name
        one, other = (trained(tmp_path / root / "small" / name) for root in ("results", "alone"))
        assert one == other, name
    assert trained(tmp_path / "results" / "small" / "diverged")["status"] == "diverged"


def test_a_stop_is_honoured_before_the_next_point_and_the_rest_resumes(
    study, run_stage, monkeypatch, tmp_path
) -> None:
    """TERM as the first point ends; then in the second's first step; then to the end."""
    save, begin, sent = loop.save_model, RunMonitor.on_step_begin, []

    def last(*given: Any, **named: Any) -> None:
        save(*given, **named)
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))

    def first(monitor: RunMonitor, *given: Any, **named: Any) -> None:
        begin(monitor, *given, **named)
        if len(sent) == 1 and "dropped" in monitor.name:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr(loop, "save_model", last)
    names = [load_study(study).point(i).name for i in (0, 1, 5)]
    ended = run_stage("stage2_train", study, "--index", "0,1,5")
    assert (ended.code, ended.out.splitlines()[-1]) == (75, f"stopped by SIGTERM before {names[1]}")
    assert not (tmp_path / "results" / "small" / names[1]).exists()
    monkeypatch.setattr(RunMonitor, "on_step_begin", first)
    ended = run_stage("stage2_train", study, "--index", "0,1,5")
    assert (ended.code, "stopped by SIGTERM at step 1 of 3" in ended.out) == (75, True), ended
    assert run_stage("stage2_train", study, "--index", "0,1,5").code == 0
    whole = {name: trained(tmp_path / "results" / "small" / name) for name in names}
    for index, name in zip((1, 5), names[1:], strict=True):
        assert run_stage("stage2_train", study, "--index", str(index), "--force").code == 0
        assert trained(tmp_path / "results" / "small" / name) == whole[name]


def test_pairs_of_one_objective_after_another(
    tiny_model, pair_splits, tmp_path, train_pairs
) -> None:
    """DPO and then DiscoPOP over one base: the weights that each gives alone."""
    common = shared.SharedBase()
    for objective in ("dpo", "discopop"):
        given = {"objective": objective, "tuning": "lora", "beta": 0.1}
        train_pairs(tmp_path / f"{objective}-alone", **given)
        train_pairs(tmp_path / objective, shared=common, **given)
        one, other = (load_file(tmp_path / f"{objective}{end}" / "model/adapter_model.safetensors")
                      for end in ("", "-alone"))  # fmt: skip
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """The dtype of each base that is loaded."""
    seen: list[str] = []
    original = load.load_base

    def counted(model: Model, dtype: torch.dtype, **more: Any) -> Any:
        seen.append(str(dtype))
        return original(model, dtype, **more)

    monkeypatch.setattr(load, "load_base", counted)
    return seen


def test_a_base_is_loaded_once_and_again_when_it_was_changed(tiny_model, loads) -> None:
    common, model = shared.SharedBase(), Model(name=str(tiny_model))
    train = Train(tuning="lora", precision="fp32", gradient_checkpointing=False)
    first = load_for_training(model, train, common)
    weight = first.get_input_embeddings().weight
    second = load_for_training(model, train, common)
    assert weight.data_ptr() == second.get_input_embeddings().weight.data_ptr()
    assert weight.data_ptr() == common.on_cpu(model).get_input_embeddings().weight.data_ptr()
    assert loads == ["torch.float32"]
    before = weight.clone()
    weight.data[5, 5] += 1e-6
    third = load_for_training(model, train, common)
    assert torch.equal(third.get_input_embeddings().weight, before)
    load_for_training(model, train.model_copy(update={"precision": "bf16"}), common)
    assert loads == ["torch.float32"] * 2 + ["torch.bfloat16"]
