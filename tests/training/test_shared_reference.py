"""The reference of a point with several ranks: shared out, and one computation with the policy."""

import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.config.errors import BadInput
from lib.config.schema import Model, Train
from lib.models.trainable import load_for_training
from lib.runs.files import read_jsonl
from lib.training.inputs import PairSplits
from lib.training.ranks import Stopped, any_rank, from_first
from lib.training.reference import without_adapters
from lib.training.scoring import cast_weights, row_logps
from tests.training.conftest import train_on
from tests.training.two_ranks import LAUNCHER, run_ranks

TUNINGS = ("full", "qlora")


def refuse():
    raise BadInput("on the first rank alone")


def on_a_rank(model: str, splits: PairSplits, root: Path) -> None:
    """What a rank does: agree, be stopped by the other while scoring, and train."""
    rank = int(os.environ["RANK"])
    words = {"processes": 2, "micro_batch": 2, "fsdp": LAUNCHER, "precision": "bf16", "beta": 5.0,
             "lora": {"dropout": 0.3}, "max_steps": 2}  # fmt: skip
    asked = iter([False, rank == 1])
    stopped = train_on(model, splits, root / "stopped", lambda: next(asked), **words)
    assert (stopped.status, stopped.step) == ("stopped", 0)
    assert not list((splits.study / "reference").glob("*/key.json"))
    device = torch.device("cpu")
    assert any_rank(rank == 1, device)
    assert not any_rank(False, device)
    assert from_first(lambda: rank) == 0
    with pytest.raises(BadInput, match="on the first rank alone"):
        from_first(refuse)
    with pytest.raises((ZeroDivisionError, Stopped)[rank]):
        from_first(lambda: 1 / 0)
    for tuning in TUNINGS:
        outcome = train_on(model, splits, root / tuning, tuning=tuning, **words)
        assert outcome.status == "done"
        assert outcome.loaded["reference_gap"] == 0


@pytest.mark.slow
def test_a_sharded_policy_starts_as_its_reference(tiny_model, pair_splits, processes, tmp_path):
    """To the bit, in bf16; and stage 3, which shards nothing, finds the reference's numbers."""
    splits = PairSplits(tmp_path / "study", pair_splits.splits, pair_splits.checksums)
    run_ranks(processes, on_a_rank, str(tiny_model), splits, tmp_path)
    stored = [np.load(path) for path in tmp_path.glob("study/reference/*/test.npy")]
    assert len(stored) == len(TUNINGS)
    for tuning in TUNINGS:
        first, *_, last = read_jsonl(tmp_path / tuning / "train.jsonl")
        assert first["loss"] == pytest.approx(math.log(2), abs=1e-7)
        assert first["train_accuracy"] == 0.5
        assert first["grad_norm"] > 0.01
        assert abs(last["loss"] - first["loss"]) > 1e-3  # it is trained
        settings = Train(tuning=tuning, objective="dpo", micro_batch=2)
        model = load_for_training(Model(name=str(tiny_model)), settings)
        cast_weights(model)
        with without_adapters(model):
            found = row_logps("pairs", model, splits.splits["test"], 0, settings)
        assert any(np.array_equal(found, one) for one in stored)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_reference_that_is_lost_on_the_way(train_pairs, pair_splits, tmp_path, tuning):
    """Adapters leave the base as it was; a model tuned whole cannot score its reference again."""
    pairs = PairSplits(tmp_path / "study", pair_splits.splits, pair_splits.checksums)
    log = tmp_path / "run" / "train.jsonl"

    def behind_a_step():
        return bool(log.read_text())

    assert train_pairs(tmp_path / "run", behind_a_step, pairs=pairs, tuning=tuning).step == 2
    (directory,) = (path.parent for path in tmp_path.glob("study/reference/*/key.json"))
    before = np.load(directory / "train.npy")
    shutil.rmtree(directory)
    if tuning == "full":
        with pytest.raises(BadInput, match="no reference, and this run resumes weights") as error:
            train_pairs(tmp_path / "run", pairs=pairs, tuning=tuning)
        assert str(directory) in str(error.value)
        return
    assert train_pairs(tmp_path / "run", pairs=pairs, tuning=tuning).status == "done"
    assert np.array_equal(np.load(directory / "train.npy"), before)
