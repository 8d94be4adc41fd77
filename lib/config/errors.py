"""The exception for errors that a user can fix, and helpers to word it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(Exception):
    """Bad config, data, index, checkpoint or judge answer: one line for the user, exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def nearest(word: object, options: Iterable[object]) -> str:
    """`; did you mean 'x'?` when an option is spelled much like `word`, else an empty string."""
    close = get_close_matches(str(word).lower(), {str(o).lower(): None for o in options}, n=1)
    if not close:
        return ""
    spelled = next(str(o) for o in options if str(o).lower() == close[0])
    return f"; did you mean {spelled!r}?"


def listed(options: Iterable[object], most: int = 12) -> str:
    """`a, b, c` for an error line, cut after `most` with a count of the rest."""
    items = [str(o) for o in options]
    tail = f", … ({len(items) - most} more)" if len(items) > most else ""
    return ", ".join(items[:most]) + tail
