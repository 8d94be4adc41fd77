"""What a point is trained and validated on: the encoded rows that stage 1 wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.study import Point, Study
from lib.data.prepared import (
    encoded_held_out,
    encoded_split,
    encoded_training,
    read_manifest,
    read_split,
    train_split,
)
from lib.data.testsets import own_rows
from lib.losses import OBJECTIVES
from lib.training.reference_key import pair_checksums


@dataclass(frozen=True)
class PairSplits:
    """The encoded pairs of a study, every split of which has log-probabilities of the reference."""

    study: Path  # results/<study>/
    splits: Mapping[str, Any]  # split → dataset of encoded pairs
    checksums: Mapping[str, str]  # see `pair_checksums`


@dataclass(frozen=True)
class TrainData:
    """Encoded rows of a point (datasets.Dataset), of the kind of batch of its objective."""

    rows: Any
    held_out: Any = None  # validation rows, None for no validation
    labels: Sequence[str] = ()  # of classes, by number
    pairs: PairSplits | None = None  # of pairs


def train_data(study: Study, point: Point) -> TrainData:
    """The data of a point, as stage 1 left them."""
    kind = OBJECTIVES[point.config.train.objective].batch
    if kind == "pairs":
        return pair_data(pair_splits(study))
    if kind == "classes":
        rows, held_out = encoded_split(study, train_split(study, point)), None
        if "validation" in read_manifest(study)["splits"]:
            held_out = own_encoded(study, point, "validation") or None
        labels = tasks.get(study.config.tasks[0]).labels(point.config.data)
        return TrainData(rows, held_out, labels)
    return TrainData(encoded_training(study, point), encoded_held_out(study, point))


def pair_data(pairs: PairSplits) -> TrainData:
    """The data of a point on these pairs: it trains on `train`, and validates on `validation`."""
    held_out = pairs.splits.get("validation")
    return TrainData(pairs.splits["train"], held_out if held_out and len(held_out) else None,
                     pairs=pairs)  # fmt: skip


def pair_splits(study: Study) -> PairSplits:
    """The pairs of a study: training, validation and test."""
    splits = {name: encoded_split(study, name) for name in read_manifest(study)["splits"]}
    return PairSplits(study.directory, splits, pair_checksums(study))


def own_encoded(study: Study, point: Point, split: str) -> list[dict[str, Any]]:
    """The encoded rows of `test` or `validation` that a point is measured on, in order."""
    rows = read_split(study, split)
    own = {row["id"] for row in own_rows(study.config.tasks[0], rows, point.config)}
    return [row for row in encoded_split(study, split).to_list() if row["id"] in own]
