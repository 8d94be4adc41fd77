"""Log-probabilities of the reference model: computed once a study, by the first task to need them.

results/<study>/reference/<digest>/key.json     what they depend on, and the checksums of all files
results/<study>/reference/<digest>/<split>.npy  (n, 2) float64: chosen, rejected; in row order

A point needs the model in memory anyway, so the first one computes them with its own, before its
first step and without its adapters, and no stage loads a model for them alone. All tasks of an
array can be submitted at once: a lock lets one compute and the others wait for the files.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lib.errors import BadInput
from lib.grid import digest
from lib.integrity import record, verify
from lib.models import nf4_fault
from lib.progress import clock
from lib.runs import Busy, locked, read_sealed, replacing, write_sealed
from lib.schema import Model, Train
from lib.training.scoring import Stopped, pair_logps

SCORING = 2  # of how pairs are padded and scored; another one rounds in another way


def reference_logps(model: Any, rows: Any, pad: int, batch: int, **more: Any) -> np.ndarray:
    """`pair_logps` of the model without its adapters; a model tuned whole must still be the base.

    No second model is made: adapters are switched off for the while.
    """
    base = model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()
    with base:
        return pair_logps(model, rows, pad, batch, **more)


def reference_key(model: Model, train: Train, checksums: Mapping[str, str]) -> dict[str, Any]:
    """What the reference's log-probabilities depend on; neither β, τ, objective nor seed.

    checksums: of the base model under `model`, and of the tokens of each split, by its name; the
    chat template and the length limit are part of these.
    """
    weights = {"qlora": "nf4", "lora": train.precision, "full": "fp32"}[train.tuning]
    if train.tuning == "qlora" and nf4_fault():
        weights = train.precision
    return {
        "model": model.name,
        "revision": model.revision,
        "weights": weights,
        "precision": train.precision,
        "scoring": SCORING,
        "content": dict(sorted(checksums.items())),
    }


@dataclass(frozen=True)
class Waiting:
    """How a task waits for another's reference."""

    who: str = field(default_factory=lambda: f"process {os.getpid()}")
    stop: Callable[[], bool] = bool
    poll: float = 1.0  # seconds
    say_every: float = 30.0  # seconds


def reference(
    study: Path,
    key: Mapping[str, Any],
    compute: Callable[[Any], np.ndarray] | None,
    splits: Mapping[str, Any],
    waiting: Waiting | None = None,
) -> dict[str, np.ndarray]:
    """The reference's log-probabilities of every split, read, or computed by the first to ask.

    `study`: results/<study>/; `compute`: rows → (n, 2), None for a task that only waits, as all
    ranks of a point but the first do. Raises Stopped when a stop is asked for while waiting, and
    BadInput where what is stored belongs to another key.
    """
    waiting = waiting or Waiting()
    directory = study / "reference" / digest(key)
    start = said = time.monotonic()
    while not (directory / "key.json").exists():
        if compute is not None:
            try:
                with locked(study / "reference", waiting.who):
                    if not (directory / "key.json").exists():
                        _compute(directory, key, compute, splits)
                    break
            except Busy as busy:
                held = str(busy)
        if waiting.stop():
            raise Stopped
        if compute is not None and time.monotonic() - said >= waiting.say_every:
            said = time.monotonic()
            print(f"reference: waiting for {held}, {clock(said - start)} gone", file=sys.stderr)
        time.sleep(waiting.poll)
    return stored_reference(study, key, splits)


def _compute(
    directory: Path, key: Mapping[str, Any], compute: Callable, splits: Mapping[str, Any]
) -> None:
    found = {name: compute(rows) for name, rows in splits.items()}
    for name, logps in found.items():
        if bad := np.flatnonzero(~np.isfinite(logps).all(axis=1)).tolist():
            raise BadInput(
                f"model.name: the reference's log-probability of {name} row {bad[0]} is not finite"
                f" ({len(bad)} such rows)"
            )
    with replacing(directory) as temporary:
        temporary.mkdir()
        for name, logps in found.items():
            np.save(temporary / f"{name}.npy", logps)
        files = record(temporary, [f"{name}.npy" for name in found])
        write_sealed(temporary / "key.json", {**key, "files": files})


def stored_reference(
    study: Path, key: Mapping[str, Any], splits: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The stored log-probabilities of the splits. Raises BadInput where they do not fit."""
    directory = study / "reference" / digest(key)
    if not (directory / "key.json").exists():
        raise BadInput(f"{directory}: no reference yet; train a point of the study first")
    again = f"remove {directory} to compute it again"
    stored = read_sealed(directory / "key.json", again, ("files",))
    files = stored.pop("files")
    for name in [*key, *stored]:
        if stored.get(name) != key.get(name):
            raise BadInput(
                f"{directory}: reference of another {name}: found {stored.get(name)!r}, expected "
                f"{key.get(name)!r}; {again}"
            )
    verify(directory, files, again, [f"{name}.npy" for name in splits])
    return {
        name: _read(directory / f"{name}.npy", len(rows), again) for name, rows in splits.items()
    }


def _read(path: Path, rows: int, again: str) -> np.ndarray:
    try:
        logps = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path}: cannot be read: {error}; {again}") from None
    if logps.shape != (rows, 2):
        raise BadInput(f"{path}: found {logps.shape}, expected ({rows}, 2); {again}")
    return logps
