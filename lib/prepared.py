"""The data of a study: built, tokenised and written once, then only read.

results/<study>/data/manifest.json       counts, ratios, checksums, source, identity
results/<study>/data/<split>.jsonl       rows of every split
results/<study>/data/encoded/rows/       Arrow: every distinct training row, tokenised
results/<study>/data/encoded/test/       Arrow: prompts of the test rows and the answers to score
results/<study>/data/encoded/<split>.npy where each row of a training split stands in rows/
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lib import tasks
from lib.encoding import answer_encoder, encode_row, fit_prompt, prompt_hash
from lib.errors import BadInput
from lib.progress import tracked
from lib.runs import (
    checksum,
    read_json,
    read_jsonl,
    refuse_change,
    replacing,
    write_json,
    write_jsonl,
)
from lib.study import Point, Study, identity

MANIFEST = "manifest.json"


def data_identity(study: Study, debug: bool) -> dict[str, Any]:
    """What the data of a study depend on: its `data` sections, tokenizer, and files' contents."""
    found = identity(study.config, "model", "data")
    sections = study.data_sections()
    for key in [key for key in found if key.startswith("data.")]:
        values = {str(v) for s in sections if (v := _attribute(s, key)) is not None}
        if len(values) > 1:
            found[key] = sorted(values)
        if isinstance(found[key], str) and Path(found[key]).is_file():
            found[f"{key} sha256"] = checksum(Path(found[key]))[:12]
    return {**found, "debug": debug}


def _attribute(section: Any, key: str) -> Any:
    return getattr(section, key.split(".")[1], None)


def prepare(study: Study, debug: bool = False) -> dict[str, Any]:
    """Build, tokenise and write every split of a study; returns the manifest.

    Returns at once where that has been done from the same config. Raises BadInput for bad data or
    where the directory holds data of another config.
    """
    directory = study.directory / "data"
    now = data_identity(study, debug)
    if (directory / MANIFEST).exists():
        manifest = read_manifest(study)
        refuse_change(directory, "data", manifest["identity"], now)
        return manifest
    task = tasks.part(study.config.tasks[0], "data")
    # The rows come first: bad data is reported before seconds go into loading a tokenizer.
    splits = task.build(study.config.data, study.data_sections(), debug)
    from lib.models import load_tokenizer

    tokenizer = load_tokenizer(study.config.model)
    with replacing(directory) as temporary:
        temporary.mkdir()
        cut = _encode(study, task, tokenizer, splits.rows, temporary / "encoded")
        files = {}
        for name, rows in splits.rows.items():
            write_jsonl(temporary / f"{name}.jsonl", rows)
            sha = checksum(temporary / f"{name}.jsonl")
            files[name] = {"file": f"{name}.jsonl", "rows": len(rows), "sha256": sha}
        manifest = {
            "study": study.name,
            "identity": now,
            "splits": files,
            "cut": cut,
            "report": splits.report,
        }
        write_json(temporary / MANIFEST, manifest)
    return manifest


def _encode(
    study: Study, task: Any, tokenizer: Any, splits: dict[str, list[tasks.Row]], directory: Path
) -> dict[str, int]:
    """Tokenise test prompts and distinct training rows; returns how many had to be shortened."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()  # ours tell the time left, in a log file too
    data, room = study.config.data, study.config.model.max_length
    answer_ids = answer_encoder(tokenizer)
    distinct = {row["id"]: row for name, rows in splits.items() if name != "test" for row in rows}
    encoded = [
        encode_row(tokenizer, task, row, data, room, answer_ids)
        for row in tracked(distinct.values(), len(distinct), "tokenise training rows")
    ]
    test = []
    for row in tracked(splits["test"], len(splits["test"]), "tokenise test rows"):
        messages = task.messages(row, data)
        answers = [answer_ids(messages, answer) for answer in task.answers(data) or []]
        longest = max(map(len, [*answers, answer_ids(messages, row["target"])]))
        ids, cut = fit_prompt(tokenizer, task, row, data, room - longest)
        test.append(
            {
                "id": row["id"],
                "input_ids": ids,
                "answers": answers,
                "cut": cut,
                "prompt_hash": prompt_hash(ids),
            }
        )
    Dataset.from_list(encoded).save_to_disk(directory / "rows")
    Dataset.from_list(test).save_to_disk(directory / "test")
    position = {row_id: i for i, row_id in enumerate(distinct)}
    for name, rows in splits.items():
        if name != "test":
            np.save(directory / f"{name}.npy", np.array([position[row["id"]] for row in rows]))
    return {"train": sum(row["cut"] for row in encoded), "test": sum(row["cut"] for row in test)}


def read_manifest(study: Study) -> dict[str, Any]:
    """The manifest of a study's data. Raises BadInput where stage 1 has not run."""
    path = study.directory / "data" / MANIFEST
    if not path.exists():
        raise BadInput(
            f"{path}: no data yet; run python -m stages.stage1_generate_datasets {study.path}"
        )
    return read_json(path)


def test_rows(study: Study) -> list[tasks.Row]:
    """The rows of the test split, in order."""
    read_manifest(study)
    return read_jsonl(study.directory / "data" / "test.jsonl")


def encoded_test(study: Study) -> Any:
    """The test prompts as a datasets.Dataset: id, input_ids, answers, prompt_hash."""
    from datasets import load_from_disk

    read_manifest(study)
    return load_from_disk(os.fspath(study.directory / "data" / "encoded" / "test"))


def encoded_training(study: Study, point: Point) -> Any:
    """The tokenised training rows of a point as a datasets.Dataset.

    Raises BadInput where the data of the study lack the split that the point needs.
    """
    from datasets import load_from_disk

    directory = study.directory / "data" / "encoded"
    name = train_split(study, point)
    rows = load_from_disk(os.fspath(directory / "rows"))
    return rows.select(np.load(directory / f"{name}.npy"))


def train_split(study: Study, point: Point) -> str:
    """Name of the split that a point is trained on. Raises BadInput where it is not there."""
    name = tasks.part(point.config.tasks[0], "data").train_split(point.config.data)
    splits = read_manifest(study)["splits"]
    if name not in splits:
        raise BadInput(
            f"{study.directory / 'data'}: no split {name!r} for {point.name}; run "
            f"stage 1 again with --force"
        )
    return name


def train_identity(study: Study, point: Point) -> dict[str, Any]:
    """What a trained point depends on: its config and the content of its training split."""
    split = read_manifest(study)["splits"][train_split(study, point)]
    return {
        **identity(point.config, "model", "data", "train"),
        "split sha256": split["sha256"][:12],
    }


def predict_identity(study: Study, point: Point) -> dict[str, Any]:
    """What the predictions of a point depend on."""
    test = read_manifest(study)["splits"]["test"]["sha256"][:12]
    return {
        **train_identity(study, point),
        **identity(point.config, "generate"),
        "test sha256": test,
    }
