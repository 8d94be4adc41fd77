"""Training on pairs: what may not matter does not; stop and resume; validation; best weights."""

import math
import os
import shutil
import signal
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from lib.config.effects import unused_because
from lib.config.errors import BadInput
from lib.losses import OBJECTIVES, Objective, PairLoss, dpo, logratio_margin
from lib.runs.files import read_json, read_jsonl, write_json
from lib.training.inputs import PairSplits
from lib.training.trainers import PairTrainer
from tests.training.conftest import train_on
from tests.training.outcomes import assert_close, assert_same, column, one_by_one, weights
from tests.training.two_ranks import run_ranks


def log(directory):
    return read_jsonl(directory / "train.jsonl")


def without_time(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def whole(train_pairs, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "run"
    outcome = train_pairs(directory, eval_steps=1)
    assert (outcome.status, outcome.step, outcome.steps) == ("done", 3, 3)
    return directory


def test_first_loss_is_log_two(whole):
    """Before the first step the policy is the reference: ρ = 0, all are ties."""
    first = log(whole)[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["margin_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert "regulariser" not in first


def test_pairs_are_learnt(train_pairs, tmp_path):
    train_pairs(tmp_path / "run", epochs=6.0, beta=0.5)
    rows = log(tmp_path / "run")
    assert rows[-1]["validation_accuracy"] >= 5 / 6
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]
    assert rows[-1]["train_accuracy"] == 1
    assert [row["step"] for row in rows if "validation_loss" in row] == [18]


def hinge(pairs, *, beta):
    """max(0, 1 − βρ), as in SLiC (arXiv 2305.10425)."""
    return PairLoss((1 - beta * logratio_margin(pairs)).relu())


def test_a_loss_is_one_function_and_one_objective(train_pairs, tmp_path, monkeypatch):
    hinged = Objective(hinge, "pairs", "Hinge", keys=("beta",), positive=("beta",))
    monkeypatch.setitem(OBJECTIVES, "hinge", hinged)
    outcome = train_pairs(tmp_path / "run", objective="hinge", beta=0.5, max_steps=2)
    assert (outcome.status, outcome.step) == ("done", 2)
    first, second = column(tmp_path / "run", "loss")
    assert first == 1  # ρ = 0 before the first step
    assert second == pytest.approx(1, abs=0.1)
    assert second != 1
    assert unused_because("train.tau", {"train.objective": "hinge"}) == "train.objective is hinge"


def test_terms_add_up(train_pairs, tmp_path):
    train_pairs(tmp_path / "run", objective="td_dpo", beta=0.01)
    rows = log(tmp_path / "run")
    assert rows[0]["regulariser"] == pytest.approx(0, abs=1e-6)
    assert rows[-1]["regulariser"] > 0.001
    for row in rows:
        assert row["loss"] == pytest.approx(
            row["margin_loss"] + 0.01 * row["regulariser"], rel=1e-5
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"micro_batch": 1},
        {"gradient_checkpointing": True},
        {"log_steps": 1, "eval_steps": 2},
    ],
    ids=str,
)
def test_how_a_step_is_cut_changes_nothing(train_pairs, whole, tmp_path, changes):
    train_pairs(tmp_path / "run", **changes)
    for key in ("loss", "margin_loss", "train_accuracy"):
        found, expected = (column(d, key) for d in (tmp_path / "run", whole))
        assert found == pytest.approx(expected, rel=1e-4)
    assert_close(weights(tmp_path / "run"), weights(whole))


def test_means_over_several_steps(train_pairs, whole, tmp_path):
    """Logged every third step: the means of three steps."""
    train_pairs(tmp_path / "run", log_steps=3)
    (row,) = log(tmp_path / "run")
    for key in ("loss", "margin_loss", "train_accuracy"):
        assert row[key] == pytest.approx(sum(column(whole, key)) / 3, rel=1e-5)


def test_validation_by_brute_force(train_pairs, pair_splits, whole, tiny_model):
    """Each held-out sequence alone through the trained model and through the base."""
    from transformers import AutoModelForCausalLM

    def logps(name):
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32).eval()
        return one_by_one(model, pair_splits.splits["validation"]).detach().double()

    gained = logps(whole / "model") - logps(tiny_model)
    rho = gained[:, 0] - gained[:, 1]
    last = log(whole)[-1]
    assert last["validation_accuracy"] == pytest.approx((rho > 0).double().mean().item())
    expected = torch.nn.functional.softplus(-0.1 * rho).mean().item()
    assert last["validation_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_stopped_and_resumed_to_the_bit(train_pairs, tmp_path, tuning):
    """With validation between, the best weights kept, and dropout that draws random numbers."""
    words = {
        "tuning": tuning, "lora": {"dropout": 0.3}, "eval_steps": 1, "keep": "best", "epochs": 2.0,
    }  # fmt: skip
    train_pairs(tmp_path / "unbroken", **words)
    count = iter([False, True])
    first = train_pairs(tmp_path / "broken", stop=lambda: next(count), **words)
    assert (first.status, first.step) == ("stopped", 2)
    second = train_pairs(tmp_path / "broken", **words)
    assert (second.status, second.step) == ("done", 6)
    assert_same(*(weights(tmp_path / d) for d in ("unbroken", "broken")))
    one, other = (without_time(log(tmp_path / d)) for d in ("unbroken", "broken"))
    assert one == other


def test_validation_changes_no_step(train_pairs, whole, tmp_path):
    """Dropout draws the same numbers with and without validation between."""
    words = {"tuning": "lora", "lora": {"dropout": 0.3}}
    train_pairs(tmp_path / "often", eval_steps=1, **words)
    train_pairs(tmp_path / "seldom", **words)
    assert_same(weights(tmp_path / "often"), weights(tmp_path / "seldom"))


class TestBest:
    """The weights of the best validation."""

    words = {"eval_steps": 1, "keep": "best", "epochs": 4.0, "learning_rate": 0.02}

    def test_they_are_those_of_its_step(self, train_pairs, tmp_path):
        train_pairs(tmp_path / "best", **self.words)
        accuracies = column(tmp_path / "best", "validation_accuracy")
        step = accuracies.index(max(accuracies)) + 1
        assert step < len(accuracies)  # else the last weights would pass too
        record = read_json(tmp_path / "best" / "model" / "validation.json")
        assert record["step"] == step
        assert record["validation_accuracy"] == max(accuracies)
        count = iter(range(1, 99))
        train_pairs(tmp_path / "cut", stop=lambda: next(count) == step, **self.words)
        there = tmp_path / "cut" / "checkpoints" / f"checkpoint-{step}" / "model.safetensors"
        assert_same(weights(tmp_path / "best"), load_file(there))
        config = read_json(tmp_path / "best" / "model" / "config.json")
        assert config["use_cache"]
        assert config["dtype"] == "float32"

    def test_a_best_beyond_the_checkpoint_is_kept(self, train_pairs, tmp_path):
        """Killed after a better validation than the last checkpoint's: as if it had not been."""
        train_pairs(tmp_path / "whole", **self.words)
        stops = iter([False, True])
        train_pairs(tmp_path / "killed", stop=lambda: next(stops), **self.words)
        late = iter([False] * 3 + [True])
        checkpoints = tmp_path / "killed" / "checkpoints"
        train_pairs(tmp_path / "killed", stop=lambda: next(late), **self.words)
        (checkpoints / "checkpoint-6" / "complete").unlink()
        train_pairs(tmp_path / "killed", **self.words)
        assert_same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))

    def test_one_of_a_run_without_a_checkpoint_does_not_count(self, train_pairs, tmp_path):
        best = tmp_path / "run" / "checkpoints" / "best"
        best.mkdir(parents=True)
        (best / "validation.json").write_text('{"step": 1, "validation_accuracy": 2.0}')
        train_pairs(tmp_path / "run", **self.words)
        record = read_json(tmp_path / "run" / "model" / "validation.json")
        assert record["validation_accuracy"] <= 1


def alone(train, directory, words):
    train(directory, **words)


@pytest.mark.slow
def test_kill_in_the_middle(train_pairs, processes, tmp_path):
    """kill -9 of a process that trains: run again, it ends with the weights of an unbroken run."""
    words = {"eval_steps": 1, "keep": "best", "epochs": 10.0, "checkpoint_steps": 4}
    train_pairs(tmp_path / "whole", **words)

    process = processes.Process(target=alone, args=(train_pairs, tmp_path / "killed", words))
    process.start()
    deadline = time.monotonic() + 300
    path = tmp_path / "killed" / "train.jsonl"
    while not (path.exists() and '"step": 10,' in path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "killed" / "model").exists()
    train_pairs(tmp_path / "killed", **words)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    assert without_time(log(tmp_path / "whole")) == without_time(log(tmp_path / "killed"))


def test_adapters_over_four_bits(train_pairs, pair_splits, tmp_path):
    """QLoRA in bf16: reference and policy come from the same model, and start as equals."""
    pairs = PairSplits(tmp_path / "study", pair_splits.splits, pair_splits.checksums)
    words = {"tuning": "qlora", "precision": "bf16", "gradient_checkpointing": True, "beta": 0.5}
    assert train_pairs(tmp_path / "run", pairs=pairs, **words).status == "done"
    assert column(tmp_path / "run", "loss")[0] == pytest.approx(math.log(2), abs=0.01)
    assert (tmp_path / "run" / "model" / "adapter_model.safetensors").exists()
    (key,) = (tmp_path / "study" / "reference").glob("*/key.json")
    assert read_json(key)["weights"] == "nf4"


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_bf16_starts_as_its_reference(train_pairs, pair_splits, tmp_path, tuning):
    """To the bit, whichever point of the study computed it: every pair is a tie at step 0."""
    pairs = PairSplits(tmp_path / "study", pair_splits.splits, pair_splits.checksums)
    for micro_batch, checked in ((1, False), (4, True)):
        run = tmp_path / f"{micro_batch}"
        words = {"tuning": tuning, "precision": "bf16", "beta": 5.0, "max_steps": 1}
        words |= {"micro_batch": micro_batch, "gradient_checkpointing": checked}
        outcome = train_pairs(run, pairs=pairs, lora={"dropout": 0.3}, **words)
        assert column(run, "loss") == [pytest.approx(math.log(2), abs=1e-7)]
        assert column(run, "train_accuracy") == [0.5]
        assert outcome.loaded["reference_gap"] == 0
    assert len(list((tmp_path / "study" / "reference").glob("*/key.json"))) == 1


def test_a_policy_has_no_dropout_of_its_own(train_pairs, pair_splits, tiny_model, tmp_path):
    """A model that drops attention in training starts as its reference all the same."""
    shutil.copytree(tiny_model, tmp_path / "model")
    config = read_json(tmp_path / "model" / "config.json") | {"attention_dropout": 0.5}
    write_json(tmp_path / "model" / "config.json", config)
    pairs = PairSplits(tmp_path / "study", pair_splits.splits, pair_splits.checksums)
    train_on(str(tmp_path / "model"), pairs, tmp_path / "run", max_steps=1)
    assert column(tmp_path / "run", "loss") == [pytest.approx(math.log(2), abs=1e-6)]


def test_a_reference_of_other_weights_is_refused(train_pairs, pair_splits, tmp_path, monkeypatch):
    """Before the first step: as a fault of what scores it would leave_group it."""
    pairs = PairSplits(tmp_path / "study", pair_splits.splits, pair_splits.checksums)
    scored = PairTrainer.row_logps
    monkeypatch.setattr(PairTrainer, "row_logps", lambda *a, **k: scored(*a, **k) - 0.1)
    with pytest.raises(BadInput, match=r"policy and reference differ by 0\.\d+ nats a token"):
        train_pairs(tmp_path / "run", pairs=pairs)
    assert not list((tmp_path / "run").glob("checkpoints/checkpoint-*"))


class TestDivergence:
    """Signs that end a run, and what is left of it."""

    def test_gradient_norm_above_the_bound(self, train_pairs, tmp_path):
        words = {"epochs": 4.0, "diverge_norm": 1e-9, "diverge_steps": 3}
        outcome = train_pairs(tmp_path / "run", **words)
        assert (outcome.status, outcome.step) == ("diverged", 3)
        assert outcome.reason == "gradient norm above 1e-09 for 3 logged steps"
        assert not (tmp_path / "run" / "model").exists()

    def test_the_count_goes_on_after_a_stop(self, train_pairs, tmp_path):
        words = {"epochs": 4.0, "diverge_norm": 1e-9, "diverge_steps": 3}
        train_pairs(tmp_path / "run", stop=lambda: True, **words)
        assert train_pairs(tmp_path / "run", **words).step == 3

    def test_a_high_bound_ends_nothing(self, train_pairs, tmp_path):
        assert train_pairs(tmp_path / "run", diverge_norm=1e9, diverge_steps=1).status == "done"

    def test_gradient_not_finite(self, train_pairs, pair_splits, tmp_path, monkeypatch):
        """At the last step of a run without validation nothing but the gradient tells."""

        def no_slope(found, beta):
            return PairLoss(dpo(found, beta=beta).loss + (found.policy[:, 0] * 0).sqrt())

        monkeypatch.setitem(OBJECTIVES, "dpo", replace(OBJECTIVES["dpo"], fn=no_slope))
        splits = {n: pair_splits.splits[n] for n in ("train", "test")}
        alone = PairSplits(tmp_path / "study", splits, {})
        outcome = train_pairs(tmp_path / "run", pairs=alone, max_steps=1)
        assert (outcome.status, outcome.reason) == ("diverged", "gradient norm not finite")
        (row,) = log(tmp_path / "run")
        assert row["loss"] == pytest.approx(math.log(2), abs=1e-6)
        assert row["grad_norm"] is None
        assert not (tmp_path / "run" / "model").exists()


@pytest.mark.slow
def test_two_ranks_have_the_losses_of_one(train_pairs, pair_splits, processes, tmp_path):
    """Two CPU processes over gloo, no reference there yet; validation is shared out unevenly."""
    held = Dataset.from_list(pair_splits.splits["validation"].to_list()[:5])
    splits = {**pair_splits.splits, "validation": held}
    words = {"eval_steps": 2, "keep": "best"}
    runs = {}
    for name, more in (("one", {}), ("two", {"processes": 2, "micro_batch": 2})):
        pairs = PairSplits(tmp_path / f"study-{name}", splits, pair_splits.checksums)
        runs[name] = {"pairs": pairs, **words, **more}
    run_ranks(processes, partial(train_pairs, tmp_path / "two", **runs["two"]))
    train_pairs(tmp_path / "one", **runs["one"])
    for key in ("loss", "train_accuracy"):
        one, two = (column(tmp_path / name, key)[1:] for name in ("one", "two"))
        assert two == pytest.approx(one, rel=1e-4)
    ends = [log(tmp_path / name)[-1] for name in ("one", "two")]
    for key in ("validation_accuracy", "validation_loss"):
        assert ends[0][key] == pytest.approx(ends[1][key], rel=1e-4)
    assert_close(weights(tmp_path / "two"), weights(tmp_path / "one"))
