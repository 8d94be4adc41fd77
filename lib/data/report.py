"""What became of the rows that stage 1 read: each reason for leaving some out, as one line.

Reports of the tasks count under the names below, wherever in a report that is; a count is a number,
or numbers by kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

# Name of a count → (why rows are left out, the key of the study that decides it).
DROPS: dict[str, tuple[str, str]] = {
    "dropped_labels": ("decisions to leave out", "data.drop_labels"),
    "dropped_empty": ("no text, or an empty answer", "data.drop_empty"),
    "dropped_duplicates": ("repeat an earlier row", "no key: the first one stays"),
    "dropped_repeated": ("repeat an earlier question", "no key: the first one stays"),
    "dropped_ties": ("neither answer is preferred", "data.columns.choice"),
    "dropped_equal": ("both answers are equal", "no key: nothing is preferred"),
    "dropped_parted": ("part before the last answer", "no key: one answer is compared"),
    "dropped_unasked": ("the last answers follow an answer", "no key: a question is needed"),
    "dropped_truncated": ("no token of an answer is left", "model.max_length"),
    "dropped_as_in_test": ("are in the test set", "data.test_source"),
    "dropped_as_in_dev": ("are in a dev set", "data.files or data.source"),
    "dropped_as_example": ("are the examples of prompts", "data.shot_pool"),
    "dropped_as_in_validation": ("are validation rows", "data.validation_rows"),
    "dropped_alike": ("tell the story of a trained template", "data.test_ids"),
    "no_majority_label": ("have no label that a majority gave", "no key: nothing to learn"),
}


def tally(rows: Collection[Mapping[str, Any]], *columns: str) -> dict[str, Any]:
    """How many rows there are, and how many of each value of those columns that they have."""
    counts = {
        column: Counter(str(row[column]) for row in rows if column in row) for column in columns
    }
    of_values = {column: dict(sorted(count.items())) for column, count in counts.items() if count}
    return {"rows": len(rows), **of_values}


def drop_lines(manifest: Mapping[str, Any]) -> list[str]:
    """One line for each reason for which rows were left out, shortened or are fewer than asked."""
    report = dict(manifest["report"])
    truncated = {key: manifest[key] for key in ("dropped_truncated",) if key in manifest}
    lines = list(_lines(report | truncated, "", not report.get("debug")))
    if report.get("limit") and report["limit"] < report["read"]:
        lines.append(f"{report['limit']:,} of {report['read']:,} rows drawn, each kind with its "
                     f"share ({manifest.get('task', '')}.limit)")  # fmt: skip
    for name, cut in manifest.get("cut", {}).items():  # by split; of several models those of each
        for split, count in cut.items() if isinstance(cut, Mapping) else [("", cut)]:
            if count:
                lines.append(f"{f'{name} {split}'.strip()}: {count:,} rows shortened "
                             f"(model.max_length)")  # fmt: skip
    return lines


def _lines(report: Mapping[str, Any], place: str, short: bool) -> Iterator[str]:
    """Lines of a report and of all within it. short: also of splits of fewer rows than asked."""
    source = report.get("source")
    place = source if isinstance(source, str) else place
    for key, value in report.items():
        if key in DROPS and (line := _dropped(key, value, report.get("read"))):
            yield f"{place or 'data'}: {line}"
        elif key == "columns_not_read" and value:
            yield f"{place or 'data'}: columns not read: {', '.join(value)} (data.columns)"
        elif key not in DROPS and isinstance(value, Mapping):
            inner = place if source or key in ("tasks", "splits") else f"{place} {key}".strip()
            yield from _lines(value, inner, short)
    asked = report.get("asked")
    if short and isinstance(asked, int) and report["rows"] < asked:
        yield f"{place}: {report['rows']:,} rows, {asked:,} asked for ({report['key']})"


def _dropped(key: str, value: Any, read: int | None) -> str:
    """`42 of 60 rows (70.0 %) left out: why (key)`; empty where none were."""
    kinds = value if isinstance(value, Mapping) else {}
    count = sum(kinds.values()) if kinds else value or 0
    if not count:
        return ""
    why, governed = DROPS[key]
    of_kinds = ", ".join(f"{kind} {n:,}" for kind, n in kinds.items() if n)
    share = f" of {read:,} rows ({100 * count / read:.1f} %)" if read else " rows"
    return f"{count:,}{share} left out: {why}{f': {of_kinds}' if of_kinds else ''} ({governed})"
