"""Points side by side: rates, and paired differences from the baseline.

Two families of tests are declared here, each adjusted by Holm over all its members: `accuracy` and
`safety`, exact McNemar tests of each point against its reference on the items that both have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lib.analysis.rates import difference
from lib.analysis.statistics import holm, mcnemar, resample_counts
from lib.config.points import find_baseline
from lib.config.tasks import PointResult, Row
from lib.tasks.math.data import rendering

FAMILIES = ("accuracy", "safety")
Items = Mapping[str, bool]  # item → whether it is right, or safe


def measured(point: PointResult) -> bool:
    """Whether a point has answers to the problems. A diverged run has none."""
    return point.status == "done" and point.metrics is not None


def tabulate(
    points: Sequence[PointResult], rows: Sequence[Row], eval_config: Any
) -> dict[str, Any]:
    """Every comparison, JSON-able.

        {"rows": test problems, "level", "resamples", "full_test",
         "baseline": {"name", "reason"},    reason: why nothing relative to it is known
         "families": {"accuracy": tests in it, "safety": …},
         "points": {name: {
             "status", "values", "variant", "shots",
             "metrics": {"accuracy", "accuracy_strict", "safety": rate | null},
             "rows", "no_number", "unended", "by_steps",         null where not measured
             "safety": metrics of the safety task without items | null,
             "reference": name | null, "same_prompts": whether it has the same examples,
             "accuracy_difference", "safety_difference": paired | null}}}

    rate: {"value", "low", "high", "numerator", "denominator"}. paired: {"value", "low", "high",
    "items", "only_point", "only_reference", "p_value", "p_holm"}: rate minus the reference's on the
    `items` that both have, and how many only one of the two has right. Its interval: see
    `lib.analysis.rates`.

    The reference of a point is the point that `evaluate.baseline` names, or one of the same variant
    that renders the same prompts, where there is one: so a 5-shot point meets a 5-shot baseline.
    Points of that variant with other prompts than the baseline's are there for that alone.
    A partial point (of fewer test rows) has its rates, and is compared with nothing.
    """
    name, reason = find_baseline(
        points, eval_config, lambda p: None if measured(p) or p.others else f"is {p.status}"
    )
    tables = {point.name: _of_point(point) for point in points}
    by_name = {point.name: point for point in points}
    items = {p.name: {"accuracy": _right(p), "safety": _safe(p)} for p in points}
    for point in points if reason is None else ():
        table = tables[point.name]
        other = reference_of(point, by_name[name], points)
        if other is None or point.status == "partial":
            continue
        table["reference"] = other.name
        table["same_prompts"] = rendering(point.config.data) == rendering(other.config.data)
        for family in FAMILIES:
            found = paired(items[point.name][family], items[other.name][family], eval_config)
            table[f"{family}_difference"] = found
    return {
        "rows": len(rows),
        "level": eval_config.level,
        "resamples": eval_config.resamples,
        "full_test": eval_config.full_test,
        "baseline": {"name": name, "reason": reason},
        "families": _adjust(tables),
        "points": tables,
    }


def reference_of(
    point: PointResult, baseline: PointResult, points: Sequence[PointResult]
) -> PointResult | None:
    """The baseline, or a point of its variant that renders the prompts of `point`.

    Of several, the one that shares most axis values with the point. None for the baseline itself,
    and for a point of its variant with other prompts.
    """
    variant, prompts = baseline.values.get("variant"), rendering(point.config.data)
    own = variant is not None and point.values.get("variant") == variant
    if point.name == baseline.name or (own and prompts != rendering(baseline.config.data)):
        return None
    alike = [
        other
        for other in points
        if other.values.get("variant") == variant is not None
        and rendering(other.config.data) == prompts
        and measured(other) == measured(baseline)
    ]
    return baseline if own else max(alike, key=lambda p: _shared(p, point), default=baseline)


def paired(ours: Items | None, theirs: Items | None, eval_config: Any) -> dict[str, Any] | None:
    """See `tabulate`; None where either side has no items, or they share none."""
    shared = [item for item in ours or () if item in (theirs or ())]
    if not shared:
        return None
    a, b = (np.array([side[item] for item in shared], dtype=float) for side in (ours, theirs))
    counts = resample_counts(len(shared), eval_config.resamples, eval_config.seed)
    test = mcnemar(a, b)
    return {
        **difference(a - b, counts, len(shared), eval_config.level),
        "items": len(shared),
        "only_point": test.b,
        "only_reference": test.c,
        "p_value": test.p_value,
        "p_holm": None,
    }


def _shared(one: PointResult, other: PointResult) -> int:
    return sum(other.values.get(axis) == value for axis, value in one.values.items())


def _of_point(point: PointResult) -> dict[str, Any]:
    metrics = point.metrics if measured(point) or point.status == "partial" else None
    safety = point.others.get("safety")
    found = dict((metrics or {"metrics": {}})["metrics"])
    return {
        "status": point.status,
        "values": point.values,
        "variant": point.values.get("variant"),
        "shots": point.config.data.shots,
        "metrics": {
            "accuracy": found.get("accuracy"),
            "accuracy_strict": found.get("accuracy_strict"),
            "safety": _safety(safety),
        },
        **{key: metrics and metrics[key] for key in ("rows", "no_number", "unended", "by_steps")},
        "safety": safety and {k: v for k, v in safety.items() if k != "verdicts"},
        "reference": None,
        "same_prompts": None,
        **{f"{family}_difference": None for family in FAMILIES},
    }


def _safety(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The rate of safe answers, with the counts that it is made of; None where it is unknown."""
    if not found or found["value"] is None:
        return None
    counts = {"numerator": found["safe"], "denominator": found["scored"]}
    return {key: found[key] for key in ("value", "low", "high")} | counts


def _right(point: PointResult) -> Items | None:
    if not measured(point) or point.predictions is None:
        return None
    return {p["id"]: p["correct"] for p in point.predictions}


def _safe(point: PointResult) -> Items | None:
    """Whether each answer is safe, of those that a judge has said something readable of."""
    verdicts = (point.others.get("safety") or {}).get("verdicts") or {}
    told = {item: v for item, v in verdicts.items() if v not in ("unparsable", "unscored")}
    return {item: v == "safe" for item, v in told.items()} or None


def _adjust(tables: Mapping[str, Any]) -> dict[str, int]:
    """Put Holm-adjusted p-values into each family; returns the families' sizes."""
    sizes = {}
    for family in FAMILIES:
        tests = {n: d for n, table in tables.items() if (d := table[f"{family}_difference"])}
        for name, p in holm({n: test["p_value"] for n, test in tests.items()}).items():
            tests[name]["p_holm"] = p
        sizes[family] = len(tests)
    return sizes
