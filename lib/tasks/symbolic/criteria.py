"""Verdicts on what the study asks: what tuning gains by set, and what samples gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import COLUMNS, FAIL, PASS, UNDECIDED, UNKNOWN
from lib.tasks.symbolic.samples import whole
from lib.tasks.symbolic.schema import SETS

TITLES = {
    "in_distribution": "new instances of trained templates",
    "same_templates": "GSM8K problems of trained templates",
    "new_templates": "problems of new templates",
    "all": "all test questions",
}
GAINED = {
    "majority": "the majority of {n} gains over one sample",
    "best_over_majority": "the best of {n} gains over their majority",
}


def judge(made: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a tuned point and set, then one a point and use of its samples.

    Tuning: pass or fail where Holm's adjusted p-value of greedy accuracy is below 1 − level.
    Samples: where the interval of the gain over all questions excludes 0.
    """
    tuned = {n: t for n, t in made["points"].items() if t["tuned"]}
    found = [
        _tuning(name, table, place, made)
        for name, table in tuned.items()
        for place in SETS
        if place in made["sets"]
    ]
    for name, table in made["points"].items():
        if table["sets"] and table["samples"]:
            found += [_samples(name, table, gain, made) for gain in GAINED]
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def difference(found: Mapping[str, Any] | None, unit: str = "points") -> str:
    """`+4.2 [+1.0, +7.3] points`, `unknown`."""
    if found is None or found["value"] is None:
        return "unknown"
    text = f"{100 * found['value']:+.1f}"
    if found["low"] is not None:
        text += f" [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"
    return f"{text} {unit}".replace("-", "−")


def _tuning(
    name: str, table: Mapping[str, Any], place: str, made: Mapping[str, Any]
) -> tuple[str, str, str]:
    what = f"{name}: tuning gains accuracy on {TITLES[place]}"
    test = table["differences"].get(place, {}).get("accuracy")
    if test is None:
        why = table["status"] if table["status"] != "done" else "no measured reference"
        return what, UNKNOWN, why
    verdict = UNDECIDED
    if test["p_holm"] < 1 - made["level"]:
        verdict = PASS if test["value"] > 0 else FAIL
    counts = f"{test['only_point']} to {test['only_reference']} of {test['items']}"
    number = f"{difference(test)} from {table['reference']} ({counts} questions), Holm's p "
    return what, verdict, number + f"{test['p_holm']:.2g}"


def _samples(
    name: str, table: Mapping[str, Any], gain: str, made: Mapping[str, Any]
) -> tuple[str, str, str]:
    what = f"{name}: {GAINED[gain].format(n=max(table['draws']))}"
    found = whole(table["sets"])["gain"][gain]
    if table["status"] == "partial":
        return what, UNKNOWN, f"only {table['rows']} of {made['rows']} questions"
    if found["value"] is None:
        return what, UNKNOWN, "no rewards"
    if found["low"] is None or found["low"] <= 0 <= found["high"]:
        return what, UNDECIDED, difference(found)
    return what, PASS if found["low"] > 0 else FAIL, difference(found)
