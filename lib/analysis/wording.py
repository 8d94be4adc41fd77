"""Verdicts, the text of criteria.md, and how claims and tables put numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PASS, FAIL, UNDECIDED, UNKNOWN = "pass", "fail", "undecided", "not measurable"
FINAL = ("done", "partial", "diverged")  # results, all of them; anything else may still come
COLUMNS = ("criterion", "verdict", "number")


def markdown(criteria: Sequence[Mapping[str, str]]) -> str:
    """criteria.md: rows with COLUMNS as a table."""
    if not criteria:
        return "# Claims\n\nThe study file makes no claims, so there are no verdicts.\n"
    lines = ["# Claims", "", "| claim | verdict | number |", "| --- | --- | --- |"]
    for row in criteria:
        cells = (row[key].replace("|", "\\|") for key in COLUMNS)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def percent(rate: float | None) -> str:
    """0.1234 → `12.3 %`."""
    return "unknown" if rate is None else f"{100 * rate:.1f} %"


def signed(value: float, digits: int = 1) -> str:
    """+1.2, −0.3 or 0.0."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]
