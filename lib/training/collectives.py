"""What the ranks of a point settle together. Called on all of them, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import distributed


class Stopped(Exception):
    """A stop was asked for in the middle, on this rank or on another."""


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether `flag` is true on any rank."""
    if not _several():
        return flag
    flags = torch.tensor(float(flag), device=device)
    distributed.all_reduce(flags)
    return bool(flags.item())


def from_first(make: Callable[[], Any]) -> Any:
    """What `make` returns on the first rank, on all of them.

    Where it raises there, so does this, and Stopped on the others: none waits for a rank that is
    gone.
    """
    if not _several():
        return make()
    error, made = None, [None, False]
    if distributed.get_rank() == 0:
        try:
            made = [make(), True]
        except Exception as raised:
            error = raised
    distributed.broadcast_object_list(made)
    if error:
        raise error
    value, succeeded = made
    if not succeeded:
        raise Stopped
    return value


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
