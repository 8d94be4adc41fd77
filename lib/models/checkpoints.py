"""Directories of weights, checked without loading them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.grid import digest
from lib.config.schema import Model
from lib.models.safetensors_cache import (
    BESIDE,
    converted_files,
    pickles,
    snapshot,
    verify_converted,
)
from lib.runs.directory import CANDIDATES, SELECTION, verify_done
from lib.runs.files import read_json
from lib.runs.integrity import checksum, digest_of, record, verify
from lib.runs.progress import progress

# Files that affect weights, tokens and prompts, unlike a README.
MODEL_FILES = ("*.safetensors", *BESIDE)
CHANGED = ("the study's points would not be of one model; restore it, or give the study another "
           "name=…, or run stage 1 again with --force")  # fmt: skip
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")  # the files of an adapter


def check_directory(name: str | Path, what: str = "model.name") -> None:
    """Raise BadInput where a name that looks like a directory is not one with config and weights.

    A study's model may have pickled weights only, see lib.models.safetensors_cache.
    """
    name, path = str(name), Path(name)
    if not path.is_dir():
        if path.is_absolute() or name.startswith(".") or name.count("/") > 1:
            beside = sorted(str(p) for p in path.parent.glob("*") if p.is_dir())
            raise BadInput(f"{what}: no such model directory {name}{nearest(name, beside)}")
        return
    for kind, pattern in (("configuration", "config.json"), ("weights", "*.safetensors")):
        adapter = "adapter_" + pattern.replace("*", "model")
        if kind == "weights" and what == "model.name" and pickles(path):
            continue  # which stage 1 converts
        if not any(path.glob(pattern)) and not (path / adapter).exists():
            content = listed(sorted(p.name for p in path.iterdir())) or "nothing"
            raise BadInput(
                f"{what}: model directory {name} has no {kind} ({pattern}), it holds {content}"
            )


def is_adapter(directory: Path) -> bool:
    """Whether a trained directory has adapters rather than full weights."""
    return (directory / "adapter_config.json").exists()


def check_adapter(model: Model) -> Path:
    """The directory of `model.adapter`. Raises BadInput where it is no adapter of `model.name`.

    Different paths of one directory are the same base.
    """
    directory, where = Path(model.adapter).expanduser(), f"model.adapter: {model.adapter}"
    if not directory.is_dir():
        beside = sorted(str(p) for p in directory.parent.glob("*") if p.is_dir())
        raise BadInput(f"{where}: no such directory{nearest(directory, beside)}")
    for name in ADAPTER:
        if not (directory / name).is_file():
            content = listed(sorted(p.name for p in directory.iterdir())) or "nothing"
            raise BadInput(f"{where}: no adapter: it has no {name}, it holds {content}")
    check_base(directory, model, where)
    return directory


def check_base(directory: Path, model: Model, where: str) -> None:
    """Raise BadInput, starting with `where`, for an adapter of another base than `model.name`."""
    settings = read_json(directory / ADAPTER[0])
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(base, str) or _place(base) != _place(model.name):
        raise BadInput(
            f"{where}: adapter of another base model: found {base!r}, expected {model.name!r}"
        )


def _place(name: str) -> str:
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name


def adapter_checksum(model: Model, copied: Path) -> str:
    """12 hex digits of the adapter's files, or of those in `copied` if the adapter is missing."""
    gone = copied.is_dir() and not Path(model.adapter).expanduser().is_dir()
    there = copied if gone else check_adapter(model)
    return digest([checksum(there / name) for name in ADAPTER])


def record_base(model: Model) -> dict[str, Any]:
    """Identity of a base model, for a manifest: `digest`, and the checksums of its `files`.

    Of a directory: weights, configuration, tokenizer and chat template; of a hub model its commit.
    Pickled weights are converted first; `converted` are the checksums of the result, or null.
    Raises BadInput where the directory is not a model, or its pickles hold more than tensors.
    """
    check_directory(model.name)
    directory, converted = Path(model.name), converted_files(model)
    if not directory.is_dir():
        commit = hub_commit(model)
        return {"name": model.name, "digest": commit, "files": {}, "converted": converted}
    with progress(1, f"checksums of {directory.name}", "model"):
        files = record(directory, _model_files(directory))
    return {"name": model.name, "digest": digest_of(files), "files": files,
            "converted": converted}  # fmt: skip


def verify_base(model: Model, recorded: Mapping[str, Any] | None) -> None:
    """Raise BadInput where a base model differs from what `record_base` recorded.

    A missing model is not an error here, but when it is loaded.
    """
    if recorded is None:
        raise BadInput(f"model.name: the study's data were built without {model.name}; run stage 1 "
                       f"again with --force")  # fmt: skip
    directory = Path(model.name)
    verify_converted(model, recorded.get("converted"), CHANGED)
    if directory.is_dir():
        verify(directory, recorded["files"], CHANGED)
        if added := sorted(set(_model_files(directory)) - set(recorded["files"])):
            raise BadInput(f"{directory / added[0]}: new since stage 1; {CHANGED}")
    elif (commit := hub_commit(model)) and commit != (recorded["digest"] or commit):
        raise BadInput(
            f"model.name: {model.name} is at commit {commit}, but was at {recorded['digest']} in "
            f"stage 1; set model.revision, or give the study another name=…"
        )


def verify_model(directory: Path) -> None:
    """Raise BadInput where `model/` of a run is not as stage 2 or checkpoint selection left it.

    Until the selection, candidates have checksums of their own.
    """
    if not (directory / CANDIDATES).exists():
        chosen = (directory / "done" / f"{SELECTION}.json").exists()
        verify_done(directory, SELECTION if chosen else "train", ["model"])


def hub_commit(model: Model) -> str | None:
    """The commit of a hub model in the local cache, or None."""
    cached = None if Path(model.name).is_dir() else snapshot(model)
    return None if cached is None else cached.name


def _model_files(directory: Path) -> list[str]:
    found = (path for pattern in MODEL_FILES for path in directory.glob(pattern))
    names = {path.relative_to(directory).as_posix() for path in found}
    return sorted(names | set(pickles(directory)))
