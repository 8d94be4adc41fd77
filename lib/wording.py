"""How comparisons put what they found: verdicts, criteria.md, rates, numbers with bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PASS, FAIL, UNDECIDED, UNKNOWN = "pass", "fail", "undecided", "not measurable"
FINAL = ("done", "partial", "diverged")  # results, all of them; anything else may still come
COLUMNS = ("criterion", "verdict", "number")


def markdown(tables: Mapping[str, Any], heading: str, noun: str) -> str:
    """criteria.md: `findings` as a list, `criteria` (rows with COLUMNS) as a table.

    heading: of the table; noun: what its rows are.
    """
    found = [f"- {finding}" for finding in tables["findings"]]
    lines = ["# What the study found", "", *found, "", f"# {heading}", ""]
    lines += [f"| {noun} | verdict | number |", "| --- | --- | --- |"]
    for row in tables["criteria"]:
        cells = (row[key].replace("|", "\\|") for key in COLUMNS)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def percent(rate: float | None) -> str:
    """0.1234 → `12.3 %`."""
    return "unknown" if rate is None else f"{100 * rate:.1f} %"


def over_seeds(text: str, spreads: Iterable[float | None]) -> str:
    """`text` (of what intervals speak), and how far accuracy varies over seeds beyond that.

    spreads: standard deviation of accuracy over the seeds of each setting, None where it has one.
    """
    known = [spread for spread in spreads if spread is not None]
    if not known:
        return f"{text}, of which one seed a setting tells nothing."
    return (
        f"{text}: over seeds the standard deviation of accuracy is {100 * min(known):.1f} to "
        f"{100 * max(known):.1f} points in {len(known)} settings."
    )


def bounded(name: str, found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Columns `name`, `name_low`, `name_high` of {"value", "low", "high"}; None where unknown."""
    found = found or {}
    return {
        name: found.get("value"),
        f"{name}_low": found.get("low"),
        f"{name}_high": found.get("high"),
    }
