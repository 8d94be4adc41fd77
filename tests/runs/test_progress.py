import io
import sys

import pytest

from lib.runs import progress as module
from lib.runs.progress import Progress, clock, progress, tracked


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return [now]: the time that Progress sees, which the test sets."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0:00"), (7.9, "0:07"), (725, "12:05"), (3600, "1:00:00"), (11045, "3:04:05")],
)
def test_clock(seconds: float, expected: str) -> None:
    assert clock(seconds) == expected


def test_a_log_gets_a_line_at_first_now_and_then_and_at_the_end(time, capsys) -> None:
    shown = Progress(50, "train", "step", every=15)
    for count in range(1, 51):
        time[0] = 5.0 * count
        shown.update(count, f"loss {count}")
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train: 1/50 steps (2 %), 0:05 elapsed, 4:05 remaining, loss 1"
    assert lines[1] == "train: 4/50 steps (8 %), 0:20 elapsed, 3:50 remaining, loss 4"
    assert lines[-1] == "train: 50/50 steps (100 %), 4:10 elapsed, loss 50"
    assert len(lines) == 18  # steps 1, 4, …, 49, and 50


def test_the_time_left_is_that_of_the_rest(time, capsys) -> None:
    shown = Progress(100, "infer", done=90)  # by an earlier run
    time[0] = 10.0
    shown.update(95)
    assert capsys.readouterr().err == "infer: 95/100 rows (95 %), 0:10 elapsed, 0:10 remaining\n"
    shown = Progress(100, "infer", done=90)
    shown.update(90)  # nothing is known yet
    assert capsys.readouterr().err == "infer: 90/100 rows (90 %), 0:00 elapsed\n"


def test_what_passes_is_told_only_while_it_lasts(time, capsys) -> None:
    with progress(40, "generate", "answer", passing=True) as shown:
        for count in (10, 20, 30, 40):
            time[0] += 8.0
            shown.update(count)
    said = "generate: 20/40 answers (50 %), 0:16 elapsed, 0:16 remaining\n"
    assert capsys.readouterr().err == f"{said}generate: 40/40 answers (100 %), 0:32 elapsed\n"
    with progress(2, "generate", passing=True) as shown:
        shown.update(2)
    assert capsys.readouterr().err == ""


def test_one_thing_is_singular_and_nothing_is_no_error(time, capsys) -> None:
    Progress(1, "draw", "figure").update(1)
    assert capsys.readouterr().err == "draw: 1/1 figure (100 %), 0:00 elapsed\n"
    Progress(0, "draw", "figure").update(0)
    assert capsys.readouterr().err == "draw: 0/0 figures (0 %), 0:00 elapsed\n"


def test_tracked_passes_the_items_on(time, capsys) -> None:
    assert list(tracked(iter("abc"), 3, "read")) == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines()[-1].startswith("read: 3/3 rows (100 %)")
    assert list(tracked([], 0, "read")) == []


def test_a_terminal_gets_a_bar_that_is_closed_even_on_an_error(monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(KeyError), progress(4, "train", "step") as shown:  # noqa: PT012
        shown.update(2, "loss 0.5")
        raise KeyError
    assert shown.bar.disable  # closed
    assert shown.bar.n == 2
    assert "train" in terminal.getvalue()
    assert "(50 %)" not in terminal.getvalue()  # no line of a log file
