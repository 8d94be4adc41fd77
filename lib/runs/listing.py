"""The listing of a study's points, so that tables of large grids need not resolve each of them.

results/<study>/grid.csv       index, name and axis values of every point
results/<study>/listing.json   what it was made from, see `_key`
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.config.errors import BadInput
from lib.config.grid import Value, digest
from lib.runs.files import as_csv, read_json, write_json, write_text

if TYPE_CHECKING:
    from lib.config.study import Study

GRID, KEY = "grid.csv", "listing.json"
LIB = Path(__file__).parents[1]
NAMING = ("config/*.py", "losses.py", "tasks/*/schema.py")  # code that names of points depend on


class Listed(NamedTuple):
    """A point that is not resolved."""

    index: int
    name: str
    values: dict[str, Value]


def write_listing(study: Study) -> None:
    """Write grid.csv, and what it was made from."""
    rows = [{"index": p.index, "name": p.name, **p.values} for p in study.points()]
    write_text(study.directory / GRID, as_csv(rows))
    write_json(study.directory / KEY, {"key": _key(study)})


def read_listing(study: Study) -> list[Listed] | None:
    """The points by grid.csv; None where it is missing, damaged, or of another study or code."""
    try:
        if read_json(study.directory / KEY) != {"key": _key(study)}:
            return None
        text = (study.directory / GRID).read_text(encoding="utf-8")
        names = [row["name"] for row in csv.DictReader(text.splitlines())]
    except (BadInput, OSError, KeyError, UnicodeDecodeError):
        return None
    return listed(study, names) if len(names) == len(study.grid) else None


def listed(study: Study, names: Sequence[str]) -> list[Listed]:
    """The points of a study by their names, in grid order."""
    return [Listed(i, name, study.grid.values(i)) for i, name in enumerate(names)]


def _key(study: Study) -> str:
    code = hashlib.sha256()
    for path in sorted(path for pattern in NAMING for path in LIB.glob(pattern)):
        code.update(path.read_bytes())
    return digest([study.raw, study.overrides, code.hexdigest()])
