"""What the stages write for a point, at most, so that a full disk is noticed before they start."""

from __future__ import annotations

from lib.config import tasks
from lib.config.schema import Config
from lib.config.study import Point
from lib.data.testsets import section_of
from lib.models.sizes import Footprint, footprint
from lib.runs.disk import Need, held

MODEL_FILES, CHECKPOINT_FILES, RUN_FILES = 12, 16, 20
ROW, TOKEN = 500, 6  # bytes of a prediction, and of each token of an answer, at most


def run_needs(config: Config, size: Footprint) -> list[Need]:
    """What training a point writes at its fullest, but its log; nothing of an unknown size."""
    if size.model is None or size.checkpoint is None:
        return []
    train = config.train
    needs = [Need("model/", size.model, MODEL_FILES + RUN_FILES)]
    if size.checkpoint:
        # A new one is complete before the oldest goes.
        count = train.checkpoints_kept + 1
        files = count * (CHECKPOINT_FILES + train.processes * (3 if train.fsdp else 1))
        needs.append(Need(f"{count} checkpoints", count * size.checkpoint, files))
        if train.keep == "best":
            needs.append(Need("best weights", size.model, MODEL_FILES))
        if kept := train.checkpoint_candidates:
            needs.append(Need(f"{kept} candidates", kept * size.model, kept * MODEL_FILES))
    return needs


def training_needs(point: Point) -> list[Need]:
    """`run_needs` of a point, less what an earlier attempt has written."""
    needs = run_needs(point.config, footprint(point.config))
    there = [held(point.directory / name) for name in ("model", "checkpoints", "candidates")]
    written = Need("", -sum(one.bytes for one in there), -sum(one.files for one in there))
    return [*needs, written] if needs else []


def prediction_needs(config: Config, task: str, rows: int) -> list[Need]:
    """What predicting so many rows of a task writes: each answer as long as it may be, twice.

    Finished batches lie in a file of their own until the last one is there.
    """
    return [Need("predictions", 2 * prediction_bytes(config, task, rows), 5)]


def prediction_bytes(config: Config, task: str, rows: int) -> int:
    """Of a file of predictions, at most."""
    of = tasks.get(task)
    own = getattr(section_of(config, task), "max_new_tokens", None)
    answers = 1 + config.infer.samples if of.sampled else 2 if of.follow_up else 1
    return rows * (ROW + TOKEN * answers * (own or config.infer.max_new_tokens))
