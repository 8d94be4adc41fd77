"""What stage 4 left of a study, as one tree of numbers.

    {"points": {point: {"metrics": …, "metrics_<task>": …}},
     "comparison": {"aggregated_metrics.json": …, "failures_<point>.md": …,
                    "<table>.csv": {row: …}},
     "runs": {what: …}}                                   of --run-ids

What repeats these numbers is left out: CSV views, final_metrics, significance. So are sentences:
of a claim there is its verdict by its words, of a report in Markdown the numbers of its tables.
"""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.analysis.tables import directory_of

LONG = 15  # numbers of a list, above which every fifth stands for five: quantiles of a curve
EVERY = 5
PROSE = ("findings", "study", "note")
TABLES = {  # whose rows aggregated_metrics.json lacks → columns that name a row
    "rewards": ("point", "right", "share"),
    "transfer": ("point", "set"),
    "unique_answers": ("point", "answers"),
}
CLAIM = {"criterion", "verdict", "number"}
NUMBER = re.compile(r"[+−-]?\d[\d,.]*")


def collected(results: Path, runs: Mapping[str, Path]) -> dict[str, Any]:
    """The tree of a study. results: results/<study>/; runs: what → the directory of its points."""
    points = {
        directory.name: {path.stem: read(path) for path in found}
        for directory in sorted(results.iterdir())
        if (found := sorted(directory.glob("metrics*.json")))
    }
    tree = {"points": points, "comparison": comparison(results / "comparison")}
    of_runs = {what: comparison(place) for what, place in runs.items()}
    return tree | ({"runs": of_runs} if of_runs else {})


def comparison(directory: Path) -> dict[str, Any]:
    """The files of a comparison that say something of their own."""
    files = [directory / "aggregated_metrics.json", *sorted(directory.glob("failures_*.md"))]
    tables = {name: directory_of(directory) / f"{name}.csv" for name in TABLES}
    return {path.name: read(path) for path in files} | {
        path.name: table(path, TABLES[name]) for name, path in tables.items() if path.exists()
    }


def table(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Rows of a table by what these columns say of them."""
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return {
        ", ".join(row[key] for key in keys): {k: cell(v) for k, v in row.items() if k not in keys}
        for row in rows
    }


def cell(text: str) -> Any:
    """A cell of a CSV file as the number or word that it is; None where empty."""
    try:
        return rounded(float(text)) if text else None
    except ValueError:
        return text


def read(path: Path) -> Any:
    """A file as a tree."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return without_prose(json.loads(text))
    return [
        found for line in text.splitlines() if line.startswith("|") and (found := numbers(line))
    ]


def without_prose(tree: Any) -> Any:
    """A tree without prose; of long lists of numbers every fifth; claims by their words."""
    if isinstance(tree, dict):
        return {key: without_prose(value) for key, value in tree.items() if key not in PROSE}
    if isinstance(tree, list):
        if tree and all(isinstance(one, dict) and set(one) == CLAIM for one in tree):
            return {one["criterion"]: one["verdict"] for one in tree}
        plain = all(not isinstance(one, dict | list | str) for one in tree)
        return (
            without_prose(tree[::EVERY])
            if plain and len(tree) > LONG
            else [without_prose(one) for one in tree]
        )
    return rounded(tree)


def numbers(text: str) -> list[str]:
    """The numbers that a line names."""
    return [found.strip(",.") for found in NUMBER.findall(text)]


def rounded(value: Any) -> Any:
    """Floats with 12 significant digits."""
    return float(f"{value:.12g}") if isinstance(value, float) else value
