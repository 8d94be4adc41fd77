"""Runs in MLflow: on the server of MLFLOW_TRACKING_URI, else in a database of the study's own.

A run is found by a tag with its id; other tags record what was written, so that nothing is written
twice. MLflow cannot remove logged values: if rows have changed, the run is deleted (which MLflow
can undo) and written again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.tracking.runs import Row, Run, values
from lib.tracking.trackers import LiveRun, Place, broken, last_hash, of_another_study

FLUSH_SECONDS = 15.0  # seconds for which rows of a run in progress are buffered
MOST_METRICS, MOST_PARAMS = 1000, 100  # MLflow's limits of a request
MOST_TEXT = 5000  # characters of a value
ID, GROUP, ROWS, LAST = (f"lossgrid.{name}" for name in ("id", "group", "rows", "last"))


def write(run: Run, place: Place) -> int:
    """See `lib.tracking.trackers.Tracker`."""
    opened = _Live(run, place)
    if opened.tags.get(LAST) != last_hash(run):
        opened.finish(run)
    return opened.added


def live(run: Run, place: Place) -> LiveRun:
    """See `lib.tracking.trackers.Tracker`."""
    return _Live(run, place)


def show(place: Place) -> str:
    """See `lib.tracking.trackers.Tracker`."""
    return f"mlflow ui --backend-store-uri {_uri(place)}"


def _uri(place: Place) -> str:
    own = place.directory.absolute() / "mlflow.db"
    return place.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own}"


class _Live:
    def __init__(self, run: Run, place: Place) -> None:
        try:
            import mlflow
            from mlflow.entities import Metric, Param, RunTag
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise broken("mlflow", error) from None
        self.kinds, self.rows, self.waiting = (Metric, Param, RunTag), list(run.rows), []
        self.flushed = time.monotonic()
        place.directory.mkdir(parents=True, exist_ok=True)
        try:
            self.client = mlflow.MlflowClient(tracking_uri=_uri(place))
            self._open(run, place)
        except MlflowException as error:
            raise BadInput(f"mlflow: {_uri(place)}: {error}") from None

    def _open(self, run: Run, place: Place) -> None:
        there = self.client.get_experiment_by_name(place.project)
        experiment = there.experiment_id if there else self.client.create_experiment(place.project)
        found = self.client.search_runs([experiment], f"tags.`{ID}` = '{run.id}'")
        self.tags: Mapping[str, str] = found[0].data.tags if found else {}
        if found and self.tags.get(GROUP) != run.group:
            raise of_another_study("mlflow", run, place.project, self.tags.get(GROUP))
        count, _, before = self.tags.get(ROWS, "0 ").partition(" ")
        first = int(count)
        if found and before != _mark(run, first):
            self.client.delete_run(found[0].info.run_id)
            found, first, self.tags = [], 0, {}
        self.added = len(run.rows) - first
        if found:
            self.id = found[0].info.run_id
        else:
            tags = {ID: run.id, GROUP: run.group, ROWS: f"0 {_mark(run, 0)}"}
            self.id = self.client.create_run(experiment, tags=tags, run_name=run.id).info.run_id
            self._log(params=[(key, str(value)[:MOST_TEXT]) for key, value in run.config.items()])
        if self.added:
            self._write(run.rows[first:], run.end)
            self._log(tags=[(ROWS, f"{len(run.rows)} {_mark(run, len(run.rows))}")])

    def add(self, row: Row) -> None:
        self.waiting.append(row)
        if time.monotonic() - self.flushed >= FLUSH_SECONDS:
            self._flush()

    def finish(self, run: Run) -> None:
        self._flush()
        self._write(run.last, run.end)
        texts = [(key, text[:MOST_TEXT]) for key, text in run.texts.items()]
        marks = [(ROWS, f"{len(self.rows)} {_mark(run, len(run.rows))}"), (LAST, last_hash(run))]
        self._log(tags=texts + marks)
        self.client.set_terminated(self.id)

    def _flush(self) -> None:
        self._write(self.waiting, None)
        self.rows += self.waiting
        self.waiting, self.flushed = [], time.monotonic()

    def _write(self, rows: Sequence[Row], end: float | None) -> None:
        # With the same time in every export, MLflow keeps a value once.
        moment = int(1000 * (end or time.time()))
        self._log(metrics=[(key, value, moment, row["step"])
                           for row in rows for key, value in values(row).items()])  # fmt: skip

    def _log(self, metrics: Sequence = (), params: Sequence = (), tags: Sequence = ()) -> None:
        of_metric, of_param, of_tag = self.kinds
        for part in _batches(metrics, MOST_METRICS):
            self.client.log_batch(self.id, metrics=[of_metric(*one) for one in part])
        for part in _batches(params, MOST_PARAMS):
            self.client.log_batch(self.id, params=[of_param(*one) for one in part])
        for part in _batches(tags, MOST_PARAMS):
            self.client.log_batch(self.id, tags=[of_tag(*one) for one in part])


def _mark(run: Run, rows: int) -> str:
    return digest([run.config, run.rows[:rows]]) if rows <= len(run.rows) else ""


def _batches(items: Sequence[Any], most: int) -> Iterator[list[Any]]:
    left = iter(items)
    while part := list(islice(left, most)):
        yield part
