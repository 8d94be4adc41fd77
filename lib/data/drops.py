"""What became of the rows that stage 1 read: each reason for leaving some out, as one line.

Reports of the tasks count under the names below, wherever in a report that is; a count is a number,
or numbers by kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def drop_lines(manifest: Mapping[str, Any]) -> list[str]:
    """One line for each reason for which rows were left out, shortened or are fewer than asked."""
    report = manifest["report"]
    lines = list(_dropped(report, ""))
    counts = {key: manifest[key] for key in ("dropped_truncated",) if key in manifest}
    lines += _dropped(counts, "")
    lines += _limited(report, manifest.get("task", ""))
    lines += [
        f"{split}: {count:,} rows shortened (model.max_length)"
        for split, count in _by_split(manifest.get("cut", {}))
        if count
    ]
    return lines + ([] if report.get("debug") else list(_short(report, "")))


def _dropped(report: Mapping[str, Any], place: str) -> Iterator[str]:
    named = report.get("source")
    place = named if isinstance(named, str) else place
    for key, value in report.items():
        if key in DROPS:
            kinds = value if isinstance(value, Mapping) else {}
            count = sum(kinds.values()) if kinds else value or 0
            if not count:
                continue
            why, governed = DROPS[key]
            told = ", ".join(f"{kind} {n:,}" for kind, n in kinds.items() if n)
            read = report.get("read")
            share = f" of {read:,} rows ({100 * count / read:.1f} %)" if read else " rows"
            yield (
                f"{place or 'data'}: {count:,}{share} left out: {why}"
                f"{f': {told}' if told else ''} ({governed})"
            )
        elif key == "columns_not_read" and value:
            yield f"{place or 'data'}: columns not read: {', '.join(value)} (data.columns)"
        elif isinstance(value, Mapping):
            yield from _dropped(value, f"{place} {key}".strip() if not named else place)


def _limited(report: Mapping[str, Any], task: str) -> Iterator[str]:
    limit, read = report.get("limit"), report.get("read")
    if limit is not None and limit < read:
        yield f"{limit:,} of {read:,} rows drawn, each kind with its share ({task}.limit)"


def _by_split(cut: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Counts by split; of several models those of each."""
    for name, value in cut.items():
        if isinstance(value, Mapping):
            yield from ((f"{name} {split}", count) for split, count in value.items())
        else:
            yield name, value


def _short(report: Mapping[str, Any], place: str) -> Iterator[str]:
    """Splits of fewer rows than a key of the study asks for."""
    for key, value in report.items():
        if not isinstance(value, Mapping):
            continue
        asked, rows = value.get("asked"), value.get("rows")
        name = f"{place} {key}".strip() if key not in ("tasks", "splits") else place
        if isinstance(asked, int) and isinstance(rows, int):
            if rows < asked:
                yield f"{name}: {rows:,} rows, {asked:,} asked for ({value['key']})"
        else:
            yield from _short(value, name)
