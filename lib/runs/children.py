"""A child process that never outlives its parent, and to which the parent's signals are passed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# What a child gets for each signal: stages save a checkpoint and stop on TERM and USR2.
PASSED_ON = {
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGINT: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
    signal.SIGUSR2: signal.SIGUSR2,
}
RESUMABLE = 75  # exit code of a stage that stopped early on request
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> Callable[[], None]:
    """A `preexec_fn` for Popen: the kernel sends the child TERM once this process has died."""
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has died meanwhile, and no signal will come
            os._exit(128 + signal.SIGTERM)

    return ask


@contextmanager
def blocked(*signals: signal.Signals) -> Iterator[None]:
    """Hold signals back while the block lasts, and for good from children that are started in it.

    The mask goes through fork and exec. What came meanwhile reaches this process afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Run a command while the block lasts, and wait for its end; `options` are Popen's.

    A first TERM, INT or HUP ends it with TERM, a second one as it is, and one that this process
    ignores (as under nohup) is ignored. Raises SystemExit once the child has ended after a signal:
    with 75 where that was its exit code, else with 128 + the signal's number. A block that raises
    ends the child with TERM.
    """
    received: list[int] = []
    process: subprocess.Popen | None = None

    def pass_on(number: int, _frame: object) -> None:
        received.append(number)
        if process is not None:
            process.send_signal(PASSED_ON[number] if len(received) == 1 else number)

    before = {
        number: signal.signal(number, pass_on)
        for number in PASSED_ON
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        # A group of its own: a Ctrl-C reaches the child once, through this process. Should this
        # process be killed, the kernel ends the child.
        process = subprocess.Popen(
            command,
            process_group=0,
            preexec_fn=end_with_parent(),
            **options,
        )
        if received:  # before there was a child to pass it to
            process.send_signal(PASSED_ON[received[0]])
        try:
            yield process
        except BaseException:
            process.terminate()
            if not received:  # else what failed is a consequence of the signal
                raise
        finally:
            process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise SystemExit(RESUMABLE if process.returncode == RESUMABLE else 128 + received[0])


def call(command: Sequence[str]) -> int:
    """Run a command as `child` does; returns its exit code, 128 + number where a signal ended it.

    Raises SystemExit where this process was asked to stop.
    """
    with child(command) as process:
        process.wait()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode
