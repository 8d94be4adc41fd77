"""Log-probabilities without a gradient: of references, validation rows and predictions.

Every function here scores in eval mode, on the model's device, and draws no random number. `pad`
is the tokenizer's padding token, `batch` the rows of one forward pass, `precision` as in `train`.
`ranks`: (rank, world); each of several ranks scores its share of the rows, and the caller sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.config.schema import Train
from lib.runs.progress import Progress
from lib.training.batches import (
    Row,
    collate_answers,
    collate_classes,
    collate_pairs,
    length_batches,
    lengths_of,
    pair_lengths,
)
from lib.training.ranks import Stopped
from lib.training.responses import Responses


def scoring_arguments(trainer: Any, train: Train) -> dict[str, Any]:
    """Arguments that the functions below share, for a model in the middle of its training."""
    accelerator = trainer.accelerator
    return {
        "model": trainer.model,
        "pad": trainer.processing_class.pad_token_id,
        "batch": 2 * train.micro_batch,  # without gradients more rows fit
        "precision": train.precision,
        "ranks": (accelerator.process_index, accelerator.num_processes),
    }


@torch.no_grad()
def answer_nll(
    model: Any,
    rows: Any,
    pad: int,
    batch: int,
    *,
    precision: str = "fp32",
    score: Responses | None = None,
    ranks: tuple[int, int] = (0, 1),
) -> Tensor:
    """(2,): summed loss of the answers' tokens of encoded rows, nats, and the number of tokens.

    score: of a model that has been wrapped for ranks since.
    """
    score = score or Responses(model)
    collate = partial(collate_answers, pad=pad, weighted_class=None)
    device = next(model.parameters()).device
    total = torch.zeros(2, device=device)
    with evaluating(model), autocast(device, precision):
        for _, inputs, mine in _rank_batches(rows, lengths_of(rows), collate, batch, ranks):
            inputs = {key: value.to(device) for key, value in inputs.items()}
            nll = -score(model, inputs).sum()
            if mine:
                total += torch.stack([nll, nll.new_tensor(len(inputs["labels"]))])
    return total


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

    Rows of other ranks are 0. score: of a model that has been wrapped for ranks since; label: of
    the progress, None for none. Raises Stopped once `stop()` is true.
    """
    logps = np.zeros((len(rows), 2))
    score = score or Responses(model)
    collate = partial(collate_pairs, pad=pad)
    progress = Progress(len(rows), label, "pair") if label else None
    device, done = next(model.parameters()).device, 0
    try:
        with evaluating(model), autocast(device, precision):
            for places, inputs, mine in _rank_batches(
                rows, pair_lengths(rows), collate, batch, ranks
            ):
                if stop():
                    raise Stopped
                inputs = {key: value.to(device) for key, value in inputs.items()}
                scores = pair_scores(score, model, inputs)
                if mine:
                    logps[places] = scores.double().cpu().numpy()
                done = min(len(rows), done + batch * ranks[1])
                if progress:
                    progress.update(done)
    finally:
        if progress:
            progress.close()
    return logps


def pair_scores(score: Responses, model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Summed log-probability of every response, (B, 2), fp32, columns chosen and rejected."""
    return score(model, batch).sum(dim=1).view(2, -1).T


@torch.no_grad()
def class_logps(
    model: Any,
    rows: Sequence[Row],
    pad: int,
    batch: int,
    *,
    precision: str,
    ranks: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Log-probabilities of the C classes of encoded rows, (n, C) float64, in row order.

    Rows of other ranks are 0.
    """
    logps = np.zeros((len(rows), model.config.num_labels))
    lengths = [len(row["input_ids"]) for row in rows]
    device = next(model.parameters()).device
    with evaluating(model), autocast(device, precision):
        for places, inputs, mine in _rank_batches(
            rows, lengths, partial(collate_classes, pad=pad), batch, ranks
        ):
            del inputs["labels"]
            logits = model(**{key: value.to(device) for key, value in inputs.items()}).logits
            if mine:
                scores = logits.float().log_softmax(dim=1)
                logps[places] = scores.double().cpu().numpy()
    return logps


def _rank_batches(
    rows: Any,
    lengths: Sequence[int],
    collate: Callable[[list[Row]], dict[str, Tensor]],
    size: int,
    ranks: tuple[int, int],
) -> Iterator[tuple[np.ndarray, dict[str, Tensor], bool]]:
    """Row numbers and batch of every forward pass of a rank, and whether its result counts.

    All ranks get as many batches, since a sharded model runs on all ranks or on none: one without
    a share repeats a batch, whose result does not count.
    """
    batches = length_batches(lengths, size)
    rank, world = ranks
    for first in range(0, len(batches), world):
        places = batches[min(first + rank, len(batches) - 1)]
        yield places, collate([rows[int(i)] for i in places]), first + rank < len(batches)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Eval mode within the block.

    4-bit layers stay in training mode: in eval mode on a CPU they would repack their weights,
    rounded, and the run would continue from different ones.
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
