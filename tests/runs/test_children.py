"""A child gets its parent's signals, and does not outlive it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.runs import children
from tests.conftest import REPOSITORY

PARENT = "import sys; from lib.runs.children import call; sys.exit(call(sys.argv[1:]))"
# What a stage does: it notes a signal and stops where it can be resumed; or it has no handler yet.
STOPS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(60)
"""
DIES = STOPS.replace("signal.signal", "#")


def heed() -> None:
    """Ignore no signal, though the tests may: in the background or under nohup they do."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path: Path):
    """Return a function that starts parent and child; it returns the parent and the child's id."""
    parents = []

    def started(code: str, **options: object) -> tuple[subprocess.Popen, int]:
        ready = tmp_path / "ready"
        command = [sys.executable, "-c", PARENT, sys.executable, "-c", code, str(ready)]
        options = {"preexec_fn": heed} | options
        parents.append(subprocess.Popen(command, cwd=REPOSITORY, **options))
        while not (ready.exists() and ready.read_text()):
            assert parents[-1].poll() is None
            time.sleep(0.02)
        return parents[-1], int(ready.read_text())

    yield started
    for parent in parents:
        parent.kill()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize(("code", "resumable"), [(STOPS, True), (DIES, False)])
def test_a_signal_stops_the_child_and_is_waited_for(start, name, code, resumable) -> None:
    parent, pid = start(code)
    number = signal.Signals[name]
    parent.send_signal(number)
    assert parent.wait(20) == (75 if resumable else 128 + number)
    assert not is_running(pid)


def test_a_killed_parent_takes_its_child_along(start) -> None:
    parent, pid = start(STOPS)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_the_parent_ignores_is_ignored(start) -> None:
    """As under nohup."""
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    parent, pid = start(STOPS, **ignore)
    parent.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert is_running(pid)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(20) == 75


def test_a_block_that_fails_ends_the_child() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        children.child([sys.executable, "-c", "import time; time.sleep(60)"]) as process,
    ):
        raise ZeroDivisionError
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize(("code", "expected"), [("7", 7), ("-9", 137)])
def test_the_exit_code_is_the_childs(code, expected) -> None:
    end = "import os, sys; n = int(sys.argv[1]); os.kill(os.getpid(), -n) if n < 0 else sys.exit(n)"
    before = signal.getsignal(signal.SIGTERM)
    assert children.call([sys.executable, "-c", end, code]) == expected
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("target", ["demo", "trial", "submission", "train", "infer", "data"])
def test_make_hands_signals_to_the_stage(target) -> None:
    """A shell between make and the stage would die of them alone."""
    shown = subprocess.run(
        ["make", "-n", target], cwd=REPOSITORY, capture_output=True, text=True, env=os.environ
    )
    assert "exec .venv/bin/python -m stages." in shown.stdout
