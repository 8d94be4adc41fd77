"""Log-probabilities of many pairs without a gradient: for the reference, validation and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lib.config.schema import Train
from lib.runs.progress import Progress
from lib.training.collectives import Stopped
from lib.training.pairs import collate, pair_lengths, pair_scores
from lib.training.responses import Responses


def lengths_of(rows: Any) -> np.ndarray:
    """Tokens of each row, (n,); rows: a dataset of encoded rows."""
    return np.array([len(ids) for ids in rows["input_ids"]])


def length_batches(lengths: Sequence[int], size: int) -> list[np.ndarray]:
    """Row numbers in batches of `size`, longest rows first: little padding, and memory that does
    not suffice is known at once.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def in_training(trainer: Any, train: Train) -> dict[str, Any]:
    """What those that score rows ask for beside them, to score with a model in its training."""
    accelerator = trainer.accelerator
    return {
        "model": trainer.model,
        "pad": trainer.processing_class.pad_token_id,
        "batch": 2 * train.micro_batch,  # without gradients there is room for more
        "precision": train.precision,
        "ranks": (accelerator.process_index, accelerator.num_processes),
    }


@torch.no_grad()
def pair_logps(
    model: Any,
    rows: Any,
    pad: int,
    batch: int,
    *,
    precision: str = "fp32",
    score: Responses | None = None,
    ranks: tuple[int, int] = (0, 1),
    label: str | None = None,
    stop: Callable[[], bool] = bool,
) -> np.ndarray:
    """Summed log-probabilities of encoded pairs, (n, 2) float64, chosen and rejected, in row order.

    In eval mode, on the model's device; draws no random number. `batch`: pairs in a forward;
    `precision`: as in `train`; `score`: made for a model that is wrapped now. `ranks`: (rank,
    world): of several ranks each scores its share, with as many forwards as the others, and leaves
    0 elsewhere. `label`: of the progress, None for none. Raises Stopped once `stop()` says so.
    """
    found = np.zeros((len(rows), 2))
    score = score or Responses(model)
    batches = length_batches(pair_lengths(rows), batch)
    rank, world = ranks
    shown = Progress(len(rows), label, "pair") if label else None
    device = next(model.parameters()).device
    try:
        with evaluating(model), autocast(device, precision):
            for first in range(0, len(batches), world):
                if stop():
                    raise Stopped
                # A sharded model runs on all ranks or on none: one without a share repeats a batch.
                places = batches[min(first + rank, len(batches) - 1)]
                some = collate([rows[int(i)] for i in places], pad)
                some = {key: value.to(device) for key, value in some.items()}
                logps = pair_scores(score, model, some)
                if first + rank < len(batches):
                    found[places] = logps.double().cpu().numpy()
                if shown:
                    shown.update(min(len(rows), (first + world) * batch))
    finally:
        if shown:
            shown.close()
    return found


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Eval mode within the block.

    4-bit layers are left in training mode, which means nothing to them but this: in eval mode on a
    CPU they pack their weights anew, rounded, and the run would go on from other weights.
    """
    before = model.training
    model.eval()
    for module in model.modules():
        if type(module).__module__.startswith("bitsandbytes"):
            module.training = True
    try:
        yield
    finally:
        model.train(before)


def autocast(device: torch.device, precision: str) -> Any:
    """The precision that training computes in."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def cast_weights(model: Any) -> None:
    """Cast fp32 weights to bf16, as FSDP2 does for a forward pass (see `in_bf16`); no buffers."""
    for weight in model.parameters():
        if weight.dtype == torch.float32:
            weight.data = weight.data.to(torch.bfloat16)
