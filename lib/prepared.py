"""The data of a study: built, tokenised and written once, then only read.

results/<study>/data/manifest.json       counts, ratios, source, identity, and the checksums of all
                                         other files and of the base models (see lib.integrity)
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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lib import tasks
from lib.checkpoints import adapter_checksum, record_base, verify_base
from lib.encoded import (
    HELD_OUT,
    directory_of,
    encode,
    encode_own,
    named,
    shortened,
    write_encoded,
)
from lib.errors import BadInput
from lib.grid import digest
from lib.integrity import checksum, record, verify
from lib.runs import (
    check_writable,
    locked,
    read_jsonl,
    read_sealed,
    refuse_change,
    replacing,
    set_aside,
    write_jsonl,
    write_sealed,
)
from lib.safetensors_cache import ensure_converted
from lib.schema import Model
from lib.study import Point, Study, flatten, identity

MANIFEST = "manifest.json"
KEYS = ("identity", "splits", "files")  # what every manifest has
REMEDY = "run stage 1 again with --force"


def data_identity(study: Study, debug: bool) -> dict[str, Any]:
    """What the data of a study depend on: its `data` sections, tokenizers, and files' contents."""
    found: dict[str, Any] = {"task": study.config.tasks[0]}
    models = [flatten({"model": model.model_dump()}) for model in study.model_sections()]
    for key in models[0]:
        if key == "model.adapter":  # its base's tokenizer is what counts
            continue
        of_each = [model[key] for model in sorted(models, key=str)]
        found[key] = of_each if len(models) > 1 else of_each[0]
    found["evaluate.full_test"] = study.config.evaluate.full_test or None
    sections = [flatten({"data": section.model_dump()}) for section in study.data_sections()]
    for key in dict.fromkeys(key for section in sections for key in section):
        values = {digest(section.get(key)): section.get(key) for section in sections}
        # The values of a swept key, in an order that does not hang on the grid's.
        swept = sorted(values.values(), key=str)
        found[key] = swept if len(swept) > 1 else swept[0]
        for value in swept:
            if isinstance(value, str) and (file := file_of(value)):
                found[f"{value} sha256"] = checksum(file)[:12]
    return {**found, "debug": debug}


def file_of(value: str) -> Path | None:
    """The file that a value of the study names, None where it is any other text."""
    path = Path(value).expanduser()
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long for a path, or not one
        return None


def prepare(
    study: Study, debug: bool = False, force: bool = False, who: str = ""
) -> dict[str, Any]:
    """Build, tokenise and write every split of a study; returns the manifest.

    Returns at once where that has been done from the same config; `force` does it again and keeps
    the old data in `previous/`. Raises BadInput, before anything is written, for bad data or where
    the directory holds data of another config; Busy where another task is at it.
    """
    now = data_identity(study, debug)
    if not force and (manifest := _made_from(study, now)):
        return manifest
    check_writable(study.directory)
    task = tasks.get(study.config.tasks[0])
    # The rows come first: bad data is reported before seconds go into loading a tokenizer.
    splits = task.build(study.config.data, study.data_sections(), study.config.evaluate, debug)
    encoded, rows, counts = _tokenised(study, task, splits.rows)
    models = {model_key(model): record_base(model) for model in study.model_sections()}
    directory = study.directory / "data"
    with locked(study.directory, who):
        if not force and (manifest := _made_from(study, now)):  # by a task that ran beside us
            return manifest
        with replacing(directory) as temporary:
            temporary.mkdir()
            for name, made in encoded.items():
                write_encoded(made, temporary / name)
            for name, kept in rows.items():
                write_jsonl(temporary / f"{name}.jsonl", kept)
            manifest = {
                "study": study.name,
                "identity": now,
                **recorded_splits(temporary, rows),
                "models": models,
                "tokens": {
                    f"{place}/{name}": value
                    for place, made in encoded.items()
                    for name, value in token_digests(made).items()
                },
                **counts,
                "report": splits.report,
            }
            write_sealed(temporary / MANIFEST, manifest)
            if force:
                set_aside(study.directory, ["data"])
    return manifest


def recorded_splits(directory: Path, rows: Mapping[str, list[tasks.Row]]) -> dict[str, Any]:
    """`splits` and `files` of a manifest, over all that has been written to `directory`."""
    files = record(directory, [path.name for path in directory.iterdir()])
    splits = {
        name: {
            "file": f"{name}.jsonl",
            "rows": len(kept),
            "sha256": files[f"{name}.jsonl"]["sha256"],
        }
        for name, kept in rows.items()
    }
    return {"splits": splits, "files": files}


def token_digests(encoded: Mapping[str, Any]) -> dict[str, str]:
    """Split → digest of its tokenised rows in order, over what `encode` or `encode_own` returns.

    Rows of equal text have other tokens where the code that words their prompts has changed.
    """
    of_rows = {
        name: [digest(row) for row in rows] for name, rows in encoded.items() if name != "places"
    }
    distinct = of_rows.pop("rows", [])
    for name, places in encoded.get("places", {}).items():
        of_rows[name] = [distinct[place] for place in places]
    return {name: digest(hashes) for name, hashes in of_rows.items()}


def model_key(model: Model) -> str:
    """Identifies a base model among those of a study, with or without an adapter."""
    return digest(model.model_dump(exclude={"adapter"}))


def _tokenised(
    study: Study, task: tasks.Task, splits: Mapping[str, list[tasks.Row]]
) -> tuple[dict[str, Any], dict[str, list[tasks.Row]], dict[str, Any]]:
    """(directory → what is tokenised for its model, rows, counts for the manifest)."""
    from lib.models import context_length, load_tokenizer

    encoded, cut = {}, {}
    for model in study.model_sections():
        tokenizer, name = load_tokenizer(model), directory_of(study, model)
        context = context_length(model)
        if context is not None and model.max_length > context:
            raise BadInput(f"model.max_length: found {model.max_length}, expected at most "
                           f"{context}, the context of {model.name}")  # fmt: skip
        if task.encode:  # of one model, see lib.checks
            made, rows, counts = encode_own(study, task, tokenizer, splits, model.max_length)
            return {name: made}, rows, counts
        encoded[name] = encode(study, task, tokenizer, splits, model.max_length)
        cut[name] = shortened(encoded[name])
    return encoded, dict(splits), {"cut": cut if len(cut) > 1 else cut[name]}


def _made_from(study: Study, now: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest where the data are there. Raises BadInput where they are of another config.

    A source file that is gone since does not undo what was made from it.
    """
    if not (study.directory / "data" / MANIFEST).exists():
        return None
    manifest = read_manifest(study)
    gone = {k: v for k, v in manifest["identity"].items() if k.endswith(" sha256") and k not in now}
    refuse_change(study.directory / "data", "data", manifest["identity"], {**now, **gone})
    for model in study.model_sections():
        ensure_converted(model)
        verify_base(model, manifest["models"].get(model_key(model)))
    return manifest


def read_manifest(study: Study) -> dict[str, Any]:
    """The manifest of a study's data. Raises BadInput where stage 1 has not run."""
    path = study.directory / "data" / MANIFEST
    if not path.exists():
        raise BadInput(
            f"{path}: no data yet; run python -m stages.stage1_generate_datasets {study.path}"
        )
    return read_sealed(path, REMEDY, (*KEYS, "models", "tokens"))


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
    from datasets import load_from_disk

    _check_split(study, split, point.name)
    rendered = tasks.get(study.config.tasks[0]).rendering(point.config.data)
    name = f"{directory_of(study, point.config.model)}/{named(split, rendered)}"
    return load_from_disk(os.fspath(data_path(study, name)))


def encoded_training(study: Study, point: Point) -> Any:
    """The tokenised training rows of a point as a datasets.Dataset.

    Raises BadInput where the data of the study lack the split that the point needs, or its tokens.
    """
    import numpy as np
    from datasets import load_from_disk

    encoded, name = directory_of(study, point.config.model), train_split(study, point)
    rows = load_from_disk(os.fspath(data_path(study, f"{encoded}/rows")))
    return rows.select(np.load(data_path(study, f"{encoded}/{name}.npy")))


def encoded_held_out(study: Study, point: Point) -> Any:
    """The tokenised validation rows, answers included, by which a point's training is validated.

    None where `train` asks for no validation. Raises BadInput where it does and the data of the
    study have no such rows.
    """
    from datasets import load_from_disk

    from lib.training.steps import asks_validation

    train = point.config.train
    key = asks_validation(train)
    if key is None:
        return None
    if "validation" not in read_manifest(study)["splits"]:
        raise BadInput(
            f"train.{key}: found {getattr(train, key)!r}, but the study's data have no validation "
            f"rows to measure it on"
        )
    name = f"{directory_of(study, point.config.model)}/{HELD_OUT}"
    return load_from_disk(os.fspath(data_path(study, name)))


def encoded_split(study: Study, name: str) -> Any:
    """A split's pairs as a datasets.Dataset, see lib.encoding.encode_pair, and their `id`.

    Raises BadInput where the data of the study have no such split.
    """
    from datasets import load_from_disk

    _check_split(study, name, "its pairs")
    return load_from_disk(os.fspath(data_path(study, f"encoded/{name}")))


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
