"""What stage 4 left of a study, as one tree of numbers and words.

    {"points": {point: {"metrics": …, "metrics_<task>": …}},
     "comparison": {file: …},
     "runs": {what: {file: …}}}                    of --run-ids

Sentences are left out: of a criterion there is its verdict and the numbers that it names. Tables
have a list of cells a row; large ones, whose numbers the JSON beside them has too, and the samples
of a point are summed up by column.
"""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LONG = 15  # numbers of a list, above which one stands for five: quantiles, points of a curve
EVERY = 5
CELLS = 400  # of a table, above which its columns are summed
PROSE = ("findings", "study", "note")
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
    """Every file of a comparison but criteria.md, whose table the JSON has too."""
    files = sorted(path for path in directory.iterdir() if path.is_file())
    return {path.name: read(path) for path in files if path.name != "criteria.md"}


def read(path: Path) -> Any:
    """A file as a tree."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return without_prose(json.loads(text))
    if path.suffix == ".csv":
        return table(list(csv.DictReader(text.splitlines())))
    if path.suffix == ".jsonl":
        return summed(flat(json.loads(line)) for line in text.splitlines())
    return [
        found for line in text.splitlines() if line.startswith("|") and (found := numbers(line))
    ]


def without_prose(tree: Any) -> Any:
    """A tree without prose; of long lists of numbers every fifth."""
    if isinstance(tree, dict):
        if set(tree) == {"criterion", "verdict", "number"}:
            return {**tree, "number": numbers(tree["number"])}
        return {key: without_prose(value) for key, value in tree.items() if key not in PROSE}
    if isinstance(tree, list):
        plain = all(not isinstance(one, dict | list | str) for one in tree)
        return (
            without_prose(tree[::EVERY])
            if plain and len(tree) > LONG
            else [without_prose(one) for one in tree]
        )
    return rounded(tree)


def table(rows: list[dict[str, str]]) -> dict[str, Any]:
    """{"columns", "rows": {label: cells}}, or sums by column.

    label: as many of the first cells as tell all rows apart.
    """
    columns = [c for c in rows[0] if c not in PROSE] if rows else []
    cells = [[cell(row[column]) for column in columns] for row in rows]
    if len(rows) * len(columns) > CELLS:
        return summed(dict(zip(columns, row, strict=True)) for row in cells)
    width = next((n for n in range(1, len(columns) + 1) if len({str(c[:n]) for c in cells})
                  == len(cells)), 0)  # fmt: skip
    named = {", ".join(map(str, row[:width])): row[width:] for row in cells}
    return {"columns": columns[width:], "rows": named}


def cell(text: str) -> Any:
    """A cell of a CSV file as the number, truth value or word that it is; None where empty."""
    if text in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[text]
    try:
        return rounded(float(text) if "." in text or "e" in text else int(text))
    except ValueError:
        return text


def flat(tree: Any, path: str = "") -> dict[str, list[Any]]:
    """Path without places of lists → every value there."""
    found: dict[str, list[Any]] = {}
    inside = tree.items() if isinstance(tree, dict) else [("", one) for one in tree]
    for key, value in inside:
        below = f"{path}.{key}".strip(".")
        deeper = isinstance(value, dict | list)
        for name, values in (flat(value, below) if deeper else {below: [value]}).items():
            found.setdefault(name, []).extend(values)
    return found


def summed(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Column → how many values it has, and their sum, each times its place, so that rows cannot
    change places; of words, how many different ones.
    """
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    found: dict[str, Any] = {}
    for name, values in columns.items():
        there = [(place, value) for place, value in enumerate(values, 1) if value is not None]
        words = {value for _, value in there if isinstance(value, str)}
        total = sum(place * value for place, value in there) if not words else len(words)
        found[name] = {"n": len(there), "different" if words else "sum_by_place": rounded(total)}
    return found


def numbers(text: str) -> list[str]:
    """The numbers that a sentence names."""
    return [found.strip(",.") for found in NUMBER.findall(text)]


def rounded(value: Any) -> Any:
    """Floats with 12 significant digits."""
    return float(f"{value:.12g}") if isinstance(value, float) else value
