"""Paired tests between methods and against the baseline, in families declared here.

    methods    every two lines of different variants at the same β
    baseline   every setting against the baseline's

each for accuracy and, where a judge rated answers, for MT-Bench: four families at most, each
adjusted by Holm over all its members.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from lib.analysis.paired import Measure, paired
from lib.analysis.statistics import holm
from lib.tasks.preference.cells import Line, Setting

TEST = "exact sign-flip test of the differences, each item averaged over seeds; clusters flip whole"


def families(
    measures: Mapping[str, Measure | None],
    settings: Mapping[Setting, Sequence[str]],
    lines: Mapping[Line, Sequence[Setting]],
    baseline: Setting | None,
    level: float,
) -> dict[str, Any]:
    """significance.json.

        {"test": …, "adjustment": "holm", "level": …,
         "families": {name: {"measure", "size": tests with a p-value, "members": [
             {"a", "b": labels, "beta", "points_a", "points_b": seeds with values,
              "difference", "rate": {value, low, high}, "standard_error", "items", "independent",
              "p_value", "p_holm"}]}}}

    A comparison of which either side has no value is a member with nulls: it is shown, and does not
    count in Holm's adjustment. A seed without a value (diverged, missing) is in no average.
    """
    found = {}
    for measure_name, measure in measures.items():
        if measure is None:
            continue
        pairs = {"methods": list(_methods(lines))}
        if baseline is not None:
            pairs["baseline"] = [(s, baseline) for s in settings if s != baseline]
        for family, members in pairs.items():
            name = family if measure_name == "accuracy" else f"{family}_{measure_name}"
            tests = [_member(measure, settings, a, b, level) for a, b in members]
            adjusted = holm({str(i): test["p_value"] for i, test in enumerate(tests)})
            for i, test in enumerate(tests):
                test["p_holm"] = adjusted[str(i)]
            size = sum(test["p_value"] is not None for test in tests)
            found[name] = {"measure": measure_name, "size": size, "members": tests}
    return {"test": TEST, "adjustment": "holm", "level": level, "families": found}


def _methods(lines: Mapping[Line, Sequence[Setting]]) -> Iterator[tuple[Setting, Setting]]:
    """(later, earlier) settings of two variants with the same β and no other axis apart."""
    for earlier, later in combinations(lines, 2):
        shared = dict(earlier.rest)
        alike = all(shared.get(axis, value) == value for axis, value in later.rest)
        if earlier.variant == later.variant or not alike:
            continue
        for setting in lines[later]:
            if (other := Setting(earlier, setting.beta)) in lines[earlier]:
                yield setting, other


def _member(
    measure: Measure,
    settings: Mapping[Setting, Sequence[str]],
    a: Setting,
    b: Setting,
    level: float,
) -> dict[str, Any]:
    nothing = {"value": None, "low": None, "high": None}
    empty = {"difference": nothing, "rate": nothing, "standard_error": None, "items": 0}
    empty |= {"independent": 0, "p_value": None}
    found = paired(measure, settings[a], settings[b], level)
    return {
        "a": a.label,
        "b": b.label,
        "beta": a.beta,
        "points_a": [name for name in settings[a] if name in measure.values],
        "points_b": [name for name in settings[b] if name in measure.values],
        **(found or empty),
        "p_holm": None,
    }
