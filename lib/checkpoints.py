"""Directories of weights, looked at without loading them."""

from __future__ import annotations

from pathlib import Path

from lib.errors import BadInput, listed, nearest


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
