"""A study that classifies, from its data to its predictions, and what it is refused with."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.analysis.results import read_point
from lib.config.load import load_study
from lib.config.study import identity
from lib.data.testsets import rows_of
from lib.runs.files import read_json, read_jsonl

DATA, TRAIN, INFER = "stage1_generate_datasets", "stage2_train", "stage3_infer"
CHANGES = {
    "tasks": ["glue"],
    "model/max_length": 64,
    "data": {"source": "synthetic", "train_rows": 24, "test_rows": 6, "validation": 0.25},
    "train/objective": "classification",
    "train/lora": {"r": 2, "target_modules": ["query", "value"]},
    "train/adalora": {"init_r": 3, "target_r": 2, "delta_t": 1},
    "axes": {"task": "data.task", "alpha": "train.importance.alpha"},
    "variants": {
        "full": {"train.tuning": "full"},
        "lora": {"train.tuning": "lora"},
        "adalora": {"train.tuning": "adalora"},
        "iw_lora": {"train.tuning": "lora", "train.importance.batches": 2},
    },
    "grid": [
        {"variant": ["full", "lora", "adalora"], "task": ["rte", "mnli"]},
        {"variant": "iw_lora", "task": "rte", "alpha": 0.1},
    ],
    "evaluate/baseline": {"variant": "lora", "task": "rte"},
    "trial": {},
}


@pytest.fixture
def classes(
    write_study: Callable[..., str], tiny_encoders: Mapping[str, Path]
) -> Callable[..., str]:
    """Return a function that writes a small study of classifiers and returns its path."""

    def write(**changes: Any) -> str:
        return write_study(deepcopy(CHANGES) | {"model/name": str(tiny_encoders["bert"])} | changes)

    return write


@pytest.mark.slow
def test_each_variant_predicts_its_own_rows(classes, run_stage) -> None:
    path, some = classes(), "0,2,4,6"  # RTE by each
    for stage, *more in ((DATA,), (TRAIN, "--index", f"1,{some}"), (INFER, "--index", f"1,{some}")):
        ended = run_stage(stage, path, *more)
        assert ended.code == 0, ended.err
    study = load_study(path)
    rows = rows_of(study, "glue")
    assert study.point(1).config.data.task == "mnli"
    for point in map(study.point, (0, 1, 2, 4, 6)):
        own = [row for row in rows if row["task"] == point.config.data.task]
        found = read_point(study, point, "glue", rows)
        assert found.status == "done"
        assert [p["id"] for p in found.predictions] == [row["id"] for row in own]
        labels = 3 if point.config.data.task == "mnli" else 2
        for row, one in zip(own, found.predictions, strict=True):
            assert len(one["scores"]) == labels
            assert np.exp(one["scores"]).sum() == pytest.approx(1, rel=1e-5)
            assert one["predicted"] == int(np.argmax(one["scores"]))
            assert one["label"] == row["label"]
            assert one["correct"] == (one["predicted"] == row["label"])
            assert len(one["prompt_hash"]) > 4
        assert found.records["usage"]["steps"] == 3
        alpha = point.config.train.importance.alpha
        assert (found.records["importance"] is None) == (alpha == 0)
        assert not (point.directory / "checkpoints").exists()
    assert run_stage(INFER, path, "--index", some).out.count("predicted already") == 4


def test_predictions_are_those_of_the_saved_weights(classes, run_stage, tiny_encoders) -> None:
    """Recomputed row by row, without padding, with PEFT's and transformers' own loading."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    path = classes()
    assert run_stage(DATA, path).code == 0
    study = load_study(path)
    point = study.point_by_name("iw_lora_taskrte_alpha0.1")
    for stage in (TRAIN, INFER):
        assert run_stage(stage, path, "--index", str(point.index)).code == 0
    base = AutoModelForSequenceClassification.from_pretrained(tiny_encoders["bert"], num_labels=2)
    model = PeftModel.from_pretrained(base, point.directory / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(point.directory / "model")
    predictions = read_jsonl(point.directory / "predictions.jsonl")
    for row, one in zip(rows_of(study, "glue", point), predictions, strict=True):
        inputs = tokenizer(row["prompt"]["a"], row["prompt"]["b"], return_tensors="pt",
                           truncation="longest_first", max_length=64)  # fmt: skip
        with torch.no_grad():
            expected = model(**inputs).logits[0].log_softmax(0)
        assert one["scores"] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"train/tuning": "qlora", "variants/lora": {}},
         "train.tuning: found 'qlora', expected full, lora or adalora"),
        ({"variants/full/train.importance.alpha": 0.1},
         "train.importance.alpha: found 0.1, expected 0: there is nothing to penalise "
         "(train.tuning is full)"),
        ({"grid": [{"variant": ["full", "lora"], "task": "rte", "alpha": 0.1}]},
         "variant 'full' does not use axis 'alpha' (train.tuning is full)"),
        ({"train/epochs": 0}, "train.epochs: found 0.0, expected a number above 0"),
        ({"train/adalora": {"init_r": 2, "target_r": 2}},
         "train.adalora: found {'init_r': 2, 'target_r': 2}, expected init_r above target_r"),
        ({"train/objective": "dpo"}, "train.objective: found 'dpo', expected one of "
                                     "classification"),
        ({"train/importance": {"normalise": "summ"}}, "did you mean 'sum'?"),
    ],
    ids=["qlora", "alpha", "axis", "epochs", "ranks", "objective", "normalise"],
)  # fmt: skip
def test_refused_when_the_study_is_read(classes, run_stage, changes, said) -> None:
    ended = run_stage(DATA, classes(**changes))
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert said in ended.err


def test_adalora_is_for_classifiers(write_study, run_stage) -> None:
    ended = run_stage(DATA, write_study({"train.tuning": "adalora"}))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "train.tuning: found 'adalora', expected full, lora or qlora" in ended.err


@pytest.mark.parametrize(
    "point, word, said",
    [
        ("iw_lora_taskrte_alpha0.1", "train.importance.batch_size=13",
         "train.importance.batches: found 2 of 13 rows, but the training split has 24 rows"),
        ("adalora_taskrte", "train.adalora={tinit: 0.7, tfinal: 0.4}",
         "train.adalora: found tinit 0.7 and tfinal 0.4 of 3 steps, 2 + 1"),
        ("lora_taskrte_alpha0", "train.lora.target_modules=[querry]",
         "'querry' matches no module of"),
    ],
)  # fmt: skip
def test_refused_before_a_point_is_trained(classes, run_stage, point, word, said) -> None:
    path = classes()
    assert run_stage(DATA, path).code == 0
    index = load_study(path).point_by_name(point).index
    ended = run_stage(TRAIN, path, "--index", str(index), word)
    assert (ended.code, ended.err.count("error:")) == (2, 1), ended.err
    assert said in ended.err
    assert not (load_study(path).directory / point / "model").exists()
    assert not (load_study(path).directory / point / "train.jsonl").exists()


def test_keys_of_another_variant_are_no_part_of_a_result(classes) -> None:
    """AdaLoRA's keys move AdaLoRA's points alone, and the penalty's those that have one."""
    changed = ["train.adalora.delta_t=3", "train.importance.normalise=max"]
    study, other = load_study(classes()), load_study(classes(), changed)
    for one, two in zip(study.points(), other.points(), strict=True):
        same = identity(one.config, "train") == identity(two.config, "train")
        assert same == (one.values["variant"] in ("full", "lora")), one.name


def test_a_trial_shortens_the_calibration(classes, run_stage) -> None:
    path = classes(**{"mode": "trial", "variants/iw_lora/train.importance.batches": 150})
    study = load_study(path)
    point = study.point_by_name("iw_lora_taskrte_alpha0.1")
    assert point.config.train.importance.batches == 2
    assert run_stage(DATA, path).code == 0
    assert run_stage(TRAIN, path, "--index", str(point.index)).code == 0
    assert read_json(point.directory / "importance.json")["batches"] == 2
