"""What a point on pairs needs beside its settings: its rows in order, and their reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from lib.config.schema import Train
from lib.config.steps import grouped_by_length
from lib.config.study import Point, Study
from lib.data.prepared import encoded_split, read_manifest
from lib.models.trainable import nf4_fault
from lib.training.collectives import Stopped, any_rank
from lib.training.pairs import PairsTrainer, pair_lengths
from lib.training.reference import Waiting, reference, reference_logps
from lib.training.reference_key import pair_checksums, reference_key
from lib.training.scoring import in_training, pair_logps


@dataclass(frozen=True)
class PairSplits:
    """The encoded pairs of a study, of which a point trains on one split."""

    study: Path  # results/<study>/
    splits: Mapping[str, Any]  # split → dataset of encoded pairs; a reference is kept of each
    checksums: Mapping[str, str]  # see `pair_checksums`
    train: str = "train"
    validation: str = "validation"

    @property
    def held_out(self) -> Any:
        """The validation pairs, None where there are none."""
        rows = self.splits.get(self.validation)
        return rows if rows is not None and len(rows) else None


def pair_splits(study: Study) -> PairSplits:
    """The pairs of a study as stage 1 left them: training, validation and test."""
    splits = {name: encoded_split(study, name) for name in read_manifest(study)["splits"]}
    return PairSplits(study.directory, splits, pair_checksums(study))


class PairReference(TrainerCallback):
    """Gives a trainer on pairs its reference as training begins: stored, or scored by its model.

    By then the model is wrapped, sharded and on its device, and a checkpoint's weights are loaded.
    Raises Stopped on all ranks when one was asked to stop, and behind the reference with `alone`.
    """

    def __init__(
        self,
        point: Point,
        pairs: PairSplits,
        stop: Callable[[], bool],
        resumed: bool,
        alone: bool = False,
    ) -> None:
        """`resumed`: from a checkpoint; `alone`: nothing is trained."""
        self.point, self.pairs, self.stop, self.alone = point, pairs, stop, alone
        self.is_base = not resumed or point.config.train.tuning != "full"
        self.trainer: PairsTrainer | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the trainer's references."""
        train, pairs, device = self.point.config.train, self.pairs, args.device

        def compute(rows: Any) -> np.ndarray:
            return logps_in_training(
                self.trainer, rows, train, reference_logps,
                label="reference" if state.is_world_process_zero else None,
                stop=lambda: any_rank(self.stop(), device),
            )  # fmt: skip

        key = reference_key(
            self.point.config.model, train, pairs.checksums, four_bits=nf4_fault() is None
        )
        waiting = Waiting(self.point.name, self.stop, device)
        self.trainer.set_references(
            reference(pairs.study, key, compute if self.is_base else None, pairs.splits, waiting),
            pairs.train,
        )
        if self.alone:
            raise Stopped


def logps_in_training(
    trainer: PairsTrainer,
    rows: Any,
    train: Train,
    score: Callable[..., np.ndarray] = pair_logps,
    **more: Any,
) -> np.ndarray:
    """What `score` finds of encoded pairs with a model in its training, (n, 2), on all ranks."""
    share = score(rows=rows, score=trainer.score, **in_training(trainer, train), **more)
    accelerator = trainer.accelerator
    shares = torch.from_numpy(share).to(accelerator.device)
    return accelerator.reduce(shares, "sum").cpu().numpy()


def training_rows(rows: Any, order: np.ndarray, train: Train) -> Any:
    """The pairs of a run in the order of training, each with its number as `row`.

    `order`: row numbers, step by step (see `row_order`).
    """
    order = grouped_by_length(order, pair_lengths(rows), train.batch_size)
    return rows.add_column("row", np.arange(len(rows))).select(order)
