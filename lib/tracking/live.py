"""Tracking of a run while it trains. Errors of a tracker never stop the training."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lib.config.study import Point, Study
from lib.runs.children import blocked
from lib.tracking.runs import Row, Run, of_training, point_config
from lib.tracking.to_wandb import check_key, is_offline
from lib.tracking.trackers import LiveRun, Place, tracker


class Live:
    """A run in progress: previous rows at its start, one row at a time, and its end.

    If the tracker fails, `say` gets one line, and nothing more is logged.
    """

    def __init__(self, name: str, run: Run, place: Place, say: Callable[[str], None]) -> None:
        """name: of the tracker. Raises BadInput if it is not installed."""
        self.name, self.run, self.say = name, run, say
        self.place = replace(place, say=say)
        self.tracker = tracker(name)
        self.rows: list[Row] = []
        self.opened: LiveRun | None = None

    def start(self, rows: Sequence[Row]) -> None:
        """Start, or resume after these rows of train.jsonl from earlier attempts."""
        self.rows = list(rows)
        run = replace(self.run, rows=self.rows)
        # SLURM sends its warning to every process of a step, which would end a tracker's process.
        with blocked(signal.SIGUSR2):
            self._guarded(lambda: setattr(self, "opened", self.tracker.live(run, self.place)))

    def add(self, row: Row) -> None:
        """Log a row that was just written to train.jsonl."""
        self.rows.append(row)
        if self.opened is not None:
            self._guarded(lambda: self.opened.add(row))

    def finish(self) -> None:
        """Finish the run; `make track` adds metrics of stage 4 later."""
        run = replace(self.run, rows=self.rows, summary=of_training(self.rows))
        if self.opened is not None:
            self._guarded(lambda: self.opened.finish(run))

    def _guarded(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:
            self.opened = None
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
