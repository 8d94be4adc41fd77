"""What a point that classifies needs beside its rows: classes, held-out rows, and its order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from lib.config import tasks
from lib.config.schema import Train
from lib.config.steps import grouped_steps
from lib.config.study import Point, Study
from lib.data.prepared import encoded_split, read_manifest, read_split
from lib.data.testsets import own_rows
from lib.training.classify import ClassifyTrainer, class_logps
from lib.training.scoring import in_training, lengths_of

SPLIT = "validation"


@dataclass(frozen=True)
class Classes:
    """The labels of a point, by number, and the encoded rows that it is validated on, if any."""

    labels: list[str]
    held_out: list[dict[str, Any]] | None = None


def classes_of(study: Study, point: Point) -> Classes:
    """The classes of a point's task as stage 1 left its data."""
    task, config = study.config.tasks[0], point.config
    labels = tasks.get(task).labels(config.data)
    if SPLIT not in read_manifest(study)["splits"]:
        return Classes(labels)
    return Classes(labels, own_encoded(study, point, SPLIT) or None)


def own_encoded(study: Study, point: Point, split: str) -> list[dict[str, Any]]:
    """The encoded rows of `test` or `validation` that concern a point, in order."""
    rows = read_split(study, split)
    own = {row["id"] for row in own_rows(study.config.tasks[0], rows, point.config)}
    return [row for row in encoded_split(study, split).to_list() if row["id"] in own]


def ordered_rows(rows: Any, order: np.ndarray, train: Train) -> Any:
    """The rows of a run in the order of training, with rows of like length in a step.

    `order`: row numbers (see `row_order`). Depends on lengths and seed alone.
    """
    return rows.select(
        grouped_steps(order, lengths_of(rows), len(rows), train.batch_size, train.seed)
    )


def class_measure(classes: Classes, train: Train) -> Any:
    """What `Validation` asks of a trainer: accuracy and mean loss on the held-out rows, or None."""
    return None if classes.held_out is None else partial(_measure, classes.held_out, train)


def _measure(rows: list[dict[str, Any]], train: Train, trainer: ClassifyTrainer) -> dict:
    share = class_logps(rows=rows, **in_training(trainer, train))
    # Reduced as fp32: not every accelerator has fp64.
    found = torch.from_numpy(share).float().to(trainer.accelerator.device)
    logps = trainer.accelerator.reduce(found, "sum").cpu()
    labels = torch.tensor([row["label"] for row in rows])
    return {
        "validation_accuracy": (logps.argmax(dim=1) == labels).float().mean().item(),
        "validation_loss": -logps[torch.arange(len(labels)), labels].mean().item(),
    }
