"""A run that is tracked while it trains. Tracking never ends a training, whatever goes wrong."""

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
    """What the training loop tells of a run: the rows that it starts with, each more, and the end.

    `say` gets one line where the tracker fails; nothing is logged to it from then on.
    """

    def __init__(self, name: str, run: Run, place: Place, say: Callable[[str], None]) -> None:
        """`name`: of the tracker. Raises BadInput where it is not installed."""
        self.name, self.run, self.say = name, run, say
        self.place = replace(place, say=say)
        self.tracker = tracker(name)
        self.rows: list[Row] = []
        self.opened: LiveRun | None = None

    def start(self, rows: Sequence[Row]) -> None:
        """Begin, or go on after these rows of train.jsonl, which an earlier attempt has logged."""
        self.rows = list(rows)
        run = replace(self.run, rows=self.rows)
        # SLURM sends its warning to every process of a step, and a tracker's own would end by it.
        with blocked(signal.SIGUSR2):
            self._guarded(lambda: setattr(self, "opened", self.tracker.live(run, self.place)))

    def add(self, row: Row) -> None:
        """Log a row that was just written to train.jsonl."""
        self.rows.append(row)
        if self.opened is not None:
            self._guarded(lambda: self.opened.add(row))

    def finish(self) -> None:
        """End it; what stage 4 measures later is added by `make track`."""
        run = replace(self.run, rows=self.rows, summary=of_training(self.rows))
        if self.opened is not None:
            self._guarded(lambda: self.opened.finish(run))

    def _guarded(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:
            self.opened = None
            self.say(f"{self.run.id}: not tracked in {self.name} from here on: "
                     f"{' '.join(str(error).split()) or type(error).__name__}")  # fmt: skip


def live(
    study: Study,
    point: Point,
    identity: str,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> Live | None:
    """What tracks a point while it trains, None where the study does not ask for it.

    identity: the hash of what the point is trained from. Raises BadInput where the tracker that it
    asks for is not installed, or has no key.
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
    """Where a study's runs go: a project of its name, or this one, as ENTITY/PROJECT too.

    Of W&B, WANDB_ENTITY and WANDB_PROJECT name them where nothing else does.
    """
    entity, _, name = (project or "").rpartition("/")
    name = name or environ.get("WANDB_PROJECT") or study.directory.name
    entity = entity or environ.get("WANDB_ENTITY")
    return Place(name, study.directory / "tracking", environ, entity or None)
