"""Stop on request: a signal sets a flag, and the loop checkpoints at the next step boundary."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Whether a stop was asked for, and by which signal."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def _set(self, number: int, _frame: object) -> None:
        self.signal = signal.Signals(number).name


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """A StopRequest that USR2 (SLURM's warning before the time limit) and TERM set."""
    request = StopRequest()
    before = {n: signal.signal(n, request._set) for n in (signal.SIGUSR2, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
