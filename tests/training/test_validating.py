"""Validation on answers: its loss by brute force, and the weights that it keeps."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import Config, Evaluate, Model, Train
from lib.config.study import Point
from lib.data.prepared import encoded_held_out
from lib.logps import token_nll
from lib.runs.files import read_json, read_jsonl
from lib.training.inputs import TrainData
from lib.training.loop import train_point
from lib.training.scoring import row_logps


def made(count: int, seed: int) -> Dataset:
    """Encoded rows of many lengths."""
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        ids = [draw.randrange(3, 300) for _ in range(draw.randint(4, 20))]
        rows.append(
            {"id": str(i), "input_ids": ids, "prompt_length": draw.randint(1, len(ids) - 1),
             "decision": [0, 0], "group": None, "cut": False}
        )  # fmt: skip
    return Dataset.from_list(rows)


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture) -> None:
    """Progress goes to standard error."""


def loaded(directory: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)


def by_hand(model: Any, rows: Dataset) -> tuple[float, int]:
    """Each row alone, without padding, with logits everywhere."""
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logits = model.eval()(input_ids=ids).logits[:, row["prompt_length"] - 1 : -1]
        labels = ids[:, row["prompt_length"] :]
        total += token_nll(logits, labels).sum().item()
        count += labels.shape[1]
    return total, count


def test_loss_of_answers_by_brute_force(tiny_model: Path) -> None:
    model, rows = loaded(tiny_model), made(11, 1)
    total, _ = by_hand(model, rows)
    model.train()
    state = torch.get_rng_state()
    train = Train(precision="fp32", micro_tokens=40)
    whole = row_logps("answers", model, rows, 0, train)
    assert -whole.sum() == pytest.approx(total)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    # An odd number of batches over two ranks: the second repeats one, which does not count.
    shares = [row_logps("answers", model, rows, 0, train, ranks=(rank, 2)) for rank in (0, 1)]
    np.testing.assert_allclose(sum(shares), whole, rtol=1e-6)
    assert all(share.any() for share in shares)


def trained(tiny_model: Path, directory: Path, held_out: Dataset | None, **changes: Any) -> Path:
    """Train on four rows, which are soon known by heart."""
    settings = {
        "batch_size": 4, "micro_batch": 2, "learning_rate": 0.02, "precision": "fp32",
        "schedule": "constant", "warmup": 0.0, "gradient_checkpointing": False, "epochs": 8,
        **changes,
    }  # fmt: skip
    config = Config(
        tasks=["symbolic"],
        model=Model(name=str(tiny_model), max_length=128),
        data=None,
        train=Train(**settings),
        evaluate=Evaluate(baseline={}),
    )
    directory.mkdir()
    point = Point(0, {}, "point", config, directory)
    outcome = train_point(point, TrainData(made(4, 2), held_out), directory, bool)
    assert outcome.status == "done"
    return directory


def test_best_and_last_weights_can_both_be_had(tiny_model: Path, tmp_path: Path) -> None:
    held_out = made(6, 3)
    best = trained(tiny_model, tmp_path / "best", held_out, keep="best", eval_steps=1)
    last = trained(tiny_model, tmp_path / "last", held_out, eval_steps=1)
    plain = trained(tiny_model, tmp_path / "plain", None)
    logs = [read_jsonl(directory / "train.jsonl") for directory in (best, last, plain)]
    losses = [row["validation_loss"] for row in logs[0]]
    assert losses == [row["validation_loss"] for row in logs[1]]
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[2]]
    record = read_json(best / "model" / "validation.json")
    assert record["step"] == 1 + losses.index(min(losses))
    assert record["validation_loss"] == min(losses)
    assert record["step"] < len(losses) == 8  # by heart is not what the held-out rows ask for
    for directory, loss in ((best, min(losses)), (last, losses[-1])):
        total, count = by_hand(loaded(directory / "model"), held_out)
        assert total / count == pytest.approx(loss, rel=1e-5)
    one, other = (load_file(d / "model" / "model.safetensors") for d in (last, plain))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_without_validation_rows_nothing_is_best(prepared_study: str) -> None:
    study = load_study(prepared_study)
    assert encoded_held_out(study, study.point(0)) is None
    for word, said in (("train.keep=best", "keep: found 'best'"),
                       ("train.eval_steps=2", "eval_steps: found 2"),
                       ("train.validations=2", "validations: found 2")):  # fmt: skip
        asked = load_study(prepared_study, [word])
        with pytest.raises(BadInput, match=f"train.{said}, but the study's data have no valida"):
            encoded_held_out(asked, asked.point(0))


def test_keep_best_excludes_checkpoint_selection(prepared_study: str) -> None:
    words = ["train.checkpoint_candidates=2", "train.keep=best"]
    with pytest.raises(BadInput, match=r"(keep: found 'best'|candidates: found 2)"):
        load_study(prepared_study, words)


def test_held_out_rows_are_tokenised_with_their_answers(write_study, tiny_model: Path) -> None:
    from lib.data.preparation import prepare

    changes = {
        "model.name": str(tiny_model), "model.max_length": 512, "tasks": ["symbolic"],
        "axes": {}, "variants": {"one": {}}, "grid": [{"variant": "one"}],
        "evaluate.baseline": {"variant": "one"}, "train.keep": "best",
        "data": {"source": "synthetic", "instances": 6, "held_out_templates": 10, "set_rows": 10,
                 "validation_rows": 5, "train_rows": 24},
    }  # fmt: skip
    study = load_study(write_study(changes, drop=["trial"]))
    manifest = prepare(study)
    rows = encoded_held_out(study, study.point(0))
    wanted = read_jsonl(study.directory / "data" / "validation.jsonl")
    assert [row["id"] for row in rows] == [row["id"] for row in wanted]
    assert all(row["prompt_length"] < len(row["input_ids"]) for row in rows)
    assert sorted(manifest["cut"]) == ["test", "train", "validation"]
    assert json.dumps(manifest["report"])
