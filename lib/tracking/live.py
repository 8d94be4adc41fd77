"""Tracking of a run while it trains. Errors of a tracker never stop the training."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from lib.config.study import Point, Study
from lib.runs.children import blocked
from lib.tracking.runs import Row, Run, of_training, point_config
from lib.tracking.to_wandb import check_key, is_offline
from lib.tracking.trackers import Place, Writer, tracker

FLUSH_SECONDS = 15.0  # between two uploads of new rows


class Live:
    """A run in progress: previous rows at its start, one row at a time, and its end.

    Rows are sent together, every FLUSH_SECONDS. If the tracker fails, `say` gets one line, and
    nothing more is logged.
    """

    def __init__(self, name: str, run: Run, place: Place, say: Callable[[str], None]) -> None:
        """name: of the tracker. Raises BadInput if it is not installed."""
        self.name, self.run, self.say = name, run, say
        self.place = replace(place, say=say)
        self.tracker = tracker(name)
        self.rows: list[Row] = []
        self.sent, self.flushed = 0, time.monotonic()
        self.writer: Writer | None = None

    def start(self, rows: Sequence[Row]) -> None:
        """Start, or resume after these rows of train.jsonl from earlier attempts."""
        self.rows, self.sent = list(rows), len(rows)
        run = replace(self.run, rows=self.rows)
        # SLURM sends its warning to every process of a step, which would end a tracker's process.
        with blocked(signal.SIGUSR2), self._guarded():
            self.writer = self.tracker.Writer(run, self.place)

    def add(self, row: Row) -> None:
        """Log a row that was just written to train.jsonl."""
        self.rows.append(row)
        if time.monotonic() - self.flushed >= FLUSH_SECONDS:
            self._flush()

    def finish(self) -> None:
        """Finish the run; `make track` adds metrics of stage 4 later."""
        self._flush()
        if self.writer is not None:
            with self._guarded():
                run = replace(self.run, rows=self.rows, summary=of_training(self.rows))
                self.writer.finish(run)

    def _flush(self) -> None:
        if self.writer is not None:
            with self._guarded():
                self.writer.add(self.rows[self.sent :])
        self.sent, self.flushed = len(self.rows), time.monotonic()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.writer = None
            self.say(f"{self.run.id}: no longer tracked in {self.name}: "
                     f"{' '.join(str(error).split()) or type(error).__name__}")  # fmt: skip


def live(
    study: Study,
    point: Point,
    identity: str,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> Live | None:
    """The tracking of a point while it trains, None for `tracking: none`.

    identity: hash of the point's training identity. Raises BadInput where the tracker is not
    installed, or has no key.
    """
    name = point.config.tracking
    if name == "none":
        return None
    place = place_of(study, environ)
    if name == "wandb" and not is_offline(place):
        tracker(name)
        check_key(environ)
    run = Run(point.name, study.directory.name, point_config(study, point, identity))
    return Live(name, run, place, say)


def place_of(study: Study, environ: Mapping[str, str], project: str | None = None) -> Place:
    """The project of a study's runs: `project`, for W&B also ENTITY/PROJECT, else its name.

    WANDB_ENTITY and WANDB_PROJECT are defaults.
    """
    entity, _, name = (project or "").rpartition("/")
    name = name or environ.get("WANDB_PROJECT") or study.directory.name
    entity = entity or environ.get("WANDB_ENTITY")
    return Place(name, study.directory / "tracking", environ, entity or None)
