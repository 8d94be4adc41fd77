"""Importance of base matrices to the loss, from the norms of their gradients before training.

<point>/importance.json    s and w of each matrix, the spread of what multiplies them, seconds

w_k = s_k / Σ s or s_k / max s; s_k = mean over calibration batches of ‖∂L/∂W_k‖_F, L the mean loss
of a batch. Gradients of an adapter's A would be useless: they are 0 while B is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.config.errors import BadInput
from lib.config.schema import Importance, Train
from lib.losses import loss_of
from lib.training.adapters import Matrix
from lib.training.ranks import Stopped
from lib.training.scoring import autocast, evaluating

UNIFORM = 0.1  # relative range of (1 − w)^β below which the penalty is uniform in effect
STREAM = 1  # of random numbers, beside those of `train.seed` alone: draws the calibration's rows


def calibration_rows(train: Train, rows: int) -> np.ndarray:
    """Numbers of the rows that are calibrated on, (batches, batch size), each row at most once.

    Raises BadInput where the training split has fewer.
    """
    wanted = train.importance
    size = wanted.batch_size or train.batch_size
    if wanted.batches * size > rows:
        raise BadInput(
            f"train.importance.batches: found {wanted.batches} of {size} rows, but the training "
            f"split has {rows} rows, which are {rows // size} such batches; give fewer, or a "
            f"smaller train.importance.batch_size"
        )
    drawn = np.random.default_rng([train.seed, STREAM]).permutation(rows)
    return drawn[: wanted.batches * size].reshape(wanted.batches, size)


@contextmanager
def frozen(parameters: Sequence[Tensor]) -> Iterator[None]:
    """None of these takes a gradient within the block; all do after it."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_()


@contextmanager
def gradient_norms(matrices: Sequence[Matrix]) -> Iterator[dict[str, Tensor]]:
    """‖∂L/∂W‖_F of base matrices by name, new after each backward pass within the block.

    A gradient is dropped once its norm is known, so that one at a time is in memory. Of a layer
    that a forward pass applies several times it is the sum over its calls.
    """
    norms: dict[str, Tensor] = {}

    def keep(name: str, weight: Tensor) -> None:
        norms[name] = torch.linalg.matrix_norm(weight.grad.float())
        weight.grad = None

    with ExitStack() as within:
        for matrix in matrices:
            weight = matrix.base.weight
            within.callback(weight.requires_grad_, weight.requires_grad)
            hook = partial(keep, matrix.name)
            weight.requires_grad_()
            within.enter_context(weight.register_post_accumulate_grad_hook(hook))
        yield norms


def calibrate(
    model: Any,
    matrices: Sequence[Matrix],
    batches: Iterable[Mapping[str, Tensor]],
    train: Train,
    stop: Callable[[], bool] = bool,
) -> Tensor:
    """Sum over `batches` of ‖∂L/∂W‖_F of each matrix, (n,), float64, on the model's device.

    Without dropout, and so without a random number; mode and weights are as before afterwards. Only
    with
    `train.importance.freeze_lora_during_warmup: false` the adapters (not the head) take an AdamW
    step at `warmup_learning_rate` after each batch, apart from the run's steps and its optimizer.
    Raises Stopped once `stop()` is true.
    """
    device = next(model.parameters()).device
    importance, loss = train.importance, loss_of(train)
    sums = torch.zeros(len(matrices), dtype=torch.float64, device=device)
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    moved = [p for n, p in trained if "lora_" in n and not importance.freeze_lora_during_warmup]
    with evaluating(model), frozen([p for _, p in trained]), gradient_norms(matrices) as norms:
        for parameter in moved:
            parameter.requires_grad_()
        optimizer = torch.optim.AdamW(moved, importance.warmup_learning_rate) if moved else None
        for batch in batches:
            if stop():
                raise Stopped
            inputs = {key: value.to(device) for key, value in batch.items()}
            labels = inputs.pop("labels")
            with autocast(device, train.precision):
                logits = model(**inputs).logits
            loss(logits, labels).mean().backward()
            sums += torch.stack([norms[matrix.name] for matrix in matrices])
            if optimizer:
                optimizer.step()
                optimizer.zero_grad()
    return sums


def weights_of(norms: Sequence[float], normalise: str) -> list[float]:
    """w from s: s divided by its sum or its maximum. Raises BadInput where that is not positive."""
    whole = sum(norms) if normalise == "sum" else max(norms)
    if not 0 < whole < float("inf"):  # NaN too
        raise BadInput(
            f"train.importance: gradient norms of the calibration have the {normalise} {whole}, "
            f"expected a number above 0; in fp32 (train.precision=fp32) they may be finite"
        )
    return [norm / whole for norm in norms]


def spread(factors: Sequence[float]) -> dict[str, float | None]:
    """Minimum, maximum and coefficient of variation of (1 − w)^β; `cv` None where all are 0."""
    mean = float(np.mean(factors))
    return {
        "min": min(factors),
        "max": max(factors),
        "cv": float(np.std(factors)) / mean if mean else None,
    }


def importance_record(
    matrices: Sequence[Matrix], norms: Sequence[float], importance: Importance, seconds: float
) -> dict[str, Any]:
    """importance.json; norms: s of each matrix. `uniform`: see UNIFORM."""
    weights = weights_of(norms, importance.normalise)
    factors = spread([(1 - w) ** importance.beta for w in weights])
    return {
        "matrices": [
            {
                "name": m.name,
                "layer": m.layer,
                "module": m.module,
                "s": s,
                "w": w,
                "shape": list(m.base.weight.shape),
            }
            for m, s, w in zip(matrices, norms, weights, strict=True)
        ],
        "batches": importance.batches,
        "normalise": importance.normalise,
        "alpha": importance.alpha,
        "beta": importance.beta,
        "spread": factors,
        "uniform": factors["max"] - factors["min"] <= UNIFORM * factors["max"],
        "seconds": seconds,
    }
