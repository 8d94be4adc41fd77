"""Which base matrices the loss leans on, measured before training, and the penalty made of it.

<point>/importance.json    s and w of each matrix, the spread of what multiplies them, seconds

w_k = s_k / Σ s or s_k / max s; s_k = mean over calibration batches of ‖∂L/∂W_k‖_F, L the mean loss
of a batch. Gradients of an adapter's own A would say nothing: they are 0 while B is.
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
from lib.training.penalties import importance_penalty
from lib.training.scoring import Stopped, autocast, evaluating

UNIFORM = 0.1  # what multiplies the matrices differs by less than this share: no choice is left
DRAW = 1  # of the calibration's rows: a stream of its own beside the seed's


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
    drawn = np.random.default_rng([train.seed, DRAW]).permutation(rows)
    return drawn[: wanted.batches * size].reshape(wanted.batches, size)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """What Python, numpy and torch draw after the block is what they would have drawn without."""
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

    For y = xWᵀ the gradient is GᵀX, G = ∂L/∂y: it is formed when the backward pass comes by, its
    norm kept, and dropped; no other layer's is in memory. A layer that is called several times in a
    forward has the sum of its calls' gradients, so that they wait for the last one. The product is
    made in the dtype of G, as autograd makes it. To be used in eval mode: a checkpointed forward is
    run twice.
    """

    def __init__(self, matrices: Sequence[Matrix]) -> None:
        self.matrices = matrices
        self.norms: dict[str, Tensor] = {}  # of the last backward
        self._calls: Counter[str] = Counter()
        self._sums: dict[str, Tensor] = {}

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Hooks are in place within the block."""
        with ExitStack() as hooks:
            for matrix in self.matrices:
                hooks.enter_context(matrix.base.register_forward_hook(self._called(matrix.name)))
            yield

    def _called(self, name: str) -> Callable[..., Tensor | None]:
        def on_forward(layer: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor | None:
            if not torch.is_grad_enabled():
                return None
            # Let go once it is used: the graph keeps its hooks until the whole backward is done.
            kept = [inputs[0].detach()]
            if not output.requires_grad:  # nothing before it takes a gradient: the graph begins
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
    leaf.grad = None  # else it would stay until the whole backward is done


def calibrate(
    model: Any,
    matrices: Sequence[Matrix],
    batches: Iterable[Mapping[str, Tensor]],
    train: Train,
    stop: Callable[[], bool] = bool,
) -> Tensor:
    """Sum over `batches` of ‖∂L/∂W‖_F of each matrix, (n,), float64, on the model's device.

    Dropout is off, and training resumes from the random state, the mode and the weights that were
    there. Unless `train.importance.freeze_lora_during_warmup`: then the adapters (not the head)
    take a step of AdamW at `warmup_learning_rate` after each batch, which are no steps of the run;
    its optimizer begins anew. Raises Stopped once `stop()` says so.
    """
    device = next(model.parameters()).device
    collected = GradientNorms(matrices)
    settings, loss = train.importance, loss_of(train)
    sums = torch.zeros(len(matrices), dtype=torch.float64, device=device)
    moved = [] if settings.freeze_lora_during_warmup else [
        p for n, p in model.named_parameters() if "lora_" in n and p.requires_grad
    ]  # fmt: skip
    with random_state_kept(), evaluating(model), frozen(model), collected.collecting():
        for parameter in moved:
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(moved, settings.warmup_learning_rate) if moved else None
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
    """w from s: shares of the sum, or of the largest. Raises BadInput where s has no size."""
    whole = sum(norms) if normalise == "sum" else max(norms)
    if not 0 < whole < float("inf"):  # NaN too
        raise BadInput(
            f"train.importance: gradient norms of the calibration come to {whole}, expected a "
            f"number above 0; without bf16 (train.precision=fp32) they may be finite"
        )
    return [norm / whole for norm in norms]


def spread(factors: Sequence[float]) -> dict[str, float | None]:
    """Least, greatest and coefficient of variation of (1 − w)^β; `cv` None where all are 0."""
    mean = float(np.mean(factors))
    return {
        "min": min(factors),
        "max": max(factors),
        "cv": float(np.std(factors)) / mean if mean else None,
    }


def importance_record(
    matrices: Sequence[Matrix], norms: Sequence[float], settings: Importance, seconds: float
) -> dict[str, Any]:
    """importance.json; norms: s of each matrix. `uniform`: the penalty tells hardly any apart."""
    weights = weights_of(norms, settings.normalise)
    found = spread([(1 - w) ** settings.beta for w in weights])
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
        "batches": settings.batches,
        "normalise": settings.normalise,
        "alpha": settings.alpha,
        "beta": settings.beta,
        "spread": found,
        "uniform": found["max"] - found["min"] <= UNIFORM * found["max"],
        "seconds": seconds,
    }


def measured(
    model: Any,
    matrices: Sequence[Matrix],
    batches: Callable[[int, int], Iterable[Mapping[str, Tensor]]],
    train: Train,
    accelerator: Any,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """The record of a calibration that all ranks make together; to be called on each.

    `batches(first, step)` gives every `step`-th batch from `first` on: frozen ranks share them, and
    such as move their adapters all take every one. Raises Stopped on all ranks when one was asked.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    settings, start = train.importance, time.perf_counter()
    shared = settings.freeze_lora_during_warmup
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
    norms = total / (settings.batches if shared else settings.batches * world)
    return importance_record(matrices, norms.tolist(), settings, time.perf_counter() - start)


class Penalty:
    """The importance-weighted penalty of a model's adapters, as a function of their present values.

    α Σ_k (1 − w_k)^β ‖s·B_kA_k‖²_F: with gradients, in fp32, once for all layers. The rank-r form
    of decoupled decay would be another: it shrinks A and B, and not what they make together.
    """

    def __init__(
        self, matrices: Sequence[Matrix], weights: Sequence[float], alpha: float, beta: float
    ) -> None:
        groups: dict[tuple, tuple[list[Tensor], list[Tensor], list[float]]] = {}
        for matrix, weight in zip(matrices, weights, strict=True):
            a, b, scaling = matrix.factors
            of_shape = groups.setdefault((a.shape, b.shape), ([], [], []))
            for part, value in zip(
                of_shape, (a, b, alpha * (1 - weight) ** beta * scaling**2), strict=True
            ):
                part.append(value)
        device = matrices[0].base.weight.device
        self.groups = [
            (a, b, torch.tensor(c, dtype=torch.float32, device=device))
            for a, b, c in groups.values()
        ]

    def __call__(self) -> Tensor:
        """The penalty, a scalar."""
        return importance_penalty(self.groups)
