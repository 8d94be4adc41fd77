"""Runs as event files for TensorBoard, below the study's tracking/tensorboard/, a folder a run.

TensorBoard stores scalars as 32-bit floats. The summary is an event at the last step; config and
texts are texts of step 0. A run that changed is written again; its first event makes a TensorBoard
that is open drop what it had read.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lib.tracking.runs import Row, Run, time_of, values
from lib.tracking.trackers import Exported, Place, broken


def write(run: Run, place: Place) -> int:
    """See `lib.tracking.trackers.Tracker`."""
    there = _exported(run, place)
    if there.has_all(run):
        return 0
    Writer(run, place).finish(run)
    return len(run.rows) - (there.first_new(run.rows) or 0)


def show(place: Place) -> str:
    """See `lib.tracking.trackers.Tracker`."""
    return f"tensorboard --logdir {place.directory / 'tensorboard'}"


def _exported(run: Run, place: Place) -> Exported:
    return Exported.read(place.directory / "tensorboard" / run.id / "exported.json", run.hash)


class Writer:
    """See `lib.tracking.trackers.Writer`."""

    def __init__(self, run: Run, place: Place) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise broken("tensorboard", error) from None
        self.event, self.summary = event_pb2, summary_pb2
        self.there, self.start = _exported(run, place), run.start
        directory = self.there.path.parent
        shutil.rmtree(directory, ignore_errors=True)  # its record too: a kill leaves none
        self.writer = EventFileWriter(str(directory))
        start = self.event.SessionLog(status=self.event.SessionLog.START)
        self._event(time.time(), 0, session_log=start)
        for name, text in {"config": _table(run.config), **run.texts}.items():
            self._text(name, text)
        self.add(run.rows)

    def add(self, rows: Sequence[Row]) -> None:
        """See `lib.tracking.trackers.Writer`."""
        for row in rows:
            scalars = [self.summary.Summary.Value(tag=key, simple_value=value)
                       for key, value in values(row).items()]  # fmt: skip
            logged = self.summary.Summary(value=scalars)
            self._event(time_of(row, self.start), row["step"], summary=logged)
        self.writer.flush()

    def finish(self, run: Run) -> None:
        """See `lib.tracking.trackers.Writer`."""
        self.add(run.last)
        self.writer.close()
        self.there.write(run.rows, run.last_hash)

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
