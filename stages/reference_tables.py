"""The README's tables that repeat what code says: written from it.

    python -m stages.reference_tables     # rewrite them in README.md

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; a test holds it to the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from lib.analysis import tables
from lib.config.figures import KINDS
from lib.runs.train_log import ALWAYS, SOMETIMES
from lib.tracking.runs import BEST
from stages.command import EXIT_CODES

README = Path(__file__).parents[1] / "README.md"
MARKED = re.compile(r"(<!-- table: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SUMMARY = {
    "final.loss": "summary: the last known value of a column, likewise of the others",
    **{f"best.{name}": "summary: the best value of a column" for name in BEST},
    "accuracy.low": "summary: what `metrics.json` has, by the names there",
}


def markdown(head: tuple[str, str], rows: Mapping[object, str]) -> str:
    """A table of two columns; keys that are words stand as code."""
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    for key, text in rows.items():
        lines.append(f"| {f'`{key}`' if isinstance(key, str) else key} | {text} |")
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "exit codes": lambda: markdown(("exit code", "meaning"), EXIT_CODES),
    "figures": lambda: markdown(
        ("kind of figure", "what it draws"),
        {
            kind: f"{text}; {', '.join(f'`{key}`' for key in (*needed, *optional))}".removesuffix(
                "; "
            )
            for kind, (text, needed, optional) in KINDS.items()
        },
    ),
    "tables": lambda: markdown(
        ("column", "what it is"),
        {
            f"{table}.{column}": text
            for table, columns in tables.TABLES.items()
            for column, text in columns.items()
        },
    ),
    "logged columns": lambda: markdown(("name", "what it is"), {**ALWAYS, **SOMETIMES, **SUMMARY}),
}


def rewritten(text: str) -> str:
    """The README with its marked tables as the code has them. KeyError for an unknown table."""
    return MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
