"""train.jsonl: its columns, and what they say about a point."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.tasks import PointResult
from lib.losses import OBJECTIVES

# The columns of train.jsonl, by the names that trackers, figures and the README use too.
ALWAYS: dict[str, str] = {
    "step": "optimizer steps so far",
    "epoch": "passes over the training rows so far",
    "loss": "mean loss since the last row; null where it is not finite",
    "grad_norm": "norm of the gradient before clipping",
    "learning_rate": "of the step",
    "seconds": "since the first step, pauses between attempts left out",
}
SOMETIMES: dict[str, str] = {
    "margin_loss": "of preferences: the part of the loss that is a function of the margin",
    **{name: text for one in OBJECTIVES.values() for name, text in one.terms.items()},
    "penalty": "of importance-weighted adapters, a part of the loss",
    "orthogonality": "AdaLoRA's term, a part of the loss",
    "train_accuracy": "on the rows since the last row",
    "validation_accuracy": "on the validation rows, at the steps that validate",
    "validation_loss": "on the validation rows, at the steps that validate",
}


TAIL = 4096  # bytes: the last rows of a log


def last_rows(path: Path) -> list[dict[str, Any]]:
    """The last whole rows of a train.jsonl, without reading all of it.

    Raises BadInput for a row without step and loss. A last row that a kill truncated is left out.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        lines = file.read().split(b"\n")
    whole = lines[:-1] if size <= TAIL else lines[1:-1]
    rows = []
    for line in whole:
        try:
            row = json.loads(line)
            if not (isinstance(row["step"], int) and isinstance(row["loss"], float | int | None)):
                raise ValueError("expected numbers as step and loss")
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(f"{path}: not a row of a log ({error}): {line[:80]!r}") from None
        rows.append(row)
    return rows


def curve(point: PointResult, key: str = "loss") -> tuple[list[float], list[float]]:
    """Steps and finite values of one column of train.jsonl."""
    rows = [row for row in point.train_log or () if "step" in row and row.get(key) is not None]
    finite = [row for row in rows if math.isfinite(row[key])]
    return [row["step"] for row in finite], [row[key] for row in finite]


def diverged_at(point: PointResult) -> float | None:
    """The step of a diverged run's first non-finite loss, or else its last step."""
    rows = [row for row in point.train_log or () if "step" in row and "loss" in row]
    lost = [r["step"] for r in rows if r["loss"] is None or not math.isfinite(r["loss"])]
    if lost:
        return lost[0]
    if point.status != "diverged":
        return None
    return rows[-1]["step"] if rows else 0


def validation_accuracy(point: PointResult) -> float | None:
    """Validation accuracy of the weights in model/, from train.jsonl."""
    column = [row.get("validation_accuracy") for row in point.train_log or ()]
    known = [value for value in column if value is not None]
    if not known or point.status == "diverged":
        return None
    return max(known) if getattr(point.config.train, "keep", "last") == "best" else known[-1]
