"""Runs as event files for TensorBoard, below the study's tracking/tensorboard/, a folder a run.

TensorBoard stores scalars as 32-bit floats. The summary is an event at the last step; config and
texts are texts of step 0. Event files are only added: if rows have changed, a new file restarts the
run at a step, and TensorBoard drops later events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from lib.tracking.runs import Row, Run, values
from lib.tracking.trackers import Exported, LiveRun, Place, broken, last_hash

FLUSH_SECONDS = 15  # seconds for which events of a run in progress are buffered


def write(run: Run, place: Place) -> int:
    """See `lib.tracking.trackers.Tracker`."""
    there = _exported(run, place)
    first = there.first_new(run.rows) or 0
    if first == len(run.rows) and there.last == last_hash(run):
        return 0
    _Live(run, place, first).finish(run)
    return len(run.rows) - first


def live(run: Run, place: Place) -> LiveRun:
    """See `lib.tracking.trackers.Tracker`."""
    return _Live(run, place, 0)


def show(place: Place) -> str:
    """See `lib.tracking.trackers.Tracker`."""
    return f"tensorboard --logdir {place.directory / 'tensorboard'}"


def _exported(run: Run, place: Place) -> Exported:
    return Exported.read(place.directory / "tensorboard" / run.id / "exported.json", run.hash)


class _Live:
    """An event file with the rows from number `first` on, and those that are added."""

    def __init__(self, run: Run, place: Place, first: int) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise broken("tensorboard", error) from None
        self.event, self.summary = event_pb2, summary_pb2
        self.there, self.rows = _exported(run, place), list(run.rows)
        self.there.forget()  # an interrupted export is repeated
        self.writer = EventFileWriter(str(self.there.path.parent), flush_secs=FLUSH_SECONDS)
        # The row before is repeated: restarting at its step also drops the old summary.
        again = run.rows[max(first - 1, 0) :]
        self._restart(again[0]["step"] if again and first else 0)
        if first == 0:
            self._text("config", _table(run.config))
            for name, text in run.texts.items():
                self._text(name, text)
        end = run.end or time.time()
        last = max((row.get("seconds") or 0.0 for row in run.rows), default=0.0)
        for row in again:
            self._row(row, end - last + (row.get("seconds") or last))

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self._row(row, time.time())

    def finish(self, run: Run) -> None:
        for row in run.last:
            self._row(row, run.end or time.time())
        self.writer.close()
        self.there.write(self.rows, last_hash(run))

    def _row(self, row: Row, moment: float) -> None:
        scalars = [self.summary.Summary.Value(tag=key, simple_value=value)
                   for key, value in values(row).items()]  # fmt: skip
        self._event(moment, row["step"], summary=self.summary.Summary(value=scalars))

    def _restart(self, step: int) -> None:
        log = self.event.SessionLog(status=self.event.SessionLog.START)
        self._event(time.time(), step, session_log=log)

    def _text(self, tag: str, text: str) -> None:
        from tensorboard.compat.proto import tensor_pb2, types_pb2
        from tensorboard.plugins.text.metadata import create_summary_metadata

        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[text.encode()])
        value = self.summary.Summary.Value(
            tag=tag, metadata=create_summary_metadata(tag, ""), tensor=tensor
        )
        self._event(time.time(), 0, summary=self.summary.Summary(value=[value]))

    def _event(self, moment: float, step: int, **content: Any) -> None:
        self.writer.add_event(self.event.Event(wall_time=moment, step=step, **content))


def _table(config: Mapping[str, Any]) -> str:
    """A config as Markdown."""
    lines = (f"| {key} | {json.dumps(value, ensure_ascii=False, default=str)} |"
             for key, value in config.items())  # fmt: skip
    return "\n".join(["| key | value |", "| --- | --- |", *lines])
