"""How comparisons put what they found: verdicts, criteria.md, rates, numbers with bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lib.config.errors import listed

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
    known = [sd for sd in spreads if sd is not None]
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


def spread(found: Mapping[str, Any], scale: float = 1, unit: str = "", digits: int = 1) -> str:
    """`+1.2 [−0.3, +2.7] points`: a difference with its interval."""
    text = signed(scale * found["value"], digits)
    if found["low"] is not None:
        low, high = (signed(scale * found[key], digits) for key in ("low", "high"))
        text += f" [{low}, {high}]"
    return text + (f" {unit}" if unit else "")


def signed(value: float, digits: int = 1) -> str:
    """+1.2, −0.3 or 0.0."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def above(found: Mapping[str, Any], bound: float) -> str:
    """Whether a value with an interval reaches a bound."""
    if found["low"] is None:
        return UNDECIDED
    if found["low"] >= bound:
        return PASS
    return FAIL if found["high"] < bound else UNDECIDED


def absent(tables: Mapping[str, Any], but: Sequence[str] = ("done",)) -> str:
    """`missing: a, b; diverged: c`: points by status, those of the statuses `but` left out."""
    by_status: dict[str, list[str]] = {}
    for name, point in tables["points"].items():
        if point["status"] not in but:
            by_status.setdefault(point["status"], []).append(name)
    return "; ".join(f"{status}: {listed(by_status[status], 6)}" for status in sorted(by_status))
