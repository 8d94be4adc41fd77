"""Preference pairs of the tiny model, and points that train on them."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from lib.schema import Config, Evaluate, Model, Train
from lib.study import Point
from lib.training.loop import train_point
from lib.training.pair_data import PairSplits


def made_pairs(count: int, seed: int = 0, vocabulary: int = 300) -> list[dict[str, Any]]:
    """Encoded pairs of many lengths; chosen responses are of low ids, so there is what to learn."""
    draw = random.Random(seed)

    def ids(low: int, high: int, longest: int) -> list[int]:
        return [draw.randrange(low, high) for _ in range(draw.randint(1, longest))]

    return [
        {
            "id": str(i),
            "prompt_ids": ids(3, vocabulary, 12),
            "chosen_ids": ids(3, vocabulary // 2, 9),
            "rejected_ids": ids(vocabulary // 2, vocabulary, 9),
            "cut": False,
            "prompt_hash": "0",
        }
        for i in range(count)
    ]


@pytest.fixture
def pair_rows():
    return made_pairs


@pytest.fixture(scope="session")
def pair_splits(tmp_path_factory) -> PairSplits:
    """24 training, 6 validation and 5 test pairs; references are kept below `study`."""
    sizes = {"train": 24, "validation": 6, "test": 5}
    splits = {n: Dataset.from_list(made_pairs(c, seed=i)) for i, (n, c) in enumerate(sizes.items())}
    return PairSplits(tmp_path_factory.mktemp("study"), splits, {name: name for name in splits})


def train_on(
    model: str, splits: PairSplits, directory: Path, stop=bool, pairs=None, **changes: Any
) -> Any:
    """Train a point on pairs into a directory; at module level, for processes that are spawned."""
    pairs = pairs or splits
    settings = {
        "objective": "dpo", "batch_size": 8, "micro_batch": 4, "learning_rate": 0.01,
        "precision": "fp32", "warmup": 0.0, "gradient_checkpointing": False, **changes,
    }  # fmt: skip
    config = Config(
        tasks=["preference"],
        model=Model(name=model, max_length=128),
        data=None,
        train=Train(**settings),
        evaluate=Evaluate(baseline={}),
    )
    directory.mkdir(parents=True, exist_ok=True)
    point = Point(0, {}, "point", config, directory)
    return train_point(point, pairs.splits["train"], directory, stop, pairs)


@pytest.fixture(scope="session")
def train_pairs(tiny_model: Path, pair_splits: PairSplits):
    """Return a function that trains a point on `pair_splits` into a directory."""
    return partial(train_on, str(tiny_model), pair_splits)
