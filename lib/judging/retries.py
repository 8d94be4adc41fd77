"""Calls to a server that may succeed on a second try: how long to wait, and for what."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds, of our own; a server may ask for more
LONGEST_ASKED = 600.0  # seconds that a Retry-After may ask for


class TransientError(Exception):
    """A call failed in a way that may pass; `wait`: seconds that the server asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def exponential_backoff(attempt: int) -> float:
    """Seconds after failed try `attempt` (0, 1, …): doubled each time, at most LONGEST_PAUSE.

    With jitter: calls that failed together do not come back together.
    """
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 20)) * random.uniform(0.5, 1.0)


def retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for, a number or a date; 0 where it asks nothing."""
    seconds = 0.0
    with suppress(ValueError, TypeError):
        seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    with suppress(ValueError, TypeError):
        seconds = float(value)
    return min(max(0.0, seconds), LONGEST_ASKED)


async def sleep(seconds: float, stop: Callable[[], bool]) -> None:
    """Sleep in short steps, so that a stop is seen soon."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0 and not stop():
        await asyncio.sleep(min(left, 0.2))
