"""Attempts at a point: each start of stages 2 and 3, where it ran, and how it ended.

results/<study>/<point>/attempts.json   a list of entries, the newest last

An entry is written when an attempt starts and again when it ends, so that a killed process leaves
one without an end; the next attempt closes it at its last write. `config.json` has a copy of those
of the training.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.runs.children import RESUMABLE
from lib.runs.devices import granted_devices, in_job, listed_devices
from lib.runs.directory import LOG
from lib.runs.files import now, read_json, write_json

FILE = "attempts.json"
DRIVER = Path("/proc/driver/nvidia/gpus")  # a directory of each GPU of this machine
MOST_SHOWN = 300  # characters of an error
# How an attempt ended; None: it has not, or its process was killed, as the next attempt notes.
EXIT_CODES = {"done": 0, "diverged": 0, "stopped": RESUMABLE, "failed": 1}

Entry = dict[str, Any]


@contextmanager
def attempt(
    directory: Path,
    stage: str,
    environ: Mapping[str, str],
    gpus: int = 1,
    stop: Callable[[], bool] = lambda: False,
    **known: Any,
) -> Iterator[Entry]:
    """Record the block as an attempt of `stage` at a locked point.

    gpus: how many are used where the machine has them; known: further keys of the entry. The block
    may set `how` ("done" by default, "stopped", "diverged") and `step`; an exception is "failed",
    or "stopped" after `stop()`.
    """
    before = _read_or_empty(directory)
    for killed in before:
        if killed["end"] is None:
            killed |= {"how": "killed", "end": _last_write(directory, killed)}
    job = environ.get("SLURM_ARRAY_JOB_ID") or environ.get("SLURM_JOB_ID")
    entry: Entry = {
        "stage": stage,
        "job": job,
        "task": environ.get("SLURM_ARRAY_TASK_ID") if job else None,
        "restart": int(environ.get("SLURM_RESTART_COUNT") or 0) if job else None,
        "node": platform.node(),
        "gpus": gpus_of(environ, gpus),
        **known,
        "start": now(),
        "end": None,
        "how": None,
        "step": None,
        "exit": None,
    }
    write_json(directory / FILE, [*before, entry])
    try:
        yield entry
    except BaseException as error:
        entry |= {"how": "stopped", "exit": RESUMABLE} if stop() else _failure(error)
        raise
    else:
        entry["how"] = entry["how"] or "done"
        entry["exit"] = EXIT_CODES[entry["how"]]
    finally:
        entry["end"] = now()
        with suppress(BadInput):  # a full disk leaves the entry open
            write_json(directory / FILE, [*before, entry])


def close_attempt(directory: Path, code: int | None = None, reason: str | None = None) -> None:
    """Close the last attempt of a process that ended without doing so.

    code: its exit code, which says that it ended now. reason: why it failed, see
    `lib.slurm.reasons`, noted in one that is closed too.
    """
    entries = _read_or_empty(directory)
    if not entries:
        return
    before, last = dict(entries[-1]), entries[-1]
    if last["end"] is None:
        ended = _last_write(directory, last) if code is None else now()
        last |= {"how": "failed", "exit": code, "end": ended}
    if reason:
        last["reason"] = reason
    if last != before:
        write_json(directory / FILE, entries)


def read_attempts(directory: Path, stage: str | None = None) -> list[Entry]:
    """The attempts at a point, or those of one stage, oldest first.

    Raises BadInput for a damaged file.
    """
    path = directory / FILE
    if not path.exists():
        return []
    entries = read_json(path)
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and {"stage", "start", "end", "how"} <= e.keys() for e in entries
    ):
        raise BadInput(f"{path}: expected a list of attempts; remove it, its history is lost")
    return [entry for entry in entries if stage in (None, entry["stage"])]


def hours(entry: Entry, until: datetime | None = None) -> float:
    """Duration of an attempt; an open one lasts `until`, or counts nothing."""
    end = datetime.fromisoformat(entry["end"]) if entry["end"] else until
    if end is None:
        return 0.0
    return max(0.0, (end - datetime.fromisoformat(entry["start"])).total_seconds() / 3600)


def gpu_hours(entries: Iterable[Entry], until: datetime | None = None) -> float:
    """GPU-hours of attempts: the duration of each by its GPUs."""
    return sum(hours(entry, until) * (entry.get("gpus") or 0) for entry in entries)


def gpus_of(environ: Mapping[str, str], used: int) -> int:
    """GPUs that an attempt counts for: those of its job, else those it uses of this machine."""
    if in_job(environ):
        return granted_devices(environ)
    present = len(os.listdir(DRIVER)) if DRIVER.is_dir() else 0
    visible = listed_devices(environ)
    return min(used, present if visible is None else min(present, len(visible)))


def _last_write(directory: Path, entry: Entry) -> str:
    """When an attempt last wrote a row, a checkpoint or a prediction: its latest known end."""
    start = datetime.fromisoformat(entry["start"]).timestamp()
    paths = [directory / LOG, directory / "checkpoints", *directory.glob(".*.part.jsonl")]
    last = max([start, *(path.stat().st_mtime for path in paths if path.exists())])
    return datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds")


def _failure(error: BaseException) -> Entry:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        code = error.code if isinstance(error, SystemExit) else 130
        return {"how": "stopped", "exit": code if isinstance(code, int) else 1}
    line = " ".join(str(error).split())[:MOST_SHOWN]
    code = 2 if isinstance(error, BadInput) else EXIT_CODES["failed"]
    return {"how": "failed", "exit": code, "error": f"{type(error).__name__}: {line}"}


def _read_or_empty(directory: Path) -> list[Entry]:
    """The attempts, none where the file is damaged: a history stops no training."""
    try:
        return read_attempts(directory)
    except BadInput:
        return []
