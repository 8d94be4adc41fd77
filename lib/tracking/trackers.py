"""The trackers that there are, how each is installed, and what of a run one of them has already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from lib.config.errors import BadInput, listed, nearest
from lib.config.grid import digest
from lib.runs.files import read_json, write_json
from lib.tracking.runs import Row, Run

# Tracker → the arguments of pip that install what this was written for.
PACKAGES: dict[str, str] = {
    "trackio": "trackio==0.43.0",
    "wandb": "wandb==0.31.0",
    "tensorboard": "tensorboard==2.21.0",
    "mlflow": "mlflow-skinny==3.17.2 sqlalchemy alembic",
}


@dataclass(frozen=True)
class Place:
    """Where runs go: a project of a tracker, and the study's own directory for files."""

    project: str
    directory: Path  # results/<study>/tracking; a tracker writes below its own name there
    environ: Mapping[str, str]  # a tracker's own settings; secrets come from here alone
    entity: str | None = None  # of W&B: user or team
    say: Callable[[str], None] = print  # gets a line on what a tracker cannot do


class LiveRun(Protocol):
    """A run that is open in a tracker while its point trains."""

    def add(self, row: Row) -> None:
        """Log one more row, of a later step; it may be kept back for some seconds."""

    def finish(self, run: Run) -> None:
        """Write what is kept back and the summary of `run`, and close it."""


class Tracker(Protocol):
    """`lib/tracking/to_<name>.py`; imports its library in functions alone."""

    def write(self, run: Run, place: Place) -> int:
        """Make a run in the tracker what `run` says; returns how many rows of train.jsonl are new.

        What is there already stays; where it is not a beginning of `run`, it is replaced. Raises
        BadInput where the tracker refuses, or has a run of another study under this id.
        """

    def live(self, run: Run, place: Place) -> LiveRun:
        """The same for a run that goes on after its rows, without a summary yet."""

    def show(self, place: Place) -> str:
        """What to do to look at the runs, in one line."""


def tracker(name: str) -> Tracker:
    """The tracker of this name. Raises BadInput where there is none, or its package is missing."""
    if name not in PACKAGES:
        raise BadInput(f"found {name!r}, expected one of {listed(PACKAGES)}"
                       f"{nearest(name, PACKAGES)}")  # fmt: skip
    try:
        spec = find_spec(name)
    except ValueError:  # a module without a spec, such as one that a test put there
        spec = None
    # A folder ./wandb of W&B's own files is a namespace package, which has no origin.
    if spec is None or spec.origin is None:
        raise BadInput(f"{name} is not installed; .venv/bin/pip install {PACKAGES[name]}")
    return import_module(f"lib.tracking.to_{name}")


def broken(name: str, error: ImportError) -> BadInput:
    """The error of a tracker that is there and cannot be imported."""
    return BadInput(f"{name} cannot be imported ({error}); .venv/bin/pip install {PACKAGES[name]}")


@dataclass
class Exported:
    """What was written of a run, for trackers that cannot be asked: a file beside theirs.

    key: what has to be equal for it to hold, such as the project. Without the file all is written.
    """

    path: Path
    key: Any
    rows: int = 0
    digest: str = ""
    last: str = ""  # hash of summary and config
    of_another: bool = False  # whether something was written under another key

    @classmethod
    def read(cls, path: Path, key: Any) -> Exported:
        """As it was last written, or empty."""
        try:
            content = read_json(path)
        except BadInput:  # missing, or damaged
            content = {}
        if content.get("key") != digest(key):
            return cls(path, key, of_another=bool(content))
        return cls(path, key, content["rows"], content["digest"], content["last"])

    def first_new(self, rows: Sequence[Row]) -> int | None:
        """Index of the first row that was not written; None where earlier ones have changed."""
        if digest(rows[: self.rows]) == self.digest or not self.rows:
            return self.rows
        return None

    def forget(self) -> None:
        """Before something is written: what a killed export leaves counts as nothing."""
        self.path.unlink(missing_ok=True)

    def write(self, rows: Sequence[Row], last: str) -> None:
        """After everything is written."""
        self.rows, self.digest, self.last = len(rows), digest(rows), last
        self._save()

    def take(self, other: Exported) -> None:
        """Make this what another one says."""
        self.rows, self.digest, self.last = other.rows, other.digest, other.last
        self._save()

    def _save(self) -> None:
        write_json(self.path, {"key": digest(self.key), "rows": self.rows,
                               "digest": self.digest, "last": self.last})  # fmt: skip


def last_hash(run: Run) -> str:
    """Of all of a run that is not a row."""
    return digest([run.hash, run.summary])


def of_another_study(tracker_name: str, run: Run, project: str, group: Any) -> BadInput:
    """The error of a run whose id another study has in the same project."""
    return BadInput(f"{tracker_name}: project {project}: run {run.id} is of the study {group!r}, "
                    f"expected {run.group!r}; give another project with --project")  # fmt: skip
