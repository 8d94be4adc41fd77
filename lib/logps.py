"""Log-probabilities of labels from logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def label_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of each label, (N,), fp32, 0 where it is −100; logits: (N, V), any float type.

    The log-softmax of a bf16 logit row is off by up to 0.03 nats.
    """
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits.float(), labels, ignore_index=-100, reduction="none")


def token_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of each labelled token, 0 where the label is −100.

    logits: (B, T, V), any float type; labels: (B, T) token ids. Returns (B, T), fp32.
    """
    return label_nll(logits.flatten(0, 1), labels.flatten()).view(labels.shape)


def label_logps(logits: Tensor, labels: Tensor) -> Tensor:
    """log p of each label, (N,), fp32; logits: (N, V), any float type; labels: (N,)."""
    return -label_nll(logits, labels)
