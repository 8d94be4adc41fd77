"""Where a study stands: its points by stage, what failed and why, time and GPU-hours.

    python -m stages.status configs/weighted_loss.yaml [--points] [--watch [SECONDS]] [--json]

Small grids are shown point by point, larger ones as counts over seeds. Read-only: it takes no lock.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from time import sleep
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import aligned
from lib.config.points import SEED
from lib.config.study import TAKEN, Study
from lib.data.prepared import MANIFEST
from lib.data.testsets import directory
from lib.runs.files import read_json
from lib.runs.listing import Listed, listed, read_listing
from lib.runs.progress import clock
from lib.slurm.survey import STAGES, STATES, Row, Survey
from lib.slurm.undone import Stage
from stages.command import DONE, load, parser, run

SMALL = 40  # points up to which each has a line
MOST_LINES = 100  # of settings
LARGE = 500  # points from which the listing of stage 1 is used, where it is of this study
MOST_FAILURES = 20  # lines about failed points
COLUMNS = ("index", "point", *STAGES, "step", "loss", "left", "job")
SHORT = 110  # characters of a log's line


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    arguments = parser("stages.status", __doc__, force=False)
    arguments.add_argument("--points", action="store_true", help="a line for each point")
    arguments.add_argument("--watch", nargs="?", type=seconds, const=30.0, metavar="SECONDS",
                           help="redraw every so many seconds (30), until Ctrl-C")  # fmt: skip
    arguments.add_argument("--json", action="store_true", help="everything, for a program")
    args = arguments.parse_intermixed_args(argv)
    show(args)
    with suppress(KeyboardInterrupt):  # the way to end it
        while args.watch is not None:
            sleep(args.watch)
            show(args)
    return DONE


def show(args: argparse.Namespace) -> None:
    """Print once where the study stands."""
    study, points = open_study(args)
    by_point = args.points or len(points) <= SMALL
    survey = Survey(study, points, by_point or args.json)
    if args.json:
        text = json.dumps(as_json(study, survey), allow_nan=False)
    else:
        text = "\n".join(lines(study, survey, by_point))
    print(f"\033[H\033[2J{text}" if args.watch and sys.stdout.isatty() else text, flush=True)


def seconds(text: str) -> float:
    """A number of seconds, at least one."""
    number = float(text)
    if not 1 <= number < 1e6:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected seconds, 1 or more")
    return number


def open_study(args: argparse.Namespace) -> tuple[Study, list[Listed]]:
    """The study and its points; of a large grid without resolving them, where stage 1 did."""
    study = load(args, checked=False)
    if len(study.grid) >= LARGE and (points := read_listing(study)):
        names = {*TAKEN, *(point.name for point in points)}
        if not any(entry.name not in names and os.path.exists(f"{entry.path}/config.json")
                   for entry in os.scandir(study.directory)):  # fmt: skip
            return study, points
    study = load(args)  # with results under older names
    return study, listed(study, [point.name for point in study.points()])


def lines(study: Study, survey: Survey, by_point: bool) -> Iterator[str]:
    """The tables, what failed and why, and what is not known."""
    yield f"{study.name}: {len(survey.rows)} points in {study.directory}; " + shared(study, survey)
    yield aligned(point_table(study, survey) if by_point else setting_table(study, survey))
    yield summary(survey)
    yield from failures(survey)
    for row in survey.rows:
        yield from (f"{row.name}: {line}" for line in row.broken)
    yield from survey.notes


def shared(study: Study, survey: Survey) -> str:
    """`data done; reference 1 stored`: what points share."""
    built = all((directory(study, task) / MANIFEST).exists() for task in study.config.tasks)
    parts = [f"data {'done' if built else 'missing'}"]
    stored = len(list((study.directory / "reference").glob("*/key.json")))
    tasks = survey.active("reference")
    if stored or tasks:
        waiting = sum(seen.is_waiting for seen in tasks)
        counts = ((stored, "done"), (len(tasks) - waiting, "running"), (waiting, "queued"))
        parts.append("reference " + ", ".join(f"{n} {state}" for n, state in counts if n))
    return "; ".join(parts)


def point_table(study: Study, survey: Survey) -> list[tuple[str, ...]]:
    """A line for each point."""
    rows = [COLUMNS]
    for row in survey.rows:
        step, loss = row.last.get("step", ""), row.last.get("loss")
        running = row.stages["train"].state == "running"
        cells = {
            "index": row.index,
            "point": row.name,
            **{stage: word(row.stages[stage]) for stage in STAGES},
            "evaluate": accuracy(study, row) or word(row.stages["evaluate"]),
            "step": f"{step}/{row.steps}" if row.steps and step != "" else step,
            "loss": "" if loss is None else f"{loss:.4f}",
            "left": clock(row.left) if running and row.left is not None else "",
            "job": job_of(row),
        }
        rows.append(tuple(str(cells[column]) for column in COLUMNS))
    return rows


def setting_table(study: Study, survey: Survey) -> list[tuple[str, ...]]:
    """A line for each setting, what points share that differ in the seed alone."""
    axes = list(dict.fromkeys(axis for row in survey.rows for axis in row.values))
    axes = [axis for axis in axes if study.axes.get(axis) != SEED]
    varying = [a for a in axes if len({str(row.values.get(a)) for row in survey.rows}) > 1]
    groups = grouped(survey.rows, varying)
    while len(groups) > MOST_LINES:  # without the axis of the most values
        longest = max(varying, key=lambda axis: len({str(r.values.get(axis)) for r in survey.rows}))
        varying.remove(longest)
        groups = grouped(survey.rows, varying)
    rows: list[tuple[str, ...]] = [(*varying, *STAGES)]
    for key, members in groups.items():
        rows.append((*key, *(counts(members, stage) for stage in STAGES)))
    if len(groups) > 1 and varying:
        total = ("total", *("" for _ in varying[1:]))
        rows.append((*total, *(counts(survey.rows, stage) for stage in STAGES)))
    return rows


def grouped(rows: Sequence[Row], axes: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """Values of these axes → the points that have them."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row.values.get(axis, "")) for axis in axes), []).append(row)
    return groups


def counts(rows: Sequence[Row], stage: str) -> str:
    """`3 done, 1 failed`."""
    found = Counter(row.stages[stage].state for row in rows)
    return ", ".join(f"{found[state]} {state}" for state in STATES if found[state])


def word(stage: Stage) -> str:
    """`failed: time limit`."""
    return f"{stage.state}: {stage.reason}" if stage.reason else stage.state


def job_of(row: Row) -> str:
    """`train 17_3 RUNNING`: the task of the stage that a point is at."""
    for name, stage in row.stages.items():
        if stage.task and stage.state != "done":
            return f"{name} {stage.task} {stage.slurm}".strip()
    return ""


def accuracy(study: Study, row: Row) -> str:
    """The accuracy of stage 4, or nothing."""
    path = study.directory / row.name / "metrics.json"
    if row.stages["evaluate"].state != "done" or not path.exists():
        return ""
    try:
        found = read_json(path)["metrics"].get("accuracy")
        return f"accuracy {100 * found['value']:.1f} %" if found else ""
    except (BadInput, TypeError, ValueError, KeyError, AttributeError) as error:
        row.broken.append(f"{path}: not as stage 4 writes it ({error})")
        return "broken"


def summary(survey: Survey) -> str:
    """`train: 3 done, 1 running; … 12.3 GPU-hours spent; 0:20:11 left …`."""
    parts = [f"{stage}: {counts(survey.rows, stage)}" for stage in STAGES]
    gpu, hours = (sum(getattr(row, name) for row in survey.rows) for name in ("gpu_hours", "hours"))
    if hours:
        parts.append(f"{gpu:.1f} GPU-hours spent" if gpu else f"{hours:.2f} hours spent, no GPU")
    left = [row.left for row in survey.rows
            if row.left is not None and row.stages["train"].state == "running"]  # fmt: skip
    if left:
        parts.append(f"{clock(max(left))} until the last of {len(left)} running is trained")
    return "; ".join(parts)


def failures(survey: Survey) -> Iterator[str]:
    """What failed, and what waits for somebody, with reason, last line and log."""
    bad = [
        (row, name, stage)
        for row in survey.rows
        for name, stage in row.stages.items()
        if stage.reason
    ]
    if len(bad) > 1:
        found = Counter(stage.reason for *_, stage in bad)
        yield "reasons: " + ", ".join(f"{n} {reason}" for reason, n in found.most_common())
    for row, name, stage in bad[:MOST_FAILURES]:
        place = f" (job {stage.task}{f' on {stage.node}' if stage.node else ''})" * bool(stage.task)
        said = f": {stage.line[:SHORT]}" if stage.line else ""
        log = f"; {stage.log}" if stage.log else ""
        yield f"{row.name}: {name} {word(stage)}{place}{said}{log}"
    if len(bad) > MOST_FAILURES:
        yield f"and {len(bad) - MOST_FAILURES} more, see --json"


def as_json(study: Study, survey: Survey) -> dict[str, Any]:
    """Everything that is known, as one object."""
    points = []
    for row in survey.rows:
        plain = asdict(row)
        plain["attempts"] = plain.pop("entries")
        points.append(plain)
    return {
        "study": study.name,
        "directory": str(study.directory),
        "points": points,
        "counts": {s: Counter(row.stages[s].state for row in survey.rows) for s in STAGES},
        "gpu_hours": sum(row.gpu_hours for row in survey.rows),
        "hours": sum(row.hours for row in survey.rows),
        "queue_known": survey.queue.known,
        "notes": survey.notes,
    }


if __name__ == "__main__":
    raise SystemExit(run(main))
