"""Runs in trackio, which keeps them on this machine: below TRACKIO_DIR, else in its cache.

The summary is a row at the last step, texts are part of the config. trackio itself is asked for
what it has. On network file systems it writes fragments of JSONL instead of its database, which
`trackio show` imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.tracking.runs import Row, Run, common_head, time_of, values
from lib.tracking.trackers import Place, broken, of_another_study


def write(run: Run, place: Place) -> int:
    """See `lib.tracking.trackers.Tracker`."""
    writer = Writer(run, place)
    writer.finish(run)
    return writer.new


def show(place: Place) -> str:
    """See `lib.tracking.trackers.Tracker`."""
    return f"trackio show --project {place.project}"


class Writer:
    """See `lib.tracking.trackers.Writer`."""

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
        self.start = run.start
        self.key = {"project": place.project, "run": run.id, "run_id": run.id}
        self.config = {**run.config, **run.texts, "_Group": run.group}

        before = self.storage.get_run_config(**self.key) or {}
        if before.get("_Group", run.group) != run.group:
            raise of_another_study("trackio", run, place.project, before["_Group"])
        there = [_logged(row) for row in self.storage.get_logs(**self.key)]
        wanted = [_logged(row) for row in (*run.rows, *run.last)]
        same = 0 if there and before != self.config else common_head(there, wanted)
        self.count = len(there)  # rows in trackio
        if self.count > same:  # trackio cannot change rows: the run is written again
            self.fragments.import_inbox_dir()  # else fragments would restore old rows
            self.storage.delete_run(**self.key)
            self.count = 0
        self.new = max(len(run.rows) - same, 0)
        self.add(run.rows[self.count :])

    def add(self, rows: Sequence[Row]) -> None:
        """See `lib.tracking.trackers.Writer`."""
        if not rows:
            return
        first, self.count = self.count, self.count + len(rows)
        steps, metrics = [row["step"] for row in rows], [values(row) for row in rows]
        moments = [datetime.fromtimestamp(time_of(row, self.start), UTC).isoformat()
                   for row in rows]  # fmt: skip
        # trackio ignores a row whose id it has.
        ids = [digest([self.key["project"], self.key["run"], number, row])
               for number, row in enumerate(rows, first)]  # fmt: skip
        if self.writer is None:
            self.storage.bulk_log(metrics_list=metrics, steps=steps, timestamps=moments,
                                  config=self.config, log_ids=ids, **self.key)  # fmt: skip
            return
        columns = zip(metrics, steps, moments, ids, strict=True)
        names = ("metrics", "step", "timestamp", "log_id")
        shared = {**self.key, "config": self.config}
        self.writer.write_local([
            self.fragments.metric_record({**shared, **dict(zip(names, column, strict=True))})
            for column in columns
        ])  # fmt: skip

    def finish(self, run: Run) -> None:
        """See `lib.tracking.trackers.Writer`."""
        self.add([*run.rows, *run.last][self.count :])


def _logged(row: Row) -> tuple[int, Row]:
    return row["step"], values({k: v for k, v in row.items() if k != "timestamp"})
