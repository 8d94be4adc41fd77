"""Runs in trackio, which keeps them on this machine: below TRACKIO_DIR, else in its cache.

The summary is a row at the last step, texts are part of the config. trackio itself is asked for
what it has. On network file systems it writes fragments of JSONL instead of its database, which
`trackio show` imports.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.tracking.runs import Row, Run, values
from lib.tracking.trackers import LiveRun, Place, broken, of_another_study

FLUSH_SECONDS = 15.0  # seconds for which rows of a run in progress are buffered


def write(run: Run, place: Place) -> int:
    """See `lib.tracking.trackers.Tracker`."""
    same = _Store(run, place).bring_to([*run.rows, *run.last], run.end)
    return max(len(run.rows) - same, 0)


def live(run: Run, place: Place) -> LiveRun:
    """See `lib.tracking.trackers.Tracker`."""
    return _Live(run, place)


def show(place: Place) -> str:
    """See `lib.tracking.trackers.Tracker`."""
    return f"trackio show --project {place.project}"


class _Live:
    def __init__(self, run: Run, place: Place) -> None:
        self.store = _Store(run, place)
        self.store.bring_to(run.rows, run.end)
        self.rows = list(run.rows)
        self.waiting: list[Row] = []
        self.times: list[float] = []
        self.flushed = time.monotonic()

    def add(self, row: Row) -> None:
        self.waiting.append(row)
        self.times.append(time.time())
        if time.monotonic() - self.flushed >= FLUSH_SECONDS:
            self._flush()

    def finish(self, run: Run) -> None:
        self.waiting += run.last
        self.times += [time.time() for _ in run.last]
        self._flush()

    def _flush(self) -> None:
        self.store.append(len(self.rows), self.waiting, self.times)
        self.rows += self.waiting
        self.waiting, self.times, self.flushed = [], [], time.monotonic()


class _Store:
    """A run in trackio's storage."""

    def __init__(self, run: Run, place: Place) -> None:
        try:
            from trackio import fragments, utils
            from trackio.sqlite_storage import SQLiteStorage
        except ImportError as error:
            raise broken("trackio", error) from None
        try:
            SQLiteStorage.validate_project_name(place.project)
        except ValueError as error:
            raise BadInput(f"trackio: {error}") from None
        self.storage, self.fragments = SQLiteStorage, fragments
        self.writer = fragments.FragmentWriter() if utils.get_storage_mode() == "jsonl" else None
        self.run, self.project = run, place.project
        self.config = {**run.config, **run.texts, "_Group": run.group}

    def bring_to(self, rows: Sequence[Row], end: float | None) -> int:
        """Make the run equal to these rows; returns how many it had. end: time of the last one."""
        there = self.storage.get_logs(self.project, self.run.id, run_id=self.run.id)
        config = self.storage.get_run_config(self.project, self.run.id, run_id=self.run.id) or {}
        if config.get("_Group", self.run.group) != self.run.group:
            raise of_another_study("trackio", self.run, self.project, config["_Group"])
        same = 0
        if not there or config == self.config:
            pairs = zip(there, rows, strict=False)
            same = next((i for i, (old, new) in enumerate(pairs) if _shown(old) != _shown(new)),
                        min(len(there), len(rows)))  # fmt: skip
        if len(there) > same:  # trackio cannot change rows: write the run again
            self.fragments.import_inbox_dir()  # else fragments would restore old rows
            self.storage.delete_run(self.project, self.run.id, run_id=self.run.id)
            self.append(0, rows, _times(rows, end))
        else:
            self.append(same, rows[same:], _times(rows, end)[same:])
        return same

    def append(self, first: int, rows: Sequence[Row], times: Sequence[float]) -> None:
        """Write rows from number `first` on, unless they exist."""
        if not rows:
            return
        steps, metrics = [row["step"] for row in rows], [values(row) for row in rows]
        ids = [digest([self.project, self.run.id, number, row])
               for number, row in enumerate(rows, first)]  # fmt: skip
        moments = [datetime.fromtimestamp(moment, UTC).isoformat() for moment in times]
        if self.writer is None:
            self.storage.bulk_log(self.project, self.run.id, metrics, steps, moments,
                                  config=self.config, log_ids=ids, run_id=self.run.id)  # fmt: skip
            return
        shared = {"project": self.project, "run": self.run.id, "run_id": self.run.id,
                  "config": self.config}  # fmt: skip
        rows_of = zip(metrics, steps, moments, ids, strict=True)
        self.writer.write_local([
            self.fragments.metric_record({**shared, "metrics": logged, "step": step,
                                          "timestamp": moment, "log_id": one})
            for logged, step, moment, one in rows_of
        ])  # fmt: skip


def _shown(row: Row) -> tuple[int, Row]:
    return row["step"], values({k: v for k, v in row.items() if k != "timestamp"})


def _times(rows: Sequence[Row], end: float | None) -> list[float]:
    """Times of rows, from their seconds since the run's start; the summary has the last one."""
    last = max((row.get("seconds") or 0.0 for row in rows), default=0.0)
    return [(end or 0.0) - last + (row.get("seconds") or last) for row in rows]
