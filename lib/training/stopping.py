"""Stop on request: a signal sets a flag, and the loop checkpoints after the current step."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopRequest:
    """Whether a stop was requested, and by which signal."""

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


class StopWindow:
    """The time from SLURM's warning to its limit, in which a step and a checkpoint have to fit."""

    def __init__(self, seconds: float, say: Callable[[str], None]) -> None:
        """seconds: slurm.train.warning; `say` gets a line the first time that they do not fit."""
        self.seconds, self.say = seconds, say

    def check(self, checkpoint: float, step: float = 0.0) -> None:
        """Compare with the seconds that the last checkpoint and the longest step took."""
        if checkpoint + step <= self.seconds:
            return
        enough = 60 * math.ceil(1.5 * (checkpoint + step) / 60)
        self.say(
            f"slurm.train.warning: found {self.seconds:g} seconds, but the last checkpoint took "
            f"{checkpoint:.0f} and a step up to {step:.0f}: a task at its time limit may be killed "
            f"before it has saved; set slurm.train.warning={enough}"
        )
        self.say = lambda line: None
