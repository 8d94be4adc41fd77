"""The data of a study: built, tokenised and written once, then only read.

results/<study>/data/manifest.json       counts, ratios, checksums, source, identity
results/<study>/data/<split>.jsonl       rows of every split
results/<study>/data/encoded/rows/       Arrow: every distinct training row, tokenised
results/<study>/data/encoded/test/       Arrow: prompts of the test rows and the answers to score
results/<study>/data/encoded/<split>.npy where each row of a training split stands in rows/
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib import tasks
from lib.encoding import answer_encoder, encode_row, fit_prompt, prompt_hash
from lib.errors import BadInput
from lib.grid import digest
from lib.progress import tracked
from lib.runs import (
    check_writable,
    checksum,
    locked,
    read_json,
    refuse_change,
    replacing,
    set_aside,
    write_json,
    write_jsonl,
)
from lib.study import Point, Study, flatten, identity

MANIFEST = "manifest.json"


def data_identity(study: Study, debug: bool) -> dict[str, Any]:
    """What the data of a study depend on: its `data` sections, tokenizer, and files' contents."""
    found = identity(study.config, "model")
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
    task = tasks.part(study.config.tasks[0], "data")
    # The rows come first: bad data is reported before seconds go into loading a tokenizer.
    splits = task.build(study.config.data, study.data_sections(), debug)
    from lib.models import load_tokenizer

    encoded = _encode(study, task, load_tokenizer(study.config.model), splits.rows)
    directory = study.directory / "data"
    with locked(study.directory, who):
        if not force and (manifest := _made_from(study, now)):  # by a task that ran beside us
            return manifest
        with replacing(directory) as temporary:
            temporary.mkdir()
            _write_encoded(encoded, temporary / "encoded")
            files = {}
            for name, rows in splits.rows.items():
                write_jsonl(temporary / f"{name}.jsonl", rows)
                sha = checksum(temporary / f"{name}.jsonl")
                files[name] = {"file": f"{name}.jsonl", "rows": len(rows), "sha256": sha}
            manifest = {
                "study": study.name,
                "identity": now,
                "splits": files,
                "cut": {
                    name: sum(row["cut"] for row in encoded[rows])
                    for name, rows in (("train", "rows"), ("test", "test"))
                },
                "report": splits.report,
            }
            write_json(temporary / MANIFEST, manifest)
            if force:
                set_aside(study.directory, ["data"])
    return manifest


def _made_from(study: Study, now: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest where the data are there. Raises BadInput where they are of another config.

    A source file that is gone since does not undo what was made from it.
    """
    if not (study.directory / "data" / MANIFEST).exists():
        return None
    manifest = read_manifest(study)
    gone = {k: v for k, v in manifest["identity"].items() if k.endswith(" sha256") and k not in now}
    refuse_change(study.directory / "data", "data", manifest["identity"], {**now, **gone})
    return manifest


def _encode(
    study: Study, task: Any, tokenizer: Any, splits: Mapping[str, list[tasks.Row]]
) -> dict[str, Any]:
    """Tokenised `rows` (every distinct training row), `test` prompts, and for each training split
    where its rows stand in `rows`.
    """
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
    position = {row_id: i for i, row_id in enumerate(distinct)}
    places = {
        name: [position[row["id"]] for row in rows]
        for name, rows in splits.items()
        if name != "test"
    }
    return {"rows": encoded, "test": test, "places": places}


def _write_encoded(encoded: Mapping[str, Any], directory: Path) -> None:
    import numpy as np  # not above: stages answer --help without it
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()  # ours tell the time left, in a log file too
    for name in ("rows", "test"):
        Dataset.from_list(encoded[name]).save_to_disk(directory / name)
    for name, places in encoded["places"].items():
        np.save(directory / f"{name}.npy", places)


def read_manifest(study: Study) -> dict[str, Any]:
    """The manifest of a study's data. Raises BadInput where stage 1 has not run."""
    path = study.directory / "data" / MANIFEST
    if not path.exists():
        raise BadInput(
            f"{path}: no data yet; run python -m stages.stage1_generate_datasets {study.path}"
        )
    return read_json(path)


def encoded_test(study: Study) -> Any:
    """The test prompts as a datasets.Dataset: id, input_ids, answers, prompt_hash."""
    from datasets import load_from_disk

    read_manifest(study)
    return load_from_disk(os.fspath(study.directory / "data" / "encoded" / "test"))


def encoded_training(study: Study, point: Point) -> Any:
    """The tokenised training rows of a point as a datasets.Dataset.

    Raises BadInput where the data of the study lack the split that the point needs.
    """
    import numpy as np
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


def split_size(study: Study, point: Point) -> int:
    """How many rows a point is trained on."""
    return read_manifest(study)["splits"][train_split(study, point)]["rows"]


def train_identity(study: Study, point: Point) -> dict[str, Any]:
    """What a trained point depends on: its config and the content of its training split."""
    split = read_manifest(study)["splits"][train_split(study, point)]
    return {
        **identity(point.config, "model", "data", "train"),
        "split sha256": split["sha256"][:12],
    }
