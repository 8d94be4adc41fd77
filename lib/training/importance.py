"""Importance of base matrices to the loss, from the norms of their gradients before training.

<point>/importance.json    s and w of each matrix, the spread of what multiplies them, seconds

w_k = s_k / Σ s or s_k / max s; s_k = mean over calibration batches of ‖∂L/∂W_k‖_F, L the mean loss
of a batch. Gradients of an adapter's A would be useless: they are 0 while B is.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
def random_state_kept() -> Iterator[None]:
    """Restores the random states of Python, numpy and torch after the block."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """No parameter of the model takes a gradient within the block."""
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class GradientNorms:
    """‖∂L/∂W‖_F of frozen linear layers, from hooks, while the context lasts.

    For y = xWᵀ the gradient is GᵀX, G = ∂L/∂y, in the dtype of G, as autograd computes it. It is
    formed when the backward pass reaches the layer and dropped once its norm is known, so that one
    gradient at a time is in memory. Of a layer that a forward pass applies several times, the sum
    over its calls is kept until the last one. Use it in eval mode: with gradient checkpointing a
    forward pass would run twice.
    """

    def __init__(self, matrices: Sequence[Matrix]) -> None:
        self.matrices = matrices
        self.norms: dict[str, Tensor] = {}  # of the last backward
        self._calls: Counter[str] = Counter()
        self._sums: dict[str, Tensor] = {}

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Hooks are registered within the block."""
        with ExitStack() as hooks:
            for matrix in self.matrices:
                hooks.enter_context(matrix.base.register_forward_hook(self._called(matrix.name)))
            yield

    def _called(self, name: str) -> Callable[..., Tensor | None]:
        def on_forward(layer: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor | None:
            if not torch.is_grad_enabled():
                return None
            # Popped once used: the graph keeps its hooks until the backward pass ends.
            kept = [inputs[0].detach()]
            if not output.requires_grad:  # the first layer with a gradient: the graph begins here
                output.requires_grad_().register_post_accumulate_grad_hook(_forget)
            self._calls[name] += 1
            output.register_hook(lambda gradient: self._passed(name, kept.pop(), gradient))
            return output

        return on_forward

    @torch.no_grad()
    def _passed(self, name: str, x: Tensor, gradient: Tensor) -> None:
        product = gradient.flatten(0, -2).T @ x.to(gradient.dtype).flatten(0, -2)
        if name in self._sums:
            product += self._sums.pop(name)
        self._calls[name] -= 1
        if self._calls[name]:
            self._sums[name] = product
        else:
            self.norms[name] = torch.linalg.matrix_norm(product.float())


def _forget(leaf: Tensor) -> None:
    leaf.grad = None  # else it would stay in memory until the backward pass ends


def calibrate(
    model: Any,
    matrices: Sequence[Matrix],
    batches: Iterable[Mapping[str, Tensor]],
    train: Train,
    stop: Callable[[], bool] = bool,
) -> Tensor:
    """Sum over `batches` of ‖∂L/∂W‖_F of each matrix, (n,), float64, on the model's device.

    Without dropout; random state, mode and weights are as before afterwards. Only with
    `train.importance.freeze_lora_during_warmup: false` the adapters (not the head) take an AdamW
    step at `warmup_learning_rate` after each batch, apart from the run's steps and its optimizer.
    Raises Stopped once `stop()` is true.
    """
    device = next(model.parameters()).device
    collected = GradientNorms(matrices)
    importance, loss = train.importance, loss_of(train)
    sums = torch.zeros(len(matrices), dtype=torch.float64, device=device)
    moved = [] if importance.freeze_lora_during_warmup else [
        p for n, p in model.named_parameters() if "lora_" in n and p.requires_grad
    ]  # fmt: skip
    with random_state_kept(), evaluating(model), frozen(model), collected.collecting():
        for parameter in moved:
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(moved, importance.warmup_learning_rate) if moved else None
        for batch in batches:
            if stop():
                raise Stopped
            inputs = {key: value.to(device) for key, value in batch.items()}
            labels = inputs.pop("labels")
            with autocast(device, train.precision):
                logits = model(**inputs).logits
            loss(logits, labels).mean().backward()
            sums += torch.stack([collected.norms[matrix.name] for matrix in matrices])
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


def calibrate_on_ranks(
    model: Any,
    matrices: Sequence[Matrix],
    batches: Callable[[int, int], Iterable[Mapping[str, Tensor]]],
    train: Train,
    accelerator: Any,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """The record of a calibration on all ranks; to be called on each.

    `batches(first, step)` returns every `step`-th batch from `first` on: ranks share the batches,
    unless adapters move, when each rank takes all. Raises Stopped on all ranks when a stop is
    requested on one.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    importance, start = train.importance, time.perf_counter()
    shared = importance.freeze_lora_during_warmup
    sums, stopped = torch.zeros(len(matrices), dtype=torch.float64, device=accelerator.device), 0.0
    try:
        sums += calibrate(
            model, matrices, batches(rank, world) if shared else batches(0, 1), train, stop
        )
    except Stopped:
        stopped = 1.0
    if accelerator.reduce(torch.tensor(stopped, device=accelerator.device), "sum").item():
        raise Stopped
    total = accelerator.reduce(sums, "sum")
    norms = total / (importance.batches if shared else importance.batches * world)
    return importance_record(matrices, norms.tolist(), importance, time.perf_counter() - start)
