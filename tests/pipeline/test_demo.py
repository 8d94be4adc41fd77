"""What the demonstration starts again, and when it does not go on."""

import sys
from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.study import load_study
from stages import demo
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
