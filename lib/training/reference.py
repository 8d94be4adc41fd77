"""Log-probabilities of the reference model: computed once a study, by the first task to need them.

A point computes them with the model that it trains, without adapters, before its first step, and in
the precision and on the ranks of its training, so that policy and reference are one computation.
Tasks of an array may start together: a lock lets one compute while the others wait for its files
(see `lib.training.reference_key`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lib.config.errors import BadInput
from lib.config.study import Point
from lib.models.trainable import nf4_fault
from lib.runs.directory import Busy, locked
from lib.runs.files import read_sealed, replacing, write_sealed
from lib.runs.integrity import record, verify
from lib.runs.progress import clock
from lib.training.inputs import PairSplits
from lib.training.ranks import Stopped, any_rank, from_first
from lib.training.reference_key import is_stored, reference_directory, reference_key
from lib.training.trainers import PairTrainer

POLL = 1.0  # seconds between two looks for what another task computes
SAY_EVERY = 30.0  # seconds


def set_reference(
    trainer: PairTrainer,
    point: Point,
    pairs: PairSplits,
    stop: Callable[[], bool],
    resumed: bool,
    only: bool = False,
) -> None:
    """Give a trainer its reference as training begins: the stored one, or its model's scores.

    By then the model is wrapped, sharded and on its device, with a checkpoint's weights loaded.
    resumed: from a checkpoint. Raises Stopped on all ranks when a stop is requested, and after the
    reference if `only`.
    """
    train, device = point.config.train, trainer.args.device

    def stopped() -> bool:
        return any_rank(stop(), device)

    def compute(rows: Any) -> np.ndarray:
        label = "reference" if trainer.is_world_process_zero() else None
        with without_adapters(trainer.model):
            return trainer.row_logps(rows, label=label, stop=stopped)

    key = reference_key(point.config.model, train, pairs.checksums, nf4_fault() is None)
    is_base = not resumed or train.tuning != "full"
    compute_or_not = compute if is_base else None
    trainer.set_references(
        reference(pairs.study, key, compute_or_not, pairs.splits, point.name, stopped)
    )
    if only:
        raise Stopped


@contextmanager
def without_adapters(model: Any) -> Iterator[None]:
    """Adapters are disabled within the block, and stay trainable.

    PEFT freezes adapters that it disables, but FSDP2 records at its first forward pass which
    parameters will have gradients.
    """
    if not hasattr(model, "disable_adapter"):
        yield
        return
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    with model.disable_adapter():
        for weight in trained:
            weight.requires_grad_()
        yield


def reference(
    study: Path,
    key: Mapping[str, Any],
    compute: Callable[[Any], np.ndarray] | None,
    splits: Mapping[str, Any],
    who: str = "",
    stop: Callable[[], bool] = bool,
) -> dict[str, np.ndarray]:
    """The reference's log-probabilities of every split, (n, 2) each, stored or computed.

    To be called on all ranks, which compute together or wait together. study: results/<study>/;
    compute: rows → (n, 2), the same on all ranks; None where the model is no longer the base, so
    that only a stored reference will do; who: what other tasks are told that wait. Raises Stopped
    once `stop()`, the same on all ranks, is true while waiting, BadInput where the stored reference
    has another key.
    """
    start = said = time.monotonic()
    with ExitStack() as lock:
        while held := from_first(lambda: _held_elsewhere(study, key, lock, who)):
            if stop():
                raise Stopped
            if time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                line = f"reference: waiting for {held}, {clock(said - start)} elapsed"
                from_first(partial(print, line, file=sys.stderr))
            time.sleep(POLL)
        if not from_first(lambda: is_stored(study, key)):
            computed = compute and {name: compute(rows) for name, rows in splits.items()}
            from_first(lambda: _store(reference_directory(study, key), key, computed))
    return stored_reference(study, key, splits)


def _held_elsewhere(study: Path, key: Mapping[str, Any], lock: ExitStack, who: str) -> str:
    """Which task computes the reference; empty once it is stored, or once `lock` is held here."""
    if is_stored(study, key):
        return ""
    try:
        lock.enter_context(locked(study / "reference", who))
    except Busy as busy:
        return str(busy)
    return ""


def _store(
    directory: Path, key: Mapping[str, Any], computed: Mapping[str, np.ndarray] | None
) -> None:
    if computed is None:
        raise BadInput(
            f"{directory}: no reference, and this run resumes weights that are no longer the base "
            f"model's, expected the reference that it began with: restore it, or retrain the "
            f"point with --force"
        )
    for name, logps in computed.items():
        if bad := np.flatnonzero(~np.isfinite(logps).all(axis=1)).tolist():
            raise BadInput(
                f"model.name: the reference's log-probability of {name} row {bad[0]} is not finite"
                f" ({len(bad)} such rows)"
            )
    with replacing(directory) as temporary:
        temporary.mkdir()
        for name, logps in computed.items():
            np.save(temporary / f"{name}.npy", logps)
        files = record(temporary, [f"{name}.npy" for name in computed])
        write_sealed(temporary / "key.json", {**key, "files": files})


def stored_reference(
    study: Path, key: Mapping[str, Any], splits: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The stored log-probabilities of the splits. Raises BadInput where they do not match."""
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
    references = {name: np.load(directory / f"{name}.npy") for name in splits}
    for name, rows in splits.items():
        if (shape := references[name].shape) != (len(rows), 2):
            raise BadInput(
                f"{directory / name}.npy: found {shape}, expected ({len(rows)}, 2); {again}"
            )
    return references
