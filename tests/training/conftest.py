"""Preference pairs of the tiny model, and points that train on them."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from lib.config.schema import Config, Evaluate, Model, Train
from lib.config.study import Point
from lib.training.inputs import PairSplits, TrainData, pair_data
from lib.training.loop import train_point


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
    model: str,
    splits: PairSplits,
    directory: Path,
    stop=bool,
    pairs=None,
    shared=None,
    **changes: Any,
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
    return train_point(point, pair_data(pairs), directory, stop, shared=shared)


def made_classes(count: int, seed: int = 0, vocabulary: int = 300) -> list[dict[str, Any]]:
    """Encoded rows of many lengths; most tokens of label 1 are of high ids, so there is a rule."""
    draw, found = random.Random(seed), []
    for i in range(count):
        low = 4 + i % 2 * (vocabulary // 2)
        ids = [draw.randrange(low, low + vocabulary // 2) for _ in range(draw.randint(2, 20))]
        found.append(
            {
                "id": str(i),
                "input_ids": [2, *ids, 3],
                "token_type_ids": [0] * (len(ids) + 2),
                "label": i % 2,
                "cut": False,
                "prompt_hash": "0",
            }
        )
    return found


@pytest.fixture
def class_rows():
    return made_classes


TARGETS = {
    "bert": ["query", "key", "value", "dense"],
    "deberta": ["query_proj", "key_proj", "value_proj", "dense"],
}


def train_on_classes(
    models: dict[str, Path], directory: Path, stop=bool, kind="bert", count=32, held=8, **changes
) -> Any:
    """Train a point on `made_classes` into a directory; at module level, to be spawned."""
    settings = {
        "objective": "classification", "tuning": "lora", "batch_size": 8, "micro_batch": 4,
        "learning_rate": 0.01, "precision": "fp32", "warmup": 0.0, "gradient_checkpointing": False,
        "lora": {"r": 2, "alpha": 4, "dropout": 0.1, "target_modules": TARGETS[kind]},
        "adalora": {"init_r": 4, "target_r": 2, "tinit": 0.25, "tfinal": 0.25, "delta_t": 1},
        **changes,
    }  # fmt: skip
    alpha = settings.pop("alpha", 0.0)
    settings["importance"] = {"alpha": alpha, "batches": 3, **settings.get("importance", {})}
    config = Config(
        tasks=["glue"],
        model=Model(name=str(models[kind]), max_length=32),
        data=None,
        train=Train(**settings),
        evaluate=Evaluate(baseline={}),
    )
    directory.mkdir(parents=True, exist_ok=True)
    point = Point(0, {}, "point", config, directory)
    held_out = made_classes(held, seed=1) if held else None
    data = TrainData(Dataset.from_list(made_classes(count)), held_out, ["low", "high"])
    said: list[str] = []
    outcome = train_point(point, data, directory, stop, said.append)
    (directory / "said.txt").write_text("\n".join(said))
    return outcome


@pytest.fixture(scope="session")
def train_classes(tiny_encoders: dict[str, Path]):
    """Return a function that trains a classifier point into a directory."""
    return partial(train_on_classes, tiny_encoders)


@pytest.fixture(scope="session")
def train_pairs(tiny_model: Path, pair_splits: PairSplits):
    """Return a function that trains a point on `pair_splits` into a directory."""
    return partial(train_on, str(tiny_model), pair_splits)
