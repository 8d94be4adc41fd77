"""Log-probabilities without a gradient: of references, validation rows and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.config.schema import Train
from lib.runs.progress import progress
from lib.training.batches import Batch, collation
from lib.training.passes import length_passes, row_sizes, token_budget
from lib.training.ranks import Stopped
from lib.training.responses import Responses, answer_sums

MORE = 2  # without gradients a pass of more tokens fits


@torch.no_grad()
def row_logps(
    kind: str,
    model: Any,
    rows: Any,
    pad: int,
    train: Train,
    *,
    score: Responses | None = None,
    precision: str | None = None,
    ranks: tuple[int, int] = (0, 1),
    label: str | None = None,
    stop: Callable[[], bool] = bool,
) -> np.ndarray:
    """Log-probabilities of encoded rows of a kind, (n, C) float64, in row order.

    Of answers their sum over the tokens (C = 1), of pairs those of chosen and rejected, of classes
    one a class. In eval mode, on the model's device, without drawing a random number. pad: the
    tokenizer's padding token; train: gives precision and token budget; precision: another one;
    score: of a model that has been wrapped for ranks since; ranks: (rank, world), each scores its
    share, rows of others are 0, and the caller sums; label: of the progress, None for none. Raises
    Stopped once `stop()` is true.
    """
    if kind != "classes":
        score = score or Responses(model)
    packed = score is not None and score.packed
    sizes, budget = row_sizes(rows, kind, packed), MORE * token_budget(rows, kind, train)
    passes, collate = length_passes(sizes, budget, packed), collation(kind, pad, packed)
    device, (rank, world) = next(model.parameters()).device, ranks
    parts, done = [], 0
    unit = "pair" if kind == "pairs" else "row"
    shown = progress(len(rows), label, unit) if label else nullcontext()
    with shown as bar, evaluating(model), autocast(device, precision or train.precision):
        for first in range(0, len(passes), world):
            if stop():
                raise Stopped
            # A sharded model runs on all ranks or on none: without a share, one repeats a pass.
            places = passes[min(first + rank, len(passes) - 1)]
            batch = on_device(collate([rows[int(i)] for i in places]), device)
            logps = _batch_logps(kind, score, model, batch).double().cpu().numpy()
            if first + rank < len(passes):
                parts.append((places, logps))
            if bar:
                done = min(len(rows), done + len(places) * world)
                bar.update(done)
    whole = np.zeros((len(rows), logps.shape[1]))
    for places, logps in parts:
        whole[places] = logps
    return whole


def _batch_logps(kind: str, score: Responses | None, model: Any, batch: Batch) -> Tensor:
    if kind == "pairs":
        return pair_scores(score, model, batch)
    if kind == "answers":
        return answer_sums(score(model, batch), batch)[:, None]
    return class_logits(model, batch).float().log_softmax(dim=1)


def pair_scores(score: Responses, model: Any, batch: Batch) -> Tensor:
    """Summed log-probability of every response, (B, 2), fp32, columns chosen and rejected."""
    return answer_sums(score(model, batch), batch).view(-1, 2)


def class_logits(model: Any, batch: Batch) -> Tensor:
    """A classifier's logits, (B, C).

    The model does not see the labels: with them PEFT would add AdaLoRA's regulariser.
    """
    return model(**{key: value for key, value in batch.items() if key != "labels"}).logits


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
