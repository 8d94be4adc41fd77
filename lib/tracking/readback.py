"""train.jsonl of points that trained elsewhere, read back from their W&B project."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.grid import digest
from lib.config.study import Point, Study
from lib.data.prepared import train_identity
from lib.runs.directory import LOG
from lib.runs.files import write_jsonl
from lib.runs.train_log import ALWAYS, SOMETIMES
from lib.tracking.runs import Row, run_id
from lib.tracking.to_wandb import MOST_BYTES, check_key, history, refusals, server
from lib.tracking.trackers import tracker


def fill_logs(
    study: Study,
    points: Sequence[Point],
    source: str,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Write train.jsonl of the points that lack one.

    source: `wandb:ENTITY/PROJECT`. Raises BadInput, before anything is written, where it is
    malformed or not accessible, or a run there has another config.
    """
    path = project_of(source)
    try:
        tracker("wandb")
        check_key(environ)
        missing = [point for point in points if not (point.directory / LOG).exists()]
        found = runs_in(path) if missing else {}
    except BadInput as error:
        raise BadInput(f"--from: {error}") from None
    logs: dict[str, list[Row]] = {}
    for point in missing:
        run = found.get(run_id(point.name, MOST_BYTES))
        if run is None:
            continue
        check_same(study, point, run, source)
        logs[point.name] = [as_logged(row) for row in history(run)]
    for point in missing:
        if logs.get(point.name):
            write_jsonl(point.directory / LOG, logs[point.name])
    absent = [point.name for point in missing if not logs.get(point.name)]
    say(f"{LOG}: {len(logs) - sum(not rows for rows in logs.values())} from {source}, "
        f"{len(points) - len(missing)} here already"
        f"{f'; not in the project: {listed(absent, 6)}' if absent else ''}")  # fmt: skip


def project_of(source: str) -> str:
    """`ENTITY/PROJECT` of `wandb:ENTITY/PROJECT`. Raises BadInput for anything else."""
    match = re.fullmatch(r"wandb:([^/:\s]+/[^/:\s]+)", source)
    if match is None:
        scheme = source.partition(":")[0]
        hint = nearest(scheme, ["wandb"]) if scheme != "wandb" else ""
        raise BadInput(f"--from: found {source!r}, expected wandb:ENTITY/PROJECT{hint}")
    return match[1]


def runs_in(path: str) -> dict[str, Any]:
    """Id → run of a project. Raises BadInput where it is not accessible."""
    api = server()
    try:
        with refusals():
            return {run.id: run for run in api.runs(path, lazy=False)}
    except ValueError:  # missing or not accessible
        raise BadInput(f"wandb: {path}: no accessible project of this name") from None


def check_same(study: Study, point: Point, run: Any, source: str) -> None:
    """Raise BadInput where a run has another training identity than the point."""
    try:
        expected = digest(train_identity(study, point))
    except BadInput:  # unknown without stage 1's data
        return
    if (logged := run.config.get("hash")) not in (None, expected):
        raise BadInput(f"--from: {source}: run {point.name} is of another config: found hash "
                       f"{logged}, expected {expected}; give the overrides that it was trained "
                       f"with")  # fmt: skip


def as_logged(row: Row) -> Row:
    """A row with the columns of train.jsonl in order, null where nothing was logged."""
    kept = {key: row.get(key) for key in ALWAYS}
    kept |= {key: row[key] for key in (*SOMETIMES, *row) if key in row}
    return {key: value if key == "step" or value is None else float(value)
            for key, value in kept.items()}  # fmt: skip
