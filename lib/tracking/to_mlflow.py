"""Runs in MLflow: on the server of MLFLOW_TRACKING_URI, else in a database of the study's own.

A run is found by a tag with its id; other tags record what was written, so that nothing is written
twice. MLflow cannot remove logged values: if rows have changed, the run is deleted (which MLflow
can undo) and written again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.tracking.runs import Row, Run, values
from lib.tracking.trackers import Place, broken, of_another_study

BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits of a request
MOST_TEXT = 5000  # characters of a value
ID, GROUP, ROWS, LAST = (f"lossgrid.{name}" for name in ("id", "group", "rows", "last"))


def write(run: Run, place: Place) -> int:
    """See `lib.tracking.trackers.Tracker`."""
    writer = Writer(run, place)
    if writer.tags.get(LAST) != run.last_hash:
        writer.finish(run)
    return writer.new


def show(place: Place) -> str:
    """See `lib.tracking.trackers.Tracker`."""
    return f"mlflow ui --backend-store-uri {_uri(place)}"


def _uri(place: Place) -> str:
    own = place.directory.absolute() / "mlflow.db"
    return place.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own}"


class Writer:
    """See `lib.tracking.trackers.Writer`."""

    def __init__(self, run: Run, place: Place) -> None:
        try:
            import mlflow
            from mlflow.entities import Metric, Param, RunTag
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise broken("mlflow", error) from None
        self.kinds = {"metrics": Metric, "params": Param, "tags": RunTag}
        self.end = run.end
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
        first = int(self.tags.get(ROWS, "0").partition(" ")[0])
        if found and self.tags.get(ROWS) != _mark(run, first):
            self.client.delete_run(found[0].info.run_id)
            found, first, self.tags = [], 0, {}
        if found:
            self.id = found[0].info.run_id
        else:
            tags = {ID: run.id, GROUP: run.group, ROWS: _mark(run, 0)}
            self.id = self.client.create_run(experiment, tags=tags, run_name=run.id).info.run_id
            self._log(
                "params", [(key, str(value)[:MOST_TEXT]) for key, value in run.config.items()]
            )
        self.new = len(run.rows) - first
        if self.new:
            self.add(run.rows[first:])
            self._log("tags", [(ROWS, _mark(run, len(run.rows)))])

    def add(self, rows: Sequence[Row]) -> None:
        """See `lib.tracking.trackers.Writer`."""
        # With the same time in every export, MLflow keeps a value once.
        moment = int(1000 * (self.end or time.time()))
        self._log("metrics", [(key, value, moment, row["step"])
                              for row in rows for key, value in values(row).items()])  # fmt: skip

    def finish(self, run: Run) -> None:
        """See `lib.tracking.trackers.Writer`."""
        self.add(run.last)
        texts = [(key, text[:MOST_TEXT]) for key, text in run.texts.items()]
        marks = [(ROWS, _mark(run, len(run.rows))), (LAST, run.last_hash)]
        self._log("tags", texts + marks)
        self.client.set_terminated(self.id)

    def _log(self, kind: str, items: Sequence[tuple[Any, ...]]) -> None:
        for start in range(0, len(items), BATCH[kind]):
            part = [self.kinds[kind](*item) for item in items[start : start + BATCH[kind]]]
            self.client.log_batch(self.id, **{kind: part})


def _mark(run: Run, rows: int) -> str:
    """Value of the tag ROWS once the first `rows` rows are written."""
    return f"{rows} {digest([run.config, run.rows[:rows]])}" if rows <= len(run.rows) else ""
