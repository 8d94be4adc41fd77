"""Log-probabilities of responses by a causal language model, scored where they stand alone.

Prompts are most of a batch and logits most of its memory, so the head sees the positions that
predict a response token and no others, a piece of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lib.logps import label_logps, scattered

PIECE = 1 << 24  # logits that are held at once: 64 MiB in fp32

Head = Callable[[Tensor], Tensor]
Ids = Sequence[int]


def right_padded(
    prompts: Sequence[Ids], answers: Sequence[Ids], pad: int, multiple: int = 32
) -> dict[str, Tensor]:
    """S sequences of a prompt and its response → `input_ids`, `responses`, `labels`.

    Padded on the right, to a multiple of the widest vector of a kernel: no token of a causal model
    reads what comes after it, so there is no mask, and what is computed of a row, rounding
    included, does not depend on its batch. A mask would rule out the flash kernel, and that of
    padding on the left has rows without any position to attend to. With such padding the reference
    of pairs, which is scored in other batches than the policy, was off by 0.01 nats a token in
    bf16 (SmolLM2 on a CPU).
    `input_ids`: (S, L), a response's last token left out, since nothing is predicted from it.
    `responses`: (S, L) bool, the N positions that predict a response token; `labels`: (N,) these
    tokens, row by row.
    """
    ends = [len(prompt) + len(answer) - 1 for prompt, answer in zip(prompts, answers, strict=True)]
    width = -(-max(ends) // multiple) * multiple
    input_ids = torch.full((len(ends), width), pad, dtype=torch.long)
    responses = torch.zeros_like(input_ids, dtype=torch.bool)
    for i, (prompt, answer, end) in enumerate(zip(prompts, answers, ends, strict=True)):
        input_ids[i, :end] = torch.tensor([*prompt, *answer][:-1])
        responses[i, end - len(answer) : end] = True
    labels = torch.tensor([token for answer in answers for token in answer])
    return {"input_ids": input_ids, "responses": responses, "labels": labels}


class Responses:
    """Scores batches of `right_padded` sequences with a model, wrapped for ranks or not."""

    def __init__(self, model: Any) -> None:
        """`model`: not wrapped, so that its head can be found."""
        self.head = model.get_output_embeddings()
        self.in_pieces: bool | None = None  # not known before the first batch

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Log-probability of every label where it is predicted, (S, L), fp32, 0 elsewhere."""
        if self.in_pieces is None:
            self.in_pieces = self._returns_what_the_head_made(model, batch)
        where, labels = batch["responses"], batch["labels"]
        if self.in_pieces:
            with instead(self.head, lambda head: self._pieces(head, where, labels)):
                logps = _forward(model, batch)
        else:
            with instead(self.head, lambda head: lambda hidden: head(hidden[where])):
                logps = label_logps(_forward(model, batch), labels)
        return scattered(logps, where)

    def _pieces(self, head: Head, where: Tensor, labels: Tensor) -> Head:
        trained = any(weight.requires_grad for weight in self.head.parameters())
        vocabulary = getattr(self.head, "out_features", None) or len(self.head.weight)
        size = max(1, PIECE // vocabulary)

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

    def _returns_what_the_head_made(self, model: Any, batch: dict[str, Tensor]) -> bool:
        """Whether logits reach the caller as they are: some models cap or scale them behind the
        head, and then need all of a position's at once. Tried on one sequence.
        """
        one, where = {"input_ids": batch["input_ids"][:1]}, batch["responses"][:1]
        made: list[Tensor] = []

        def score(head: Head) -> Head:
            def marked(hidden: Tensor) -> Tensor:
                logps = _score(head, hidden[where], batch["labels"][: int(where.sum())])
                made.append(logps.clone())
                return logps

            return marked

        device = batch["input_ids"].device
        forked = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(forked), torch.no_grad(), instead(self.head, score):
            found = _forward(model, one)
        return bool(made) and found.shape == made[0].shape and torch.equal(found, made[0])


def _forward(model: Any, batch: dict[str, Tensor]) -> Tensor:
    return model(input_ids=batch["input_ids"], use_cache=False).logits


def _score(head: Head, hidden: Tensor, labels: Tensor) -> Tensor:
    return label_logps(head(hidden), labels)


@contextmanager
def instead(module: torch.nn.Module, replacement: Callable[[Head], Head]) -> Iterator[None]:
    """Within the block, `module` computes `replacement(its own forward)`.

    The module's call and its hooks stay as they are: wrappers for ranks rely on them.
    """
    own = module.__dict__.get("forward")  # where a library has put one before us
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

    A position's log-probability depends on its own hidden state alone, so its derivative is made
    with it and (N, H) numbers wait for the backward pass, where logits would be (N, V).
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
