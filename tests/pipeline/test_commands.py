"""`python -m stages WORD`: by the word of `make`, and by the name of the module."""

import signal
import subprocess
import sys

import pytest

from stages.__main__ import COMMANDS
from tests.conftest import REPOSITORY


def test_every_command_is_listed_and_either_name_runs_it(run_process) -> None:
    listed = run_process("stages", "--help")
    assert (listed.code, listed.err) == (0, "")
    assert all(f"\n  {word} " in listed.out for word in COMMANDS)
    said = [
        run_process("stages", word, "configs/demmo.yaml") for word in ("data", COMMANDS["data"])
    ]
    assert said[0] == said[1]
    assert (said[0].code, said[0].out) == (2, "")
    assert "did you mean 'configs/demo.yaml'?" in said[0].err
    grid = run_process("stages", "grid", "configs/demo.yaml", "--count")
    assert (grid.code, grid.out) == (0, "7\n")


@pytest.mark.parametrize(("word", "nearest"), [("tran", "train"), ("stage4_evalute", "stage4_eva")])
def test_another_word_is_refused(run_process, word: str, nearest: str) -> None:
    ended = run_process("stages", word)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert f"found {word!r}, expected one of data, train" in ended.err
    assert f"did you mean '{nearest}" in ended.err


@pytest.mark.parametrize("command, code", [("grid", 0), ("plan", 128 + signal.SIGPIPE)])
def test_a_reader_that_goes_is_no_traceback(command: str, code: int) -> None:
    """As in `python -m stages plan … | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "stages", command, "configs/td_dpo.yaml"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == code
