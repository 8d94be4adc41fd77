"""Weights that a run keeps along its way, each with a record that vouches for them. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib.errors import BadInput
from lib.integrity import verify
from lib.runs import read_sealed

BEST = Path("checkpoints") / "best"  # below a run's directory; removed with the checkpoints
# Beside weights that are kept along the way: the step, what was measured, and their checksums.
RECORD, CANDIDATE = "validation.json", "candidate.json"


def candidate(step: int) -> Path:
    """Where, below a run's directory, `train.sweep` keeps the weights after a step."""
    return Path("sweep") / f"step-{step:06d}"


def read_weights(directory: Path, name: str, remedy: str) -> dict[str, Any]:
    """The record of weights that were kept. Raises BadInput where they are not as they were saved.

    name: RECORD or CANDIDATE.
    """
    if not directory.is_dir():
        raise BadInput(f"{directory}: missing, though these weights were kept; {remedy}")
    kept = read_sealed(directory / name, remedy, ("step", "files"))
    verify(directory, kept["files"], remedy)
    return kept
