"""What a point on pairs needs before its first step: its rows with their reference, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.prepared import encoded_split, read_manifest
from lib.schema import Train
from lib.study import Point, Study
from lib.training.pairs import pair_lengths
from lib.training.reference import Waiting, reference, reference_key, reference_logps
from lib.training.scoring import Stopped
from lib.training.steps import grouped_by_length


@dataclass(frozen=True)
class PairSplits:
    """The encoded pairs of a study, of which a point trains on one split."""

    study: Path  # results/<study>/
    splits: Mapping[str, Any]  # split → dataset of encoded pairs; a reference is kept of each
    checksums: Mapping[str, str]  # of the encoded pairs and the base model, see `pair_splits`
    train: str = "train"
    validation: str = "validation"

    @property
    def held_out(self) -> Any:
        """The validation pairs, None where there are none."""
        rows = self.splits.get(self.validation)
        return rows if rows is not None and len(rows) else None


def pair_splits(study: Study) -> PairSplits:
    """The pairs of a study as stage 1 left them: training, validation and test.

    `checksums`: of the tokens of each split; `model`: of the base model, of which there is one (see
    lib.checks).
    """
    manifest = read_manifest(study)
    (base,) = manifest["models"].values()
    return PairSplits(
        study.directory,
        {name: encoded_split(study, name) for name in manifest["splits"]},
        {name: manifest["tokens"][f"encoded/{name}"] for name in manifest["splits"]}
        | {"model": base["digest"]},
    )


def pair_references(
    point: Point,
    model: Any,
    tokenizer: Any,
    pairs: PairSplits,
    ranks: tuple[int, int],
    device: torch.device,
    stop: Callable[[], bool],
) -> dict[str, np.ndarray]:
    """The reference of every split: stored, or computed with `model`, which is still the base.

    `ranks`: (rank, world); the first rank computes, on `device`, and the others wait for its files.
    Raises Stopped on all ranks when one was asked to stop.
    """
    train = point.config.train
    rank, world = ranks

    def compute(rows: Any) -> np.ndarray:
        return reference_logps(
            model,
            rows,
            tokenizer.pad_token_id,
            2 * train.micro_batch,  # without gradients there is room for more
            precision=train.precision,
            label="reference",
            stop=stop,
        )

    key = reference_key(point.config.model, train, pairs.checksums)
    waiting = Waiting(who=point.name, stop=stop)
    found = None
    try:
        with _on(model, device) if rank == 0 else nullcontext():
            found = reference(
                pairs.study, key, compute if rank == 0 else None, pairs.splits, waiting
            )
    except Stopped:
        if world == 1:
            raise
    if world > 1:
        stopped = torch.tensor(float(found is None), device=device)
        torch.distributed.all_reduce(stopped)
        if stopped.item():
            raise Stopped
    return found


@contextmanager
def _on(model: Any, device: torch.device) -> Iterator[None]:
    """The model on a device within the block, and back behind it: sharding wants it where it was.

    4-bit weights are where they belong and cannot always be moved.
    """
    home = model.device
    if home != device:
        model.to(device)
    try:
        yield
    finally:
        if home != device:
            model.to(home)


def training_rows(rows: Any, reference: np.ndarray, order: np.ndarray, train: Train) -> Any:
    """The pairs of a run in the order of training, each with its `reference`.

    `order`: row numbers, step by step (see `row_order`).
    """
    order = grouped_by_length(order, pair_lengths(rows), train.batch_size)
    return rows.add_column("reference", reference.tolist()).select(order)
