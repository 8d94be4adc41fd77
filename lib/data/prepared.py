"""The data of a study: built, tokenised and written once, then only read.

results/<study>/data/manifest.json       counts, ratios, source, identity, and the checksums of all
                                         other files and of the base models (see lib.runs.integrity)
results/<study>/data/<split>.jsonl       rows of every split
results/<study>/data/encoded/rows/       Arrow: every distinct training row, tokenised
results/<study>/data/encoded/<split>.npy where each row of a training split stands in rows/
results/<study>/data/encoded/test/       Arrow: prompts of the test rows and the answers to score
results/<study>/data/encoded/validation/ the same of validation rows, where there are any
results/<study>/data/encoded/validation-rows/  these with their answers, as training rows are

Where points render prompts differently (k-shot), each rendering has its own test-<rendering>/.

Where points have different models, each has its own encoded-<model>-<hash>/ in place of encoded/.

A task that encodes its own rows (pairs of answers) has every split as Arrow instead:

results/<study>/data/encoded/<split>/    its rows, tokenised, in the order of <split>.jsonl
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.schema import Model
from lib.config.study import Point, Study, identity
from lib.data.encoded import HELD_OUT, directory_of, named
from lib.models.checkpoints import adapter_checksum, verify_base
from lib.runs.files import read_jsonl, read_sealed
from lib.runs.integrity import verify

MANIFEST = "manifest.json"
KEYS = ("identity", "splits", "files")  # what every manifest has
REMEDY = "run stage 1 again with --force"


def model_key(model: Model) -> str:
    """Identifies a base model among those of a study, with or without an adapter."""
    return digest(model.model_dump(exclude={"adapter"}))


def read_manifest(study: Study, name: str = "data") -> dict[str, Any]:
    """The manifest of a directory of a study's data. Raises BadInput where stage 1 has not run."""
    path = study.directory / name / MANIFEST
    if not path.exists():
        raise BadInput(
            f"{path}: no data yet; run python -m stages.stage1_generate_datasets {study.path}"
        )
    return read_sealed(path, REMEDY, (*KEYS, "models", "tokens") if name == "data" else KEYS)


def verify_models(study: Study, points: Iterable[Point]) -> None:
    """Raise BadInput where a point's base model is not the one that the data were made for.

    Weights, tokenizer and chat template count. Where they all are as they were, this costs a stat
    of each file.
    """
    models = read_manifest(study)["models"]
    for model in {model_key(p.config.model): p.config.model for p in points}.values():
        verify_base(model, models.get(model_key(model)))


def data_path(study: Study, name: str) -> Path:
    """A file or directory of the study's data. Raises BadInput where it has been changed."""
    directory = study.directory / "data"
    verify(directory, read_manifest(study)["files"], REMEDY, [name])
    return directory / name


def read_split(study: Study, name: str) -> list[tasks.Row]:
    """The rows of a split. Raises BadInput where there is none, or where it has been changed."""
    _check_split(study, name, "its rows")
    return read_jsonl(data_path(study, f"{name}.jsonl"))


def encoded_test(study: Study, point: Point, split: str = "test") -> Any:
    """The prompts of `test` or `validation`, as a point renders them, as a datasets.Dataset.

    Its columns: id, input_ids, answers, prompt_hash, cut. Raises BadInput where the data of the
    study lack the split or the rendering.
    """
    _check_split(study, split, point.name)
    rendered = tasks.get(study.config.tasks[0]).rendering(point.config.data)
    return _load(study, f"{directory_of(study, point.config.model)}/{named(split, rendered)}")


def encoded_training(study: Study, point: Point) -> Any:
    """The tokenised training rows of a point as a datasets.Dataset.

    Raises BadInput where the data of the study lack the split that the point needs, or its tokens.
    """
    import numpy as np

    encoded, name = directory_of(study, point.config.model), train_split(study, point)
    rows = _load(study, f"{encoded}/rows")
    return rows.select(np.load(data_path(study, f"{encoded}/{name}.npy")))


def encoded_held_out(study: Study, point: Point) -> Any:
    """The tokenised validation rows, answers included, by which a point's training is validated.

    None where `train` asks for no validation. Raises BadInput where it does and the data of the
    study have no such rows.
    """
    from lib.config.steps import asks_validation

    train = point.config.train
    key = asks_validation(train)
    if key is None:
        return None
    if "validation" not in read_manifest(study)["splits"]:
        raise BadInput(
            f"train.{key}: found {getattr(train, key)!r}, but the study's data have no validation "
            f"rows to measure it on"
        )
    return _load(study, f"{directory_of(study, point.config.model)}/{HELD_OUT}")


def encoded_split(study: Study, name: str) -> Any:
    """A split's pairs as a datasets.Dataset, see lib.data.encoding.encode_pair, and their `id`.

    Raises BadInput where the data of the study have no such split.
    """
    _check_split(study, name, "its pairs")
    return _load(study, f"encoded/{name}")


def _load(study: Study, name: str) -> Any:
    from datasets import load_from_disk

    return load_from_disk(os.fspath(data_path(study, name)))


def train_split(study: Study, point: Point) -> str:
    """Name of the split that a point is trained on. Raises BadInput where it is not there."""
    name = tasks.get(point.config.tasks[0]).train_split(point.config.data)
    _check_split(study, name, point.name)
    return name


def _check_split(study: Study, name: str, what: str) -> None:
    if name not in read_manifest(study)["splits"]:
        raise BadInput(f"{study.directory / 'data'}: no split {name!r} for {what}; {REMEDY}")


def split_size(study: Study, point: Point) -> int:
    """How many rows a point is trained on."""
    return read_manifest(study)["splits"][train_split(study, point)]["rows"]


def prompt_digest(study: Study, point: Point) -> str | None:
    """Identifies the tokens of the test prompts, as a point renders them."""
    rendered = tasks.get(study.config.tasks[0]).rendering(point.config.data)
    place = directory_of(study, point.config.model)
    return read_manifest(study)["tokens"].get(f"{place}/{named('test', rendered)}")


def train_identity(study: Study, point: Point) -> dict[str, Any]:
    """What a trained point depends on: its config, its training rows and their tokens, its model.

    And the validation split, where there is one: the checkpoint may be chosen by it.
    """
    manifest, split = read_manifest(study), train_split(study, point)
    splits = manifest["splits"]
    base = manifest["models"].get(model_key(point.config.model))
    content = {
        "split sha256": splits[split]["sha256"][:12],
        "split tokens": manifest["tokens"].get(
            f"{directory_of(study, point.config.model)}/{split}"
        ),
        "model sha256": base and base["digest"],
    }
    if "validation" in splits:
        content["validation sha256"] = splits["validation"]["sha256"][:12]
    if point.config.model.adapter:
        copied = point.directory / "model"
        content["model.adapter sha256"] = adapter_checksum(point.config.model, copied)
    return {**identity(point.config, "model", "data", "train"), **content}
