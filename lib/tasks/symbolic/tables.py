"""Flat rows of the comparison, for CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import bounded
from lib.tasks.symbolic.comparison import AWAY, FAMILIES
from lib.tasks.symbolic.evaluate import GAINS, STRATEGIES
from lib.tasks.symbolic.samples import ALL

BOUNDS = ("value", "low", "high")


def flat_rows(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """aggregated_metrics.csv: one row a point, in grid order, all with the same columns.

    Of each set the greedy accuracy, the votes over all subsets of the most samples (`n`), the
    failures, and the differences from the reference.
    """
    axes = list(dict.fromkeys(axis for t in made["points"].values() for axis in t["values"]))
    rows = []
    for name, table in made["points"].items():
        row = {"point": name, **{axis: table["values"].get(axis) for axis in axes}}
        row |= {key: table[key] for key in ("status", "model", "tuned", "samples")}
        row["n"] = max(table["draws"] or (), default=None)
        row |= {key: table[key] for key in ("judge", "judge_unread", "reference")}
        for place in made["sets"]:
            found = (table["sets"] or {}).get(place) or {}
            row |= _of_set(place, found, row["n"])
            if place != ALL:
                row |= _differences(place, table["differences"].get(place) or {})
        for place in AWAY:
            if place in made["sets"]:
                row |= bounded(f"transfer_to_{place}", table["transfer"].get(place))
        rows.append(row)
    return rows


def _of_set(place: str, found: Mapping[str, Any], n: int | None) -> dict[str, Any]:
    row = {f"{place}_rows": found.get("rows")}
    row |= bounded(f"{place}_accuracy", found.get("accuracy"))
    for strategy in STRATEGIES:
        votes = found.get("votes", {}).get(strategy, {}).get("subsets", {})
        row |= bounded(f"{place}_{strategy}", votes.get(str(n)))
    for strategy in GAINS:
        row |= bounded(f"{place}_gain_{strategy}", found.get("gain", {}).get(strategy))
    row[f"{place}_unique"] = found.get("unique", {}).get("mean")
    row[f"{place}_solvable"] = found.get("solvable")
    for strategy in ("majority", "best"):
        row[f"{place}_{strategy}_failures"] = found.get("failures", {}).get(strategy)
    row |= bounded(f"{place}_reward_auc", (found.get("reward") or {}).get("auc"))
    return row


def _differences(place: str, tests: Mapping[str, Any]) -> dict[str, Any]:
    row = {}
    for family in FAMILIES:
        test = tests.get(family) or {}
        row |= bounded(f"{place}_{family}_minus_reference", test)
        row[f"{place}_{family}_p_holm"] = test.get("p_holm")
    return row


def vote_rows(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """votes.csv: one row a point, set, strategy, estimator and n.

    estimator: `first` (the first n samples), `subsets` (all subsets of n), ties in expectation;
    `first_seen` (the first n samples, ties to the first seen), of the majority alone.
    """
    rows = []
    for name, table in made["points"].items():
        for place, found in (table["sets"] or {}).items():
            estimates = [
                (strategy, how, by_n)
                for strategy, by_how in found["votes"].items()
                for how, by_n in by_how.items()
            ]
            estimates.append(("majority", "first_seen", found["first_seen"]))
            for strategy, how, by_n in estimates:
                for n, one in by_n.items():
                    key = {"point": name, "set": place, "strategy": strategy, "estimator": how}
                    rows.append({**key, "n": int(n), **{k: one[k] for k in (*BOUNDS, "method")}})
    return rows


def difference_rows(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """differences.csv: one row a test, of a tuned point against its reference on one set."""
    return [
        {"point": name, "reference": table["reference"], "set": place, "measure": family, **test}
        for name, table in made["points"].items()
        for place, tests in table["differences"].items()
        for family, test in tests.items()
        if test
    ]
