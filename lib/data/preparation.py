"""What stage 1 leaves: splits, tokenised rows, and a manifest that vouches for all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.study import Study, flatten
from lib.data.encoded import directory_of, encode, encode_own, shortened, write_encoded
from lib.data.prepared import MANIFEST, REMEDY, model_key, read_manifest
from lib.models.checkpoints import record_base, verify_base
from lib.models.safetensors_cache import convert
from lib.runs.directory import archive, locked, refuse_change
from lib.runs.files import check_writable, replacing, write_jsonl, write_sealed
from lib.runs.integrity import checksum, record, verify


def data_identity(study: Study, debug: bool) -> dict[str, Any]:
    """What the data of a study depend on: its `data` sections, tokenizers, and files' contents."""
    depends: dict[str, Any] = {"task": study.config.tasks[0]}
    models = [flatten({"model": model.model_dump()}) for model in study.model_sections()]
    for key in models[0]:
        if key == "model.adapter":  # its base's tokenizer is what counts
            continue
        of_each = [model[key] for model in sorted(models, key=str)]
        depends[key] = of_each if len(models) > 1 else of_each[0]
    depends["evaluate.full_test"] = study.config.evaluate.full_test or None
    sections = [flatten({"data": section.model_dump()}) for section in study.data_sections()]
    for key in dict.fromkeys(key for section in sections for key in section):
        values = {digest(section.get(key)): section.get(key) for section in sections}
        # The values of a swept key, in an order that does not depend on the grid's.
        swept = sorted(values.values(), key=str)
        depends[key] = swept if len(swept) > 1 else swept[0]
        depends |= file_checksums(swept)
    return {**depends, "debug": debug}


def file_checksums(values: Iterable[Any]) -> dict[str, str]:
    """`<file> sha256` → checksum, of those values of a study that name a file."""
    checksums = {}
    for value in values:
        # Other text may be too long for a path, or none.
        with suppress(OSError, ValueError):
            if isinstance(value, str) and Path(value).expanduser().is_file():
                checksums[f"{value} sha256"] = checksum(value)[:12]
    return checksums


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
    tokens = {
        f"{place}/{name}": value
        for place, tokenised in encoded.items()
        for name, value in token_digests(tokenised).items()
    }
    content = {"identity": now, "models": models, "tokens": tokens, **counts}
    with locked(study.directory, who):
        if not force and (manifest := _made_from(study, now)):  # by a task that ran beside us
            return manifest
        return store(study, "data", rows, {**content, "report": splits.report}, force, encoded)


def store(
    study: Study,
    name: str,
    rows: Mapping[str, list[tasks.Row]],
    content: Mapping[str, Any],
    force: bool,
    encoded: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the directory `name` of a study's data, whole or not at all; returns its manifest.

    rows: of each split. content: what else the manifest says. encoded: directory → what `encode` or
    `encode_own` made. `force` sets aside what is there.
    """
    with replacing(study.directory / name) as temporary:
        temporary.mkdir()
        for place, tokenised in (encoded or {}).items():
            write_encoded(tokenised, temporary / place)
        for split, kept in rows.items():
            write_jsonl(temporary / f"{split}.jsonl", kept)
        manifest = {"study": study.name, **content, **recorded_splits(temporary, rows)}
        write_sealed(temporary / MANIFEST, manifest)
        if force:
            archive(study.directory, [name])
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

    Rows of equal text have other tokens where the code that renders their prompts has changed.
    """
    of_rows = {
        name: [digest(row) for row in rows] for name, rows in encoded.items() if name != "places"
    }
    distinct = of_rows.pop("rows", [])
    for name, places in encoded.get("places", {}).items():
        of_rows[name] = [distinct[place] for place in places]
    return {name: digest(hashes) for name, hashes in of_rows.items()}


def _tokenised(
    study: Study, task: tasks.Task, splits: Mapping[str, list[tasks.Row]]
) -> tuple[dict[str, Any], dict[str, list[tasks.Row]], dict[str, Any]]:
    """(directory → what is tokenised for its model, rows, counts for the manifest)."""
    from lib.models.load import context_length, load_tokenizer

    encoded, cut = {}, {}
    for model in study.model_sections():
        tokenizer, name = load_tokenizer(model), directory_of(study, model)
        context = context_length(model)
        if context is not None and model.max_length > context:
            raise BadInput(f"model.max_length: found {model.max_length}, expected at most "
                           f"{context}, the context of {model.name}")  # fmt: skip
        if task.encode:  # of one model, see lib.config.checks
            tokenised, rows, counts = encode_own(study, task, tokenizer, splits, model.max_length)
            return {name: tokenised}, rows, counts
        encoded[name] = encode(study, task, tokenizer, splits, model.max_length)
        cut[name] = shortened(encoded[name])
    return encoded, dict(splits), {"cut": cut if len(cut) > 1 else cut[name]}


def _made_from(study: Study, now: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest where the data are there. Raises BadInput as `made_from`, and for models."""
    manifest = made_from(study, "data", now)
    for model in study.model_sections() if manifest else ():
        convert(model)
        verify_base(model, manifest["models"].get(model_key(model)))
    return manifest


def made_from(study: Study, name: str, now: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest of the directory `name` of a study's data, None where there is none.

    Raises BadInput where it is of another config than `now`, or a file in it has been changed.
    A source file that has been removed since does not undo what was built from it.
    """
    if not (study.directory / name / MANIFEST).exists():
        return None
    manifest = read_manifest(study, name)
    before = manifest["identity"]
    removed = {key: before[key] for key in before.keys() - now.keys() if key.endswith(" sha256")}
    refuse_change(study.directory / name, "data", before, {**now, **removed})
    verify(study.directory / name, manifest["files"], REMEDY)
    return manifest
