"""Weights that a run keeps along its way, each with a record that vouches for them. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.runs.directory import CANDIDATES
from lib.runs.files import read_sealed
from lib.runs.integrity import verify

BEST = Path("checkpoints") / "best"  # below a run's directory; removed with the checkpoints
MEASURED = "validation.json"  # beside the best weights: the step, and what was measured there
KEPT = "kept.json"  # beside weights that are kept: the step, and the checksums of all other files


def candidate(step: int) -> Path:
    """Directory of a candidate's weights, relative to the run's."""
    return Path(CANDIDATES) / f"step-{step:06d}"


def read_weights(directory: Path, remedy: str) -> dict[str, Any]:
    """The record of weights that were kept: their `step` and `files`.

    Raises BadInput where they are not as they were saved.
    """
    if not directory.is_dir():
        raise BadInput(f"{directory}: missing, though these weights were kept; {remedy}")
    kept = read_sealed(directory / KEPT, remedy, ("step", "files"))
    verify(directory, kept["files"], remedy)
    return kept
