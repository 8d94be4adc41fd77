"""Tracking: what a row costs while a point trains; export of 60 points with 1,000 steps each.

    python -m bench.tracking [TRACKER …]

Of the trackers that are installed; W&B offline. Each in a separate process, in a scratch folder.
The last column is a second export, which finds nothing new.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.jobs import measured
from lib.config.errors import BadInput
from lib.config.grid import aligned
from lib.tracking.live import Live
from lib.tracking.runs import Run, of_training
from lib.tracking.trackers import PACKAGES, Place, tracker

POINTS, STEPS = 60, 1000
MEASURED = ("open", "row", "slowest", "close", "export", "again", "disk")


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser("python -m bench.tracking", description=__doc__)
    arguments.add_argument("trackers", nargs="*", metavar="TRACKER", help="default: all")
    arguments.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    args = arguments.parse_args()
    if args.job:
        job(args.job)
        return
    rows = [
        ("tracker", "open s", "ms a row", "slowest ms", "close s", "export s", "again s", "MiB")
    ]
    for name in args.trackers or PACKAGES:
        try:
            tracker(name)
        except BadInput as error:
            print(error, file=sys.stderr)
            continue
        found = measured("bench.tracking", {"tracker": name})
        rows.append((name, *(f"{found[key]:.3g}" for key in MEASURED)))
    print(aligned(rows))


def job(what: dict[str, Any]) -> None:
    """Measure one tracker."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"TRACKIO_DIR": f"{scratch}/trackio", "WANDB_MODE": "offline"}
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        place = Place("bench", Path(scratch) / "tracking", os.environ)
        runs = [run(number) for number in range(POINTS)]
        found = live(what["tracker"], runs[0], replace(place, project="live"))
        target, start = tracker(what["tracker"]), time.perf_counter()
        new = [target.write(one, place) for one in runs]
        found["export"] = time.perf_counter() - start
        start = time.perf_counter()
        again = [target.write(one, place) for one in runs]
        found["again"] = time.perf_counter() - start
        if (sum(new), sum(again)) != (POINTS * STEPS, 0):
            raise SystemExit(f"exported {sum(new)} rows and then {sum(again)}")
        files = (path for path in Path(scratch).rglob("*") if path.is_file())
        found["disk"] = sum(path.stat().st_size for path in files) / 2**20
        Path(what["report"]).write_text(json.dumps(found))


def live(name: str, begun: Run, place: Place) -> dict[str, float]:
    """Seconds to open and to close a run, milliseconds that a row of it takes."""
    tracked = Live(name, replace(begun, id="live", rows=[], summary={}), place, complain)
    start = time.perf_counter()
    tracked.start([])
    opened, times = time.perf_counter(), []
    for row in begun.rows:
        before = time.perf_counter()
        tracked.add(row)
        times.append(time.perf_counter() - before)
    written = time.perf_counter()
    tracked.finish()
    return {"open": opened - start, "row": 1000 * sum(times) / len(times),
            "slowest": 1000 * max(times), "close": time.perf_counter() - written}  # fmt: skip


def complain(message: str) -> None:
    """A tracker that fails is no measurement."""
    raise SystemExit(message)


def run(number: int) -> Run:
    """A run with as many columns as a preference point has."""
    columns = ("epoch", "loss", "grad_norm", "learning_rate", "margin_loss", "regulariser",
               "train_accuracy")  # fmt: skip
    rows = [{"step": step, "seconds": 0.5 * step, **dict.fromkeys(columns, (number + 1) / step)}
            for step in range(1, STEPS + 1)]  # fmt: skip
    config = {f"train.key{i}": i for i in range(90)} | {"hash": "a1"}
    return Run(f"point{number}", "bench", config, rows, of_training(rows), end=time.time())


if __name__ == "__main__":
    main()
