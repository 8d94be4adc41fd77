"""The supported trackers, their common interface, and records of what was exported."""

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

# Tracker → pip's arguments to install the supported version.
PACKAGES: dict[str, str] = {
    "trackio": "trackio==0.43.0",
    "wandb": "wandb==0.31.0",
    "tensorboard": "tensorboard==2.21.0",
    "mlflow": "mlflow-skinny==3.17.2 sqlalchemy alembic",
}


@dataclass(frozen=True)
class Place:
    """Destination of runs: a tracker's project, and the study's directory for its files."""

    project: str
    directory: Path  # results/<study>/tracking; trackers write to folders there
    environ: Mapping[str, str]  # settings of trackers, and secrets
    entity: str | None = None  # of W&B: user or team
    say: Callable[[str], None] = print  # gets a line on limitations of a tracker


class Writer(Protocol):
    """A run, open in a tracker.

    Opening it writes the rows that it lacks: existing ones stay if they are the first rows of
    `run`, else they are replaced. Raises BadInput where the tracker refuses, or has a run of
    another study under this id.
    """

    def __init__(self, run: Run, place: Place) -> None: ...

    def add(self, rows: Sequence[Row]) -> None:
        """Log rows of later steps."""

    def finish(self, run: Run) -> None:
        """Write the summary of `run`, and close it."""


class Tracker(Protocol):
    """`lib/tracking/to_<name>.py`; imports its library only in functions."""

    Writer: type[Writer]

    def write(self, run: Run, place: Place) -> int:
        """Update a run in the tracker to `run`; returns how many rows of train.jsonl are new."""

    def show(self, place: Place) -> str:
        """How to view the runs, in one line."""


def tracker(name: str) -> Tracker:
    """The tracker of this name. Raises BadInput if it is unknown or its package is missing."""
    if name not in PACKAGES:
        raise BadInput(f"found {name!r}, expected one of {listed(PACKAGES)}"
                       f"{nearest(name, PACKAGES)}")  # fmt: skip
    try:
        spec = find_spec(name)
    except ValueError:  # a module without a spec, such as a test's
        spec = None
    # W&B's folder ./wandb is a namespace package, which has no origin.
    if spec is None or spec.origin is None:
        raise BadInput(f"{name} is not installed; .venv/bin/pip install {PACKAGES[name]}")
    return import_module(f"lib.tracking.to_{name}")


def broken(name: str, error: ImportError) -> BadInput:
    """The error for an installed tracker that cannot be imported."""
    return BadInput(f"{name} cannot be imported ({error}); .venv/bin/pip install {PACKAGES[name]}")


@dataclass
class Exported:
    """A file that records what was written of a run, for trackers that cannot be queried.

    key: identifies the destination, such as the project; a record with another key is ignored.
    """

    path: Path
    key: Any
    rows: int = 0
    digest: str = ""
    last: str = ""  # `Run.last_hash`
    of_another: bool = False  # whether something was written under another key

    @classmethod
    def read(cls, path: Path, key: Any) -> Exported:
        """The last record, or an empty one."""
        try:
            content = read_json(path)
        except BadInput:  # missing, or damaged
            content = {}
        if content.get("key") != digest(key):
            return cls(path, key, of_another=bool(content))
        return cls(path, key, content["rows"], content["digest"], content["last"])

    def first_new(self, rows: Sequence[Row]) -> int | None:
        """Index of the first row that was not written; None if earlier ones have changed."""
        if digest(rows[: self.rows]) == self.digest or not self.rows:
            return self.rows
        return None

    def has_all(self, run: Run) -> bool:
        """Whether all of a run was written: its rows, summary and config."""
        return self.first_new(run.rows) == len(run.rows) and self.last == run.last_hash

    def write(self, rows: Sequence[Row], last: str) -> None:
        """Record a completed export."""
        write_json(self.path, {"key": digest(self.key), "rows": len(rows),
                               "digest": digest(rows), "last": last})  # fmt: skip


def of_another_study(tracker_name: str, run: Run, project: str, group: Any) -> BadInput:
    """The error for a run id that another study uses in the same project."""
    return BadInput(f"{tracker_name}: project {project}: run {run.id} is of the study {group!r}, "
                    f"expected {run.group!r}; give another project with --project")  # fmt: skip
