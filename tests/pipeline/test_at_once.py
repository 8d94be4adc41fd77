"""Points of a task at once: shares, lines, signals and exit codes; real training in one test."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.config.study import Study
from lib.runs.directory import done_mark
from stages.points import at_once

# A stage that notes its start, fails at point 1, and waits for TERM at point 2.
STAGE = """
import os, signal, sys, time
words = dict(zip(sys.argv, sys.argv[1:]))
indices = words["--index"]
open(f"{os.environ['NOTES']}/{indices}", "w").write(os.environ["OMP_NUM_THREADS"])
assert "--parallel=1" in sys.argv
if "2" in indices:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    time.sleep(60)
if "1" in indices:
    print("loading", flush=True)
    print("train accept_gamma2: 1/3 steps", flush=True)
    sys.exit("Traceback")
"""


@pytest.fixture
def study(write_study) -> Study:
    return load_study(write_study())


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the made-up stage `fake_stage` notes its shares."""
    (tmp_path / "fake_stage.py").write_text(STAGE)
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path / "notes"


def test_one_that_fails_stops_no_other_and_tells(study, notes, capfd) -> None:
    assert at_once("fake_stage", study, study.points()[:2], 5, []) == 1
    assert {path.name for path in notes.iterdir()} == {"0", "1"}
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {path.read_text() for path in notes.iterdir()} == {str(threads)}
    out, err = capfd.readouterr()
    assert out.splitlines() == ["accept_gamma2: loading", "train accept_gamma2: 1/3 steps"]
    assert err.splitlines() == ["accept_gamma2: Traceback"]


def test_a_signal_goes_to_all_and_stopped_beats_failed(study, notes) -> None:
    def stop() -> None:
        while len(list(notes.iterdir())) < 2:
            time.sleep(0.02)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    assert at_once("fake_stage", study, study.points(), 2, []) == 75
    thread.join()
    assert {path.name for path in notes.iterdir()} == {"0,2", "1"}


def test_ranks_and_processes_exclude_each_other(run_stage, prepared_study) -> None:
    words = ["train.processes=2", "train.micro_batch=2", "slurm.train.parallel=2", "--index", "0"]
    ended = run_stage("stage2_train", prepared_study, *words)
    assert ended.code == 2
    assert "slurm.train.parallel: found 2, expected 1: a point with train.processes=2" in ended.err


@pytest.mark.slow
def test_real_points_one_of_which_fails(run_stage, prepared_study) -> None:
    broken = {"train.tuning": "lora", "train.lora.target_modules": "[nowhere]"}
    words = [f"variants.accept.{key}={value}" for key, value in broken.items()]
    ended = run_stage("stage2_train", prepared_study, *words, "--parallel", "2", "--index", "0-2")
    assert ended.code == 2
    assert re.search(r"accept_gamma2: error: .*'nowhere' matches no module", ended.err), ended.err
    marks = [done_mark(p.directory, "train") for p in load_study(prepared_study).points()]
    assert [mark and mark["status"] for mark in marks] == ["done", None, "done"]
