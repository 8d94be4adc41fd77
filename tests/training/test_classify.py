"""Runs that classify: order, terms, calibration, AdaLoRA's ranks, resume, ranks of a machine."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.config.errors import BadInput
from lib.config.schema import Config, Evaluate, Model, Train
from lib.config.steps import grouped_steps, row_order
from lib.models.classifiers import load_trained
from lib.runs.files import read_json, read_jsonl
from lib.training.batches import collate_classes
from lib.training.scoring import row_logps
from tests.training.outcomes import assert_same, column, weights
from tests.training.two_ranks import run_ranks

# -- batches and order -----------------------------------------------------------------------------


def test_collate_pads_on_the_right():
    rows = [{"input_ids": [2, 5, 3], "label": 1}, {"input_ids": [2, 3], "label": 0}]
    batch = collate_classes(rows, pad=9, multiple=4)
    assert batch["input_ids"].tolist() == [[2, 5, 3, 9], [2, 3, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [1, 0]
    assert "token_type_ids" not in batch
    typed = [{**row, "token_type_ids": [1] * len(row["input_ids"])} for row in rows]
    assert collate_classes(typed, pad=9, multiple=1)["token_type_ids"].tolist() == [
        [1, 1, 1],
        [1, 1, 0],
    ]


def test_rows_of_like_length_share_a_step():
    lengths = np.random.default_rng(0).integers(5, 100, 170)
    order = row_order(170, 21 * 16, seed=3)  # two epochs of 10.6 steps
    found = grouped_steps(order, lengths, 170, 16, seed=3)
    for epoch, rows in (("first", slice(0, 160)), ("second", slice(176, 336))):
        assert sorted(found[rows]) == sorted(order[rows]), epoch
    assert sorted(found[160:176]) == sorted(order[160:176])
    steps = found.reshape(-1, 16)
    assert all(len(set(step)) == 16 for step in np.delete(steps, 10, axis=0))
    assert all((np.diff(lengths[step]) <= 0).all() for step in steps)

    def padding(places):
        wide = lengths[places].max(axis=1, keepdims=True)
        return (wide - lengths[places]).sum() / lengths[places].sum()

    assert padding(steps) < 0.15 < 0.5 < padding(order.reshape(-1, 16))
    # Not from long to short: a step says nothing of the next one's length.
    means = lengths[steps].mean(axis=1)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.5
    assert np.array_equal(found, grouped_steps(order, lengths, 170, 16, seed=3))


# -- the loss --------------------------------------------------------------------------------------

STILL = {
    "lora": {"r": 2, "alpha": 4, "target_modules": ["query", "value"]}
}  # no dropout of its own


@pytest.fixture(scope="module")
def lora(train_classes, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "lora"
    assert train_classes(directory, epochs=4.0).status == "done"
    return directory


@pytest.fixture(scope="module")
def penalised(train_classes, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "penalised"
    assert train_classes(directory, epochs=4.0, alpha=0.01).status == "done"
    return directory


def test_what_a_run_leaves(lora, penalised):
    rows = read_jsonl(penalised / "train.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 17))
    assert rows[0]["penalty"] == 0 < rows[1]["penalty"]
    assert not any("penalty" in row for row in read_jsonl(lora / "train.jsonl"))
    assert not (lora / "importance.json").exists()
    usage, record = read_json(penalised / "usage.json"), read_json(penalised / "importance.json")
    assert usage["steps"] == 16
    assert usage["calibration_seconds"] == record["seconds"] > 0
    assert usage["seconds"] >= rows[-1]["seconds"] > 0 < usage["step_seconds"]
    assert usage["memory_kind"] in ("rss", "cuda")
    assert usage["peak_memory_bytes"] > 2**20
    assert read_json(lora / "usage.json")["calibration_seconds"] is None
    # r (in + out) of four 32 × 32 and a 48 × 32 either way, two layers; head and pooler beside.
    adapters = 2 * 2 * (4 * (32 + 32) + 2 * (32 + 48))
    assert usage["adapter_parameters"] == adapters
    assert usage["trainable_parameters"] == adapters + 32 * 32 + 32 + 2 * 32 + 2
    names = [(m["layer"], m["module"]) for m in usage["matrices"]]
    assert names == [(m["layer"], m["module"]) for m in record["matrices"]]
    assert len(set(names)) == 12
    assert (0, "attention.self.query") in names
    assert all(m["rank"] == 2 and 1 <= m["effective_rank"] <= 2 for m in usage["matrices"])


def test_a_rule_is_learnt(train_classes, tmp_path):
    train_classes(tmp_path, tuning="full", epochs=30.0, learning_rate=3e-3)
    losses = column(tmp_path, "loss")
    assert sum(losses[-4:]) < 0.5 * sum(losses[:4])
    assert column(tmp_path, "validation_accuracy")[-1] >= 0.75


def test_importance_record(penalised):
    record = read_json(penalised / "importance.json")
    s, w = ([m[key] for m in record["matrices"]] for key in "sw")
    assert w == pytest.approx([one / sum(s) for one in s])
    assert sum(w) == pytest.approx(1)
    factors = [1 - one for one in w]
    assert record["spread"]["min"] == pytest.approx(min(factors))
    assert record["spread"]["max"] == pytest.approx(max(factors))
    assert record["spread"]["cv"] == pytest.approx(np.std(factors) / np.mean(factors))
    assert record["uniform"] == (1 - min(factors) / max(factors) <= 0.1)
    assert record["batches"] == 3
    assert [m["shape"] for m in record["matrices"][4:6]] == [[48, 32], [32, 48]]


def test_penalty_of_the_last_step_by_brute_force(train_classes, tmp_path):
    """Logged at a step is the penalty of the weights before it: those a step earlier has left."""
    # One step an epoch: no later row has a place in an earlier step.
    words = {"count": 8, "epochs": 4.0, "importance": {"batches": 1}, "schedule": "constant"}
    for steps, name in ((3, "before"), (4, "after")):
        train_classes(tmp_path / name, alpha=0.02, max_steps=steps, **words)
    record, state = read_json(tmp_path / "before" / "importance.json"), weights(tmp_path / "before")
    total = 0.0
    for matrix in record["matrices"]:
        a, b = (state[f"base_model.model.{matrix['name']}.lora_{x}.weight"] for x in "AB")
        total += 0.02 * (1 - matrix["w"]) * (4 / 2 * b @ a).square().sum().item()
    assert column(tmp_path / "after", "penalty")[3] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("tuning", ["lora", "adalora"])
def test_how_a_step_is_cut_changes_nothing(train_classes, tmp_path, monkeypatch, tuning):
    """Rows and the term are counted once a step, in however many passes.

    Without dropout, whose masks would be drawn anew. AdamW's first steps have the size of the
    learning rate whatever the gradient, so that rounding moves some factors by a lot.
    """
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: x)
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, *rest, **more: x)
    words = {"tuning": tuning, "alpha": 1.0 if tuning == "lora" else 0.0, **STILL}
    for micro in (8, 2, 1):
        train_classes(tmp_path / f"{micro}", micro_batch=micro, **words)
    term = "penalty" if tuning == "lora" else "orthogonality"
    for key, near in (("loss", 2e-3), ("train_accuracy", 0), (term, 0.1), ("grad_norm", 0.1)):
        whole, *cut = (column(tmp_path / name, key) for name in ("8", "2", "1"))
        for found in cut:
            assert found == pytest.approx(whole, rel=near), key


# -- α = 0 is LoRA ---------------------------------------------------------------------------------


def test_alpha_zero_is_lora_to_the_bit(train_classes, lora, tmp_path, monkeypatch):
    """As it is, nothing is calibrated; and where it is all the same, nothing is moved by it."""
    train_classes(tmp_path / "zero", epochs=4.0, alpha=0.0, importance={"beta": 3.0})
    assert_same(weights(tmp_path / "zero"), weights(lora))

    from lib.training import class_run

    monkeypatch.setattr(
        class_run, "adapters_penalty", lambda matrices, *rest: lambda: torch.zeros(())
    )
    train_classes(tmp_path / "calibrated", epochs=4.0, alpha=0.5)
    assert (tmp_path / "calibrated" / "importance.json").exists()
    assert_same(weights(tmp_path / "calibrated"), weights(lora))
    assert column(tmp_path / "calibrated", "loss") == column(lora, "loss")


# -- AdaLoRA ---------------------------------------------------------------------------------------


def test_ranks_come_to_the_budget(train_classes, tmp_path):
    """12 matrices of mean rank 2; what is saved has those ranks."""
    train_classes(tmp_path / "run", tuning="adalora", epochs=4.0)
    usage, state = read_json(tmp_path / "run" / "usage.json"), weights(tmp_path / "run")
    ranks = {m["name"]: m["rank"] for m in usage["matrices"]}
    assert sum(ranks.values()) == 2 * 12
    assert len(set(ranks.values())) > 1
    for name, rank in ranks.items():
        assert len(state[f"base_model.model.{name}.lora_E"]) == rank
    pattern = read_json(tmp_path / "run" / "model" / "adapter_config.json")["rank_pattern"]
    assert sum(map(sum, pattern.values())) == 24


def test_orthogonality_is_pefts_and_logged_apart(tiny_encoders, train_classes, tmp_path):
    """The first step's term is what PEFT's forward adds to the model's own loss."""
    from lib.models.classifiers import classifier_for_training
    from lib.training.adapters import adapted_matrices
    from lib.training.penalties import orthogonality_penalty

    train = Train(
        objective="classification", tuning="adalora", gradient_checkpointing=False,
        lora={"target_modules": ["query", "dense"]}, adalora={"init_r": 4, "target_r": 2},
    )  # fmt: skip
    model = classifier_for_training(Model(name=str(tiny_encoders["bert"])), train, "ab", 10).eval()
    batch = {"input_ids": torch.tensor([[2, 9, 3]]), "labels": torch.tensor([1])}
    added = model(**batch).loss - model.base_model.model(**batch).loss
    found = orthogonality_penalty(model, adapted_matrices(model))()
    assert found.item() == pytest.approx(added.item(), rel=1e-4)
    assert found.item() > 0.1
    train_classes(tmp_path / "run", tuning="adalora")
    rows = read_jsonl(tmp_path / "run" / "train.jsonl")
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=0.1)
    assert rows[0]["orthogonality"] > 0.5


RUNS = {
    "full": {"tuning": "full"},
    "lora": {},
    "iw_lora": {"alpha": 0.01},
    "adalora": {"tuning": "adalora"},
}


@pytest.mark.parametrize(
    ("variant", "keep"), [("full", "best"), ("lora", "last"), ("adalora", "best")]
)
def test_what_is_saved_predicts_as_it_was_validated(
    tiny_encoders, train_classes, class_rows, tmp_path, variant, keep
):
    """Loaded anew, also with masked ranks: the validation loss of the step that was kept."""
    words = {"epochs": 4.0, "keep": keep, "eval_steps": 3, **RUNS[variant]}
    train_classes(tmp_path, learning_rate=0.003, **words)
    log = [row for row in read_jsonl(tmp_path / "train.jsonl") if "validation_loss" in row]
    kept = max(log, key=lambda row: row["validation_accuracy"]) if keep == "best" else log[-1]
    config = Config(
        tasks=["glue"], model=Model(name=str(tiny_encoders["bert"])), data=None,
        train=Train(objective="classification", tuning=words.get("tuning", "lora")),
        evaluate=Evaluate(baseline={}),
    )  # fmt: skip
    loaded, rows = load_trained(config, ["low", "high"], tmp_path / "model"), class_rows(8, seed=1)
    logps = row_logps("classes", loaded, rows, 0, Train(micro_tokens=40), precision="fp32")
    loss = -np.mean([logps[i, row["label"]] for i, row in enumerate(rows)])
    assert loss == pytest.approx(kept["validation_loss"], rel=1e-4)


# -- a stop, a kill, two ranks ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "stops"),
    [("full", [6]), ("lora", [6]), ("iw_lora", [6]), ("adalora", [2, 6, 13])],
)
def test_stopped_and_resumed_to_the_bit(train_classes, tmp_path, variant, stops):
    """AdaLoRA: before the first cut (4 of 16 steps), among the cuts, and behind the last (12)."""
    words = {"epochs": 4.0, "keep": "best", "eval_steps": 4, **RUNS[variant]}
    train_classes(tmp_path / "whole", **words)
    calibrating = 3 * (variant == "iw_lora")  # its batches ask too
    for before, at in zip([0, *stops], stops, strict=False):
        asked = iter([False] * (at - before - 1 + calibrating) + [True] * 99)
        assert train_classes(tmp_path / "cut", stop=lambda a=asked: next(a), **words).step == at
    assert train_classes(tmp_path / "cut", **words).status == "done"
    assert_same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    for key in ("loss", "validation_accuracy"):
        assert column(tmp_path / "cut", key) == column(tmp_path / "whole", key)
    if variant != "full":
        one, other = (read_json(tmp_path / n / "usage.json")["matrices"] for n in ("cut", "whole"))
        assert one == other


def test_a_stop_while_calibrating(train_classes, penalised, tmp_path):
    asked = iter([False, True])
    outcome = train_classes(tmp_path / "run", stop=lambda: next(asked), epochs=4.0, alpha=0.01)
    assert (outcome.status, outcome.step) == ("stopped", 0)
    assert not (tmp_path / "run" / "importance.json").exists()
    train_classes(tmp_path / "run", epochs=4.0, alpha=0.01)
    assert_same(weights(tmp_path / "run"), weights(penalised))


def test_a_calibration_that_is_gone(train_classes, tmp_path):
    asked = iter([False] * 4 + [True])
    words = {"epochs": 4.0, "alpha": 0.01}
    train_classes(tmp_path / "run", stop=lambda: next(asked), **words)
    (tmp_path / "run" / "importance.json").unlink()
    with pytest.raises(BadInput, match=r"importance\.json: missing.* with --force"):
        train_classes(tmp_path / "run", **words)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["iw_lora", "adalora"])
def test_two_ranks_start_as_one(train_classes, processes, tmp_path, variant):
    """Two CPU processes over gloo share a step's rows and an odd number of calibration batches.

    Dropout is drawn by each rank, so that losses are near, and the calibration and terms equal.
    """
    words = {"epochs": 2.0, "eval_steps": 4, "held": 7, "learning_rate": 1e-3, **RUNS[variant]}
    two = {**words, "processes": 2, "micro_batch": 2}
    run_ranks(processes, partial(train_classes, tmp_path / "two", **two))
    train_classes(tmp_path / "one", **words)
    for key in ("loss", "validation_loss"):
        one, other = (column(tmp_path / name, key) for name in ("one", "two"))
        assert other == pytest.approx(one, rel=0.1), key
    if variant == "iw_lora":
        one, other = (read_json(tmp_path / name / "importance.json") for name in ("one", "two"))
        assert [m["s"] for m in other["matrices"]] == pytest.approx(
            [m["s"] for m in one["matrices"]], rel=1e-5)  # fmt: skip
    else:
        usage = read_json(tmp_path / "two" / "usage.json")
        assert sum(m["rank"] for m in usage["matrices"]) == 24


# -- what is refused, and what is said ------------------------------------------------------------


@pytest.mark.parametrize(
    "words, message",
    [
        ({"alpha": 1.0, "importance": {"batches": 5}}, r"batches: found 5 of 8 rows, but the "
         r"training split has 32 rows, which are 4 such batches"),
        ({"tuning": "adalora", "adalora": {"tinit": 0.5, "tfinal": 0.5}}, r"found tinit 0\.5"),
        ({"eval_steps": 9}, r"train\.eval_steps: found 9"),
        ({"held": 0, "keep": "best"}, r"train\.keep: found 'best', but .* no validation rows"),
        ({"lora": {"target_modules": ["nothing"]}}, r"'nothing' matches no module"),
    ],
    ids=["batches", "schedule", "eval_steps", "keep", "targets"],
)  # fmt: skip
def test_refused_before_anything_is_written(train_classes, tmp_path, words, message):
    with pytest.raises(BadInput, match=message):
        train_classes(tmp_path / "run", **words)
    assert list((tmp_path / "run").iterdir()) == []


def said(directory):
    return (Path(directory) / "said.txt").read_text()


def test_what_is_said(train_classes, penalised, tmp_path):
    assert "adapters of r 2 in float32 over fp32 weights" in said(penalised)
    assert ("warning: the penalty is nearly uniform" in said(penalised)) == (
        read_json(penalised / "importance.json")["uniform"])  # fmt: skip
    assert "weight_decay" not in said(penalised)
    train_classes(tmp_path / "run", alpha=0.01, weight_decay=0.01, importance={"beta": 0.0})
    assert "train.weight_decay=0.01 also shrinks the adapters that train.importance.alpha" in said(
        tmp_path / "run")  # fmt: skip
    assert "(1 - w)^beta from 1.000 to 1.000" in said(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "importance.json").read_text())["uniform"] is True
    train_classes(tmp_path / "ada", tuning="adalora")
    assert "adapters of r 4 to 2 in float32" in said(tmp_path / "ada")


@pytest.mark.parametrize("tuning", ["lora", "adalora"])
def test_deberta_in_bf16_with_checkpointing(train_classes, tmp_path, tuning):
    words = {"precision": "bf16", "gradient_checkpointing": True, "kind": "deberta"}
    alpha = 0.01 if tuning == "lora" else 0.0
    assert train_classes(tmp_path / "run", tuning=tuning, alpha=alpha, **words).status == "done"
    assert all(math.isfinite(x) for x in column(tmp_path / "run", "loss"))
