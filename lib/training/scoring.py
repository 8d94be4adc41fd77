"""Log-probabilities without a gradient: of references, validation rows and predictions.

Every function here scores in eval mode, on the model's device, and draws no random number. `pad`
is the tokenizer's padding token, `train` gives precision and token budget. `ranks`: (rank, world);
each of several ranks scores its share of the rows, and the caller sums.
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
from lib.training.batches import Batch, Row, collate_answers, collate_classes, collate_pairs
from lib.training.passes import length_passes, row_sizes, token_budget
from lib.training.ranks import Stopped
from lib.training.responses import Responses, answer_sums

MORE = 2  # without gradients a pass of more tokens fits


def scoring_arguments(trainer: Any, train: Train) -> dict[str, Any]:
    """Arguments that the functions below share, for a model in the middle of its training."""
    accelerator = trainer.accelerator
    return {
        "model": trainer.model,
        "pad": trainer.processing_class.pad_token_id,
        "train": train,
        "ranks": (accelerator.process_index, accelerator.num_processes),
    }


@torch.no_grad()
def answer_nll(
    model: Any,
    rows: Any,
    pad: int,
    train: Train,
    *,
    score: Responses | None = None,
    ranks: tuple[int, int] = (0, 1),
) -> Tensor:
    """(2,): summed loss of the answers' tokens of encoded rows, nats, and the number of tokens.

    score: of a model that has been wrapped for ranks since.
    """
    score = score or Responses(model)
    collate = partial(collate_answers, pad=pad, weighted_class=None, packed=score.packed)
    device = next(model.parameters()).device
    total = torch.zeros(2, device=device)
    with evaluating(model), autocast(device, train.precision):
        for _, inputs, mine in _rank_batches(
            rows, "answers", train, score.packed, collate, device, ranks
        ):
            nll = -score(model, inputs).sum()
            if mine:
                total += torch.stack([nll, nll.new_tensor(len(inputs["labels"]))])
    return total


@torch.no_grad()
def pair_logps(
    model: Any,
    rows: Any,
    pad: int,
    train: Train,
    *,
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
    collate = partial(collate_pairs, pad=pad, packed=score.packed)
    progress = Progress(len(rows), label, "pair") if label else None
    device, done = next(model.parameters()).device, 0
    try:
        with evaluating(model), autocast(device, train.precision):
            for places, inputs, mine in _rank_batches(
                rows, "pairs", train, score.packed, collate, device, ranks
            ):
                if stop():
                    raise Stopped
                scores = pair_scores(score, model, inputs)
                if mine:
                    logps[places] = scores.double().cpu().numpy()
                done = min(len(rows), done + len(places) * ranks[1])
                if progress:
                    progress.update(done)
    finally:
        if progress:
            progress.close()
    return logps


def pair_scores(score: Responses, model: Any, batch: Batch) -> Tensor:
    """Summed log-probability of every response, (B, 2), fp32, columns chosen and rejected."""
    return answer_sums(score(model, batch), batch).view(-1, 2)


@torch.no_grad()
def class_logps(
    model: Any,
    rows: Sequence[Row],
    pad: int,
    train: Train,
    *,
    precision: str | None = None,
    ranks: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Log-probabilities of the C classes of encoded rows, (n, C) float64, in row order.

    Rows of other ranks are 0. precision: another one than `train.precision`.
    """
    logps = np.zeros((len(rows), model.config.num_labels))
    device, collate = next(model.parameters()).device, partial(collate_classes, pad=pad)
    with evaluating(model), autocast(device, precision or train.precision):
        for places, inputs, mine in _rank_batches(
            rows, "classes", train, False, collate, device, ranks
        ):
            del inputs["labels"]
            logits = model(**inputs).logits
            if mine:
                scores = logits.float().log_softmax(dim=1)
                logps[places] = scores.double().cpu().numpy()
    return logps


def _rank_batches(
    rows: Any,
    kind: str,
    train: Train,
    packed: bool,
    collate: Callable[[list[Row]], Batch],
    device: torch.device,
    ranks: tuple[int, int],
) -> Iterator[tuple[np.ndarray, Batch, bool]]:
    """Row numbers and batch of every forward pass of a rank, and whether its result counts.

    All ranks get as many batches, since a sharded model runs on all ranks or on none: one without
    a share repeats a batch, whose result does not count.
    """
    sizes, budget = row_sizes(rows, kind, packed), MORE * token_budget(rows, kind, train)
    passes = length_passes(sizes, budget, packed)
    rank, world = ranks
    for first in range(0, len(passes), world):
        places = passes[min(first + rank, len(passes) - 1)]
        batch = collate([rows[int(i)] for i in places])
        yield places, on_device(batch, device), first + rank < len(passes)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on a device."""
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}


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
