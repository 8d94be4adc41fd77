"""What the ranks of a point settle together. Called on all of them, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import distributed

from lib.config.errors import BadInput


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

    Where it raises there, so does this: BadInput is raised on all ranks, for any other error the
    others get Stopped. None waits for a rank that has ended.
    """
    if not _several():
        return make()
    value, fault, error = None, None, None
    if distributed.get_rank() == 0:
        try:
            value = make()
        except Exception as raised:
            error = raised
            fault = raised if isinstance(raised, BadInput) else Stopped()
    shared = [value, fault]
    distributed.broadcast_object_list(shared)
    value, fault = shared
    if error or fault:
        raise error or fault
    return value


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
