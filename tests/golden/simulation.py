"""What a simulated study consists of, and the draws that the five of them share.

Nothing here or in the studies knows lib: rows and predictions are plain dictionaries in the form
of the files, drawn by Python's own generator. Numbers that are compared lie on a grid of
sixteenths, whose sums and differences are exact: so ties are ties on every machine.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

Row = dict[str, Any]


@dataclass
class Outputs:
    """What stages 2 and 3 write of a point."""

    status: str = "done"  # of the training; "diverged" leaves no predictions
    log: list[Row] = field(default_factory=list)
    predictions: dict[str, list[Row]] = field(default_factory=dict)  # task → rows; none: "trained"
    judgments: dict[str, list[Row]] = field(default_factory=dict)  # task → rows
    whole: bool = True  # whether no judgment is missing
    records: dict[str, Row] = field(default_factory=dict)  # name → content: usage, importance


@dataclass
class Simulation:
    """A study on rows of its own; `config` names the file of configs/ that it changes."""

    config: str
    changes: Mapping[str, Any]  # dotted keys of the file → values
    rows: Mapping[str, list[Row]]  # task → its test rows, the first task first
    # (axis values, name) of a point → its outputs, None of a point that nobody trained.
    outputs_of: Callable[[Mapping[str, Any], str], Outputs | None]
    runs: Mapping[str, list[str]] = field(default_factory=dict)  # name → --run-ids


def dyadic(value: float, parts: int = 16) -> float:
    """The nearest multiple of 1/parts."""
    return round(value * parts) / parts


def normal(draw: Random, scale: float = 1.0) -> float:
    """A normal number, of which six digits count: libraries differ in the last ones."""
    return round(draw.gauss(0, scale), 6)


def sigmoid(z: float) -> float:
    """The logistic function."""
    return 1 / (1 + math.exp(-z))


def log(steps: int, draw: Random, end: float = 0.5, diverges: bool = False) -> list[Row]:
    """A training log that falls towards `end`, or loses its loss halfway."""
    rows: list[Row] = [
        {"step": n, "epoch": n / steps, "loss": dyadic(end + math.exp(-n / 4) + draw.random() / 8),
         "grad_norm": 1.0}
        for n in range(1, steps + 1)
    ]  # fmt: skip
    if not diverges:
        return rows
    lost = {"step": steps // 2 + 1, "epoch": 0.5, "loss": None, "grad_norm": None}
    return [*rows[: steps // 2], lost]
