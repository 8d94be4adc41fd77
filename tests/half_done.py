"""What tasks that have not finished leave behind, made by hand: attempts, locks, arrays, logs."""

import os
import time
from pathlib import Path
from typing import Any

from lib.config.study import Point, Study
from lib.runs.activity import Holder
from lib.runs.attempts import FILE
from lib.runs.files import write_json

ELSEWHERE = str(Holder("node (0123)", 9, "17_0"))


def entry(stage: str = "train", **changes: Any) -> dict[str, Any]:
    """An attempt of task 17_0 that was killed, with changes."""
    started = {"stage": stage, "job": "17", "task": "0", "restart": 0, "node": "node", "gpus": 4,
               "start": "2026-01-01T00:00:00+00:00"}  # fmt: skip
    return started | {"end": None, "how": None, "step": None, "exit": None} | changes


def failed(error: str = "", code: int = 1, **changes: Any) -> dict[str, Any]:
    """An attempt that failed after an hour."""
    ended = {"end": "2026-01-01T01:00:00+00:00", "how": "failed", "exit": code, "error": error}
    return entry(**ended | changes)


def submitted(study: Study, job: str = "17", stage: str = "train", points: int = 1) -> None:
    """Record an array over the whole grid."""
    record = {"job": job, "stage": stage, "tasks": "0-2", "offset": 0, "points": points,
              "grid": study.grid_hash, "overrides": {}}  # fmt: skip
    write_json(study.directory / "arrays" / f"{job}.json", record)


def begun(point: Point, *entries: dict[str, Any], lock: str = ELSEWHERE, age: float = 9999) -> None:
    """Leave attempts, and a lock of another node, both written to `age` seconds ago."""
    if entries:
        write_json(point.directory / FILE, list(entries))
    (point.directory / ".lock").write_text(lock)
    for path in point.directory.iterdir():
        os.utime(path, (time.time() - age,) * 2)


def logged(study: Study, text: str, task: str = "17_0", stage: str = "train") -> None:
    """Write the log of a task."""
    Path("logs").mkdir(exist_ok=True)
    Path(f"logs/{stage}-{task}.out").write_text(text)
