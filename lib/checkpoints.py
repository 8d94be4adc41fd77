"""Directories of weights, looked at without loading them."""

from __future__ import annotations

from pathlib import Path

from lib.errors import BadInput, listed, nearest
from lib.grid import digest
from lib.runs import checksum, read_json
from lib.schema import Model

ADAPTER = ("adapter_config.json", "adapter_model.safetensors")  # the files of an adapter


def check_directory(name: str | Path, what: str = "model.name") -> None:
    """Raise BadInput where a name that means a directory is not one with config and weights."""
    name, path = str(name), Path(name)
    if not path.is_dir():
        if path.is_absolute() or name.startswith(".") or name.count("/") > 1:
            beside = sorted(str(p) for p in path.parent.glob("*") if p.is_dir())
            raise BadInput(f"{what}: no such model directory {name}{nearest(name, beside)}")
        return
    for kind, pattern in (("configuration", "config.json"), ("weights", "*.safetensors")):
        adapter = "adapter_" + pattern.replace("*", "model")
        if not any(path.glob(pattern)) and not (path / adapter).exists():
            found = listed(sorted(p.name for p in path.iterdir())) or "nothing"
            raise BadInput(
                f"{what}: model directory {name} has no {kind} ({pattern}), it holds {found}"
            )


def is_adapter(directory: Path) -> bool:
    """Whether a trained directory holds adapters, not whole weights."""
    return (directory / "adapter_config.json").exists()


def check_adapter(model: Model) -> Path:
    """The directory of `model.adapter`. Raises BadInput where it holds no adapter of `model.name`.

    The same directory counts as the same base, however its path is written.
    """
    directory, where = Path(model.adapter).expanduser(), f"model.adapter: {model.adapter}"
    if not directory.is_dir():
        beside = sorted(str(p) for p in directory.parent.glob("*") if p.is_dir())
        raise BadInput(f"{where}: no such directory{nearest(directory, beside)}")
    for name in ADAPTER:
        if not (directory / name).is_file():
            found = listed(sorted(p.name for p in directory.iterdir())) or "nothing"
            raise BadInput(f"{where}: no adapter: it has no {name}, it holds {found}")
    settings = read_json(directory / ADAPTER[0])
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(base, str) or _place(base) != _place(model.name):
        raise BadInput(
            f"{where}: adapter of another base model: found {base!r}, expected {model.name!r}"
        )
    return directory


def _place(name: str) -> str:
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name


def adapter_checksum(model: Model, copied: Path) -> str:
    """12 hex digits of the adapter's files; of those in `copied`, where the adapter is gone."""
    gone = copied.is_dir() and not Path(model.adapter).expanduser().is_dir()
    there = copied if gone else check_adapter(model)
    return digest([checksum(there / name) for name in ADAPTER])
