"""Log-probabilities of the reference model: computed once a study, by the first task to need them.

A point computes them with the model that it trains, without its adapters and before its first
step, in the precision and on the ranks of its training: so policy and reference are one
computation. All tasks of an array can be submitted at once: a lock lets one compute and the others
wait for the files (see `lib.training.reference_key`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.config.errors import BadInput
from lib.runs.directory import Busy, locked
from lib.runs.files import read_sealed, replacing, write_sealed
from lib.runs.integrity import record, verify
from lib.runs.progress import clock
from lib.training.collectives import Stopped, any_rank, from_first
from lib.training.reference_key import is_stored, reference_directory
from lib.training.scoring import pair_logps


def reference_logps(model: Any, rows: Any, pad: int, batch: int, **more: Any) -> np.ndarray:
    """`pair_logps` of the model without its adapters; a model tuned whole must still be the base.

    No second model is made: adapters are switched off for the while.
    """
    with without_adapters(model):
        return pair_logps(model, rows, pad, batch, **more)


@contextmanager
def without_adapters(model: Any) -> Iterator[None]:
    """The base model alone within the block.

    What is trained stays marked as that: PEFT freezes adapters that it switches off, and FSDP2
    asks, at its first forward pass and of shards, which parameters will have gradients.
    """
    if not hasattr(model, "disable_adapter"):
        yield
        return
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    with model.disable_adapter():
        for weight in trained:
            weight.requires_grad_()
        yield


@dataclass(frozen=True)
class Waiting:
    """How a task waits for another's reference."""

    who: str = field(default_factory=lambda: f"process {os.getpid()}")
    stop: Callable[[], bool] = bool
    device: torch.device = torch.device("cpu")  # of what the ranks tell each other
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

    To be called on all ranks, which compute together or wait together. `study`: results/<study>/;
    `compute`: rows → (n, 2), the same on all ranks; None where the model is no longer the base,
    and what another task stores is all that will do. Raises Stopped when a stop is asked for while
    waiting, and BadInput where what is stored belongs to another key.
    """
    waiting = waiting or Waiting()
    start = said = time.monotonic()
    with ExitStack() as lock:
        while held := from_first(lambda: _held_elsewhere(study, key, lock, waiting.who)):
            if any_rank(waiting.stop(), waiting.device):
                raise Stopped
            if time.monotonic() - said >= waiting.say_every:
                said = time.monotonic()
                line = f"reference: waiting for {held}, {clock(said - start)} elapsed"
                from_first(partial(print, line, file=sys.stderr))
            time.sleep(waiting.poll)
        if not from_first(lambda: is_stored(study, key)):
            found = None
            if compute is not None:
                found = {name: compute(rows) for name, rows in splits.items()}
            from_first(lambda: _store(reference_directory(study, key), key, found))
    return stored_reference(study, key, splits)


def _held_elsewhere(study: Path, key: Mapping[str, Any], lock: ExitStack, who: str) -> str:
    """Who is computing the reference; empty once it is stored, or `lock` holds the right to it."""
    if is_stored(study, key):
        return ""
    try:
        lock.enter_context(locked(study / "reference", who))
    except Busy as busy:
        return str(busy)
    return ""


def _store(directory: Path, key: Mapping[str, Any], found: Mapping[str, np.ndarray] | None) -> None:
    if found is None:
        raise BadInput(
            f"{directory}: no reference, and this run resumes weights that are no longer the base "
            f"model's, expected the reference that it began with: restore it, or train the point "
            f"anew with --force"
        )
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
    directory = reference_directory(study, key)
    if not is_stored(study, key):
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
