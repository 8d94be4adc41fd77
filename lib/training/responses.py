"""Log-probabilities of responses by a causal language model, with little memory for logits.

Prompts are most of a batch and logits most of its memory, so the head sees only the positions that
predict a response token, a chunk of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lib.logps import label_logps
from lib.training.packed_attention import use_packed_attention

CHUNK = 1 << 24  # logits in memory at once: 64 MiB in fp32
TRIAL = 8  # tokens
Head = Callable[[Tensor], Tensor]


class Responses:
    """Scores batches of answers or pairs (`lib.training.batches`) with a model, wrapped or not."""

    def __init__(self, model: Any) -> None:
        """model: not wrapped for ranks, so that its head can be found."""
        self.head = model.get_output_embeddings()
        self.packed = use_packed_attention(model)  # else rows have to be of one sequence
        self.chunked: bool | None = None  # not known before the first batch

    def __call__(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """Log-probability of every label, (N,), fp32, answer by answer."""
        if self.chunked is None:
            self.chunked = self._returns_head_output(model, batch)
        where, labels = batch["responses"], batch["labels"]
        if self.chunked:
            with replaced_forward(self.head, lambda head: self._in_chunks(head, where, labels)):
                return _forward(model, batch)
        with replaced_forward(self.head, lambda head: lambda hidden: head(hidden[where])):
            return label_logps(_forward(model, batch), labels)

    def _in_chunks(self, head: Head, where: Tensor, labels: Tensor) -> Head:
        trained = any(weight.requires_grad for weight in self.head.parameters())
        vocabulary = getattr(self.head, "out_features", None) or len(self.head.weight)
        size = max(1, CHUNK // vocabulary)

        def score(hidden: Tensor) -> Tensor:
            picked = hidden[where]
            if torch.is_grad_enabled() and picked.requires_grad and not trained:
                return _FrozenHead.apply(picked, head, labels, size)
            pairs = zip(picked.split(size), labels.split(size), strict=True)
            if torch.is_grad_enabled():
                return torch.cat([
                    checkpoint(_score, head, *pair, use_reentrant=False, preserve_rng_state=False)
                    for pair in pairs
                ])  # fmt: skip
            return torch.cat([_score(head, *pair) for pair in pairs])

        return score

    def _returns_head_output(self, model: Any, batch: dict[str, Any]) -> bool:
        """Whether the model returns its head's output unchanged, tried on a few tokens.

        Some models cap or scale logits after the head, and then need all logits of a position.
        """
        few = {"input_ids": batch["input_ids"][:1, :TRIAL]}
        outputs: list[Tensor] = []

        def score(head: Head) -> Head:
            def marked(hidden: Tensor) -> Tensor:
                logps = _score(head, hidden[0], few["input_ids"][0])
                outputs.append(logps.clone())
                return logps

            return marked

        device = batch["input_ids"].device
        forked = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(forked), torch.no_grad(), replaced_forward(self.head, score):
            returned = _forward(model, few)
        return bool(outputs) and torch.equal(returned, outputs[0])


def answer_sums(logps: Tensor, batch: dict[str, Any]) -> Tensor:
    """Sum over each answer's tokens, (A,); each by itself, so that it is rounded alike anywhere."""
    return torch.stack([part.sum() for part in logps.split(batch["answers"])])


def _forward(model: Any, batch: dict[str, Any]) -> Tensor:
    packed = {key: batch[key] for key in ("position_ids", "layout") if key in batch}
    return model(input_ids=batch["input_ids"], use_cache=False, **packed).logits


def _score(head: Head, hidden: Tensor, labels: Tensor) -> Tensor:
    return label_logps(head(hidden), labels)


@contextmanager
def replaced_forward(
    module: torch.nn.Module, replacement: Callable[[Head], Head]
) -> Iterator[None]:
    """Within the block, `module.forward` is `replacement(module.forward)`.

    The module's `__call__` and hooks stay: wrappers for ranks rely on them.
    """
    own = module.__dict__.get("forward")  # set by a library before us
    module.forward = replacement(module.forward)
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


class _FrozenHead(torch.autograd.Function):
    """Label log-probabilities of (N, H) hidden states by a head without trained weights.

    A position's log-probability depends on its own hidden state alone, so the forward pass computes
    the derivative too, and saves (N, H) numbers for the backward pass instead of (N, V) logits.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Head, labels: Tensor, size: int) -> Tensor:
        logps, slopes = [], []
        for part, wanted in zip(hidden.split(size), labels.split(size), strict=True):
            with torch.enable_grad():
                leaf = part.detach().requires_grad_()
                scored = _score(head, leaf, wanted)
                slopes.append(torch.autograd.grad(scored.sum(), leaf)[0])
            logps.append(scored.detach())
        ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(logps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        (slopes,) = ctx.saved_tensors
        return (gradient[:, None] * slopes).to(slopes.dtype), None, None, None
