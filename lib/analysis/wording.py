"""Verdicts, the text of criteria.md, and how claims and tables put numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PASS, FAIL, UNDECIDED, UNKNOWN = "pass", "fail", "undecided", "not measurable"
FINAL = ("done", "partial", "diverged")  # results, all of them; anything else may still come
COLUMNS = {"say": "claim", "verdict": "verdict", "number": "number", "needed": "needed to decide"}


def markdown(claims: Sequence[Mapping[str, str | None]]) -> str:
    """criteria.md: COLUMNS of claims.csv as a table."""
    if not claims:
        return "# Claims\n\nThe study file makes no claims, so there are no verdicts.\n"
    heads = " | ".join(COLUMNS.values())
    lines = ["# Claims", "", f"| {heads} |", f"| {' | '.join(['---'] * len(COLUMNS))} |"]
    for row in claims:
        cells = ((row[key] or "").replace("|", "\\|") for key in COLUMNS)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def percent(rate: float | None) -> str:
    """0.1234 → `12.3 %`."""
    return "unknown" if rate is None else f"{100 * rate:.1f} %"


def plain(value: float) -> str:
    """Three significant digits, without an exponent where whole digits say it: 0.412, 12,345."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """`0.42 s`, `23 s`, `12 min`, `3.1 h`."""
    units = ((3600, "h"), (60, "min"), (1, "s"))
    size, unit = next((pair for pair in units if seconds >= 1.5 * pair[0]), units[-1])
    value = seconds / size
    return f"{plain(float(f'{value:.2g}') if value < 100 else value)} {unit}"


def signed(value: float, digits: int = 1) -> str:
    """+1.2, −0.3 or 0.0."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]
