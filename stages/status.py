"""How far a study is: one line a point.

python -m stages.status configs/weighted_loss.yaml
"""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from typing import Any

from lib.grid import aligned
from lib.results import status
from lib.runs import read_json, read_jsonl
from lib.study import Point, Study
from stages.command import DONE, load, parser, run

COLUMNS = ("index", "point", "state", "step", "loss", "predicted", "evaluated")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    args = parser("stages.status", __doc__, force=False).parse_intermixed_args(argv)
    study = load(args)
    rows = [describe(study, point) for point in study.points()]
    print(aligned([COLUMNS, *([str(row[c]) for c in COLUMNS] for row in rows)]))
    states = [row["state"] for row in rows]
    print("; ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states)))
    return DONE


def describe(study: Study, point: Point) -> dict[str, Any]:
    """The state of a point: missing, started, running, trained, done or diverged."""
    directory = point.directory
    state, step, loss = status(study, point), "", ""
    if state == "missing" and directory.exists():
        state = "running" if is_held(point) else "started"
    if (directory / "train.jsonl").exists():
        log = read_jsonl(directory / "train.jsonl", torn_tail=True)
        if log:
            step = log[-1]["step"]
            loss = "" if log[-1]["loss"] is None else f"{log[-1]['loss']:.4f}"
    evaluated = ""
    if (directory / "metrics.json").exists():
        accuracy = read_json(directory / "metrics.json").get("metrics", {}).get("accuracy")
        evaluated = f"accuracy {100 * accuracy['value']:.1f} %" if accuracy else "yes"
    return {
        "index": point.index,
        "point": point.name,
        "state": state,
        "step": step,
        "loss": loss,
        "predicted": "yes" if state == "done" else "",
        "evaluated": evaluated,
    }


def is_held(point: Point) -> bool:
    """Whether a task is at work on the point."""
    path = point.directory / ".lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


if __name__ == "__main__":
    raise SystemExit(run(main))
