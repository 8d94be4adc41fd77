"""What the demonstration starts again, when it does not go on, and what it shows meanwhile."""

import math
import os
import re
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import Model
from lib.models.sizes import parameters
from stages import demo, estimate
from tests.conftest import REPOSITORY

JUDGE = ["judge.url=http://localhost:1/v1", "judge.model=gpt-x"]


@pytest.fixture
def infer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs stage 3 over predicted points, its process ending with a code."""

    def started(code: int, *words: str) -> tuple[int, int]:
        given = ["mode=trial", f"results_dir={tmp_path}", *words]
        study = load_study(REPOSITORY / "configs" / "td_dpo.yaml", given)
        commands = []

        def command(*args: object, **more: object) -> list[str]:
            commands.append(args)
            return [sys.executable, "-c", f"raise SystemExit({code})"]

        monkeypatch.setattr(demo, "local_command", command)
        monkeypatch.setattr(demo, "is_finished", lambda *_: True)
        monkeypatch.setattr(demo.time, "sleep", lambda _: None)
        points = [study.point(0), study.point(1)]
        found = list(demo.as_they_finish(study, "infer", points, through_slurm=False))
        return len(found), len(commands)

    monkeypatch.chdir(tmp_path)
    return started


def test_what_is_predicted_may_still_have_to_be_rated(infer) -> None:
    assert infer(0) == (2, 0)
    assert infer(0, *JUDGE) == (2, 1)


def test_a_stage_that_fails_with_its_points_done_ends_it(infer) -> None:
    with pytest.raises(BadInput, match=r"infer: ended with exit code 2; see logs/td_dpo-infer.out"):
        infer(2, *JUDGE)


def test_a_command_can_be_pasted_into_a_shell(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-m", "stages.stage2_train", "a b.yaml", "grid=[{variant: dpo}]", "mode=trial"]
    shown = demo.pastable([str(tmp_path / ".venv/bin/python"), *words])
    assert shlex.split(shown) == [".venv/bin/python", *words]
    assert shlex.split(demo.pastable(["/usr/bin/python", *words]))[0] == "/usr/bin/python"


def test_a_silence_is_filled_by_the_last_line_of_the_log(infer, monkeypatch, capsys) -> None:
    lines = ["loading\n", "\n", "12/40 rows\n", "40/40 rows\n"]

    def state() -> int | None:
        if not lines:
            return 0
        with Path("run-0.out").open("a") as file:
            file.write(lines.pop(0))
        return None

    @demo.contextmanager
    def started(*_: object):
        yield Path("run-*.out"), state

    study = load_study(REPOSITORY / "configs" / "td_dpo.yaml", ["mode=trial"])
    monkeypatch.setattr(demo, "SILENCE", -1.0)
    monkeypatch.setattr(demo, "run_here", started)
    monkeypatch.setattr(demo, "is_finished", lambda *_: not lines)
    monkeypatch.setattr(demo.time, "sleep", lambda _: None)
    assert len(list(demo.as_they_finish(study, "train", study.points()[:1], False))) == 1
    shown = re.findall(r"… (.*)", capsys.readouterr().out)
    assert shown == [
        "loading",
        "12/40 rows",
        "40/40 rows",
    ]  # "loading" once, though two looks found it


def test_a_trial_says_how_large_it_is_and_how_long_it_takes(
    prepared_study, tiny_model, tmp_path, monkeypatch
) -> None:
    weights = load_file(tiny_model / "model.safetensors")
    assert parameters(Model(name=str(tiny_model))).weights == sum(
        t.numel() for t in weights.values()
    )
    (tmp_path / "results" / "small").rename(tmp_path / "results" / "small-trial")
    study = load_study(prepared_study, ["mode=trial"])
    data = study.directory / "data"
    tokens = {
        name: min((data / f"{name}.jsonl").stat().st_size / rows / 4, 128)
        for name, rows in (("train_1-1", 24), ("test", 8))
    }
    # Two steps of 4 rows forward and backward, 8 test rows forward, 8 × 4 new tokens.
    work = 6 * 2 * 4 * tokens["train_1-1"] + 2 * (8 * tokens["test"] + 8 * 4)
    assert estimate.operations_a_weight(study, study.point(1), first=True) == pytest.approx(work)
    monkeypatch.setattr(estimate, "operations_a_second", lambda: math.inf)
    assert estimate.describe(study, study.points()) == (
        "trial: 3 points, at most 2 steps of 4 rows, 128 tokens a row, 8 test rows; "
        "about 2:00 on this machine's CPU"  # 4 processes of 15 s, 3 points of 2 × 6 s
    )
    hub = load_study(prepared_study, ["mode=trial", "model.name=some/model"])
    assert "no estimate of the time: some/model is not" in estimate.describe(hub, hub.points())


STOPS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
open("ready", "w").write(str(os.getpid()))
time.sleep(60)
"""


def test_a_stop_ends_the_stage_too(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", STOPS]
    monkeypatch.setattr(demo, "local_command", lambda *_, **__: command)
    study = load_study(REPOSITORY / "configs" / "demo.yaml", [f"results_dir={tmp_path}"])

    def stop() -> None:
        while not ((tmp_path / "ready").exists() and (tmp_path / "ready").read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(SystemExit) as ended:
        list(demo.as_they_finish(study, "train", study.points(), through_slurm=False))
    thread.join()
    assert ended.value.code == 75
    assert not Path(f"/proc/{(tmp_path / 'ready').read_text()}").exists()


def test_a_sample_has_every_variant_and_every_value() -> None:
    points = load_study(REPOSITORY / "configs" / "weighted_loss.yaml").points()
    sample = demo.sample(points)
    assert len(sample) == 8  # of 19: four γ (one of them the baseline's), one reject, three ratios
    for axis in ("variant", "gamma", "ratio"):
        assert {p.values[axis] for p in sample} == {p.values[axis] for p in points}
