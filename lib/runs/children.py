"""Child processes that end with their parent and get its signals."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Signal of this process → signal of its child: on TERM and USR2 stages save a checkpoint and stop.
PASSED_ON = {
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGINT: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
    signal.SIGUSR2: signal.SIGUSR2,
}
RESUMABLE = 75  # exit code of a stage that stopped on request
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> Callable[[], None]:
    """A `preexec_fn` for Popen: the kernel sends TERM to the child once this process dies."""
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before, so no signal will come
            os._exit(128 + signal.SIGTERM)

    return ask


@contextmanager
def blocked(*signals: signal.Signals) -> Iterator[None]:
    """Block signals within the block, and permanently in children that are started there.

    Children inherit the mask. This process gets pending signals afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def children(
    commands: Sequence[Sequence[str]], **options: Any
) -> Iterator[tuple[list[subprocess.Popen], list[int]]]:
    """Run commands within the block and wait for their ends; options: of Popen.

    Yields their processes and, as they come, the signals that this process got. A first TERM, INT
    or HUP is passed on as TERM, a second one unchanged; signals that this process ignores (as under
    nohup) are not passed on. An exception in the block ends the children with TERM, and is raised
    unless a signal came before.
    """
    received: list[int] = []
    processes: list[subprocess.Popen] = []
    told: set[int] = set()  # children that got a signal

    def pass_on(number: int, _frame: object) -> None:
        received.append(number)
        for process in processes:
            told.add(process.pid)
            process.send_signal(PASSED_ON[number] if len(received) == 1 else number)

    before = {
        number: signal.signal(number, pass_on)
        for number in PASSED_ON
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        for command in commands:
            # In its own process group, a child gets a Ctrl-C once, through this process. If this
            # process is killed, the kernel ends the child.
            process = subprocess.Popen(
                command, process_group=0, preexec_fn=end_with_parent(), **options
            )
            processes.append(process)
            # Received before the child was in the list; a second one would end a stage that stops.
            if received and process.pid not in told:
                process.send_signal(PASSED_ON[received[0]])
        try:
            yield processes, received
        except BaseException:
            for process in processes:
                process.terminate()
            if not received:  # else the signal caused the failure
                raise
        finally:
            for process in processes:
                process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Run one of `children` within the block.

    After a signal, raises SystemExit once the child has ended: 75 if that was its exit code, else
    128 + the signal's number.
    """
    with children([command], **options) as ([process], received):
        yield process
    if received:
        raise SystemExit(RESUMABLE if process.returncode == RESUMABLE else 128 + received[0])


def call(command: Sequence[str]) -> int:
    """Run a command as `child` does; returns its exit code, 128 + number if a signal ended it.

    Raises SystemExit if this process was asked to stop.
    """
    with child(command) as process:
        process.wait()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode
