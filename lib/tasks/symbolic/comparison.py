"""Points side by side: the base model against its tuned points, and sets against each other.

Three families of tests are declared here, each adjusted by Holm over all its members (tuned points
× sets): `accuracy` of the greedy answers, the `majority` of all samples and the `best` of them by
reward, ties to the first seen. Each is an exact test of paired 0/1 outcomes: McNemar's where every
question has a template of its own, else the same with one coin a template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lib.analysis.metrics import weighted_mean
from lib.analysis.rates import difference
from lib.analysis.statistics import holm, paired_bootstrap_difference, sign_flip
from lib.config.points import find_baseline
from lib.config.tasks import PointResult, Row
from lib.tasks.symbolic.samples import (
    ALL,
    Samples,
    judge_of,
    places,
    read_samples,
    resamples,
    templates,
)
from lib.tasks.symbolic.schema import SETS

FAMILIES = ("accuracy", "majority", "best")
HOME, *AWAY = SETS  # trained templates, and the sets that accuracy may not carry over to


def answered(point: PointResult) -> bool:
    """Whether a point has graded answers to the test rows, or the first of them."""
    return point.status in ("done", "partial") and point.metrics is not None


def tabulate(
    points: Sequence[PointResult], rows: Sequence[Row], eval_config: Any
) -> dict[str, Any]:
    """Every comparison, JSON-able.

        {"rows": test questions, "sets": {set: questions}, "level", "resamples",
         "baseline": {"name", "reason"},     reason: why it can serve nobody
         "families": {"accuracy" | "majority" | "best": tests in it},
         "points": {name: {
             "status", "values", "variant", "model", "tuned": bool, "rows", "samples", "draws",
             "judge", "judge_unread", "sets": those of metrics.json | null,
             "reference": name | null,
             "differences": {set: {family: test | null}},
             "transfer": {set: {"value", "low", "high"} | null}}}}

    test: {"value", "low", "high", "items", "only_point", "only_reference", "p_value", "p_holm"}: a
    tuned point minus its reference on the same questions. Reference: the point of the same model
    that trains nothing, else the one that `evaluate.baseline` names. transfer: greedy accuracy on
    HOME minus that on the set; templates are resampled, so that a template that both have counts
    as one. Intervals: see `lib.analysis.rates`; of transfer a bootstrap's. A partial point (of
    fewer test rows) has its numbers, and is compared with nothing.
    """
    name, reason = find_baseline(
        points, eval_config, lambda p: None if answered(p) else f"is {p.status}"
    )
    tables = {point.name: _of_point(point) for point in points}
    found = {p.name: read_samples(p.predictions or ()) for p in points if p.status == "done"}
    clusters = templates(rows)
    counts, at = resamples(clusters, eval_config), places(rows)
    for point in points:
        table, own = tables[point.name], found.get(point.name)
        if own is None or not answered(point):
            continue
        table["transfer"] = _transfer(own, at, counts, eval_config.level)
        other = reference_of(point, points, name)
        if other is None or other.name not in found:
            continue
        table["reference"] = other.name
        for place, those in at.items():
            if place == ALL:
                continue
            table["differences"][place] = {
                family: _paired(
                    own, found[other.name], family, those, counts, clusters, eval_config
                )
                for family in FAMILIES
            }
    return {
        "rows": len(rows),
        "sets": {place: len(those) for place, those in at.items()},
        "level": eval_config.level,
        "resamples": eval_config.resamples,
        "baseline": {"name": name, "reason": reason},
        "families": _adjust(tables),
        "points": tables,
    }


def is_tuned(point: PointResult) -> bool:
    """Whether a point trains, or has an adapter that somebody trained."""
    return point.config.train.epochs > 0 or point.config.model.adapter is not None


def reference_of(
    point: PointResult, points: Sequence[PointResult], baseline: str | None
) -> PointResult | None:
    """The measured point of the same model that trains nothing, else the baseline.

    Of several such points the baseline, or else the one that shares most axis values. None for what
    is not tuned, and for the baseline.
    """
    if not is_tuned(point) or point.name == baseline:
        return None
    usable = [p for p in points if p.name != point.name and p.status == "done" and p.metrics]
    own = [p for p in usable if not is_tuned(p) and _model(p) == _model(point)]
    named = [p for p in usable if p.name == baseline]
    if not own:
        return named[0] if named else None
    shared = {
        p.name: sum(p.values.get(axis) == value for axis, value in point.values.items())
        for p in own
    }
    return max(own, key=lambda p: (p.name == baseline, shared[p.name]))


def _model(point: PointResult) -> tuple[str, str | None]:
    return point.config.model.name, point.config.model.revision


def _of_point(point: PointResult) -> dict[str, Any]:
    metrics = point.metrics if answered(point) else None
    keys = ("rows", "samples", "draws", "judge_unread", "sets")
    return {
        "status": point.status,
        "values": point.values,
        "variant": point.values.get("variant"),
        "model": point.config.model.name,
        "tuned": is_tuned(point),
        "judge": judge_of(point.predictions) if metrics else None,
        **{key: metrics and metrics[key] for key in keys},
        "reference": None,
        "differences": {},
        "transfer": {},
    }


def _outcomes(samples: Samples, family: str) -> np.ndarray | None:
    """(Q,) 0 and 1 that a family compares; None where a point has no samples, or no rewards."""
    if family == "accuracy":
        return samples.greedy.astype(float)
    return samples.is_right(family).astype(float) if family in samples.chosen else None


def _paired(
    ours: Samples,
    theirs: Samples,
    family: str,
    at: np.ndarray,
    counts: np.ndarray,
    clusters: Sequence[str],
    eval_config: Any,
) -> dict[str, Any] | None:
    """See `tabulate`; None where either side has no such outcomes."""
    a, b = _outcomes(ours, family), _outcomes(theirs, family)
    if a is None or b is None:
        return None
    a, b, own = a[at], b[at], np.array(clusters)[at]
    return {
        **difference(a - b, counts[:, at], len(set(own)), eval_config.level),
        "items": len(at),
        "only_point": int((a > b).sum()),
        "only_reference": int((a < b).sum()),
        "p_value": sign_flip(a - b, 1.0, own),
        "p_holm": None,
    }


def _transfer(
    samples: Samples, at: Mapping[str, np.ndarray], counts: np.ndarray, level: float
) -> dict[str, Any]:
    """{set: greedy accuracy on HOME minus that on the set}, for those that are there."""
    if HOME not in at:
        return {}
    right = samples.greedy.astype(float)
    found = {}
    for place in AWAY:
        if place in at:
            sides = (at[HOME], at[place])
            one, other = (
                lambda w, s=side: weighted_mean(right[s], None if w is None else w[:, s])
                for side in sides
            )
            found[place] = paired_bootstrap_difference(one, other, counts, level)._asdict()
    return found


def _adjust(tables: Mapping[str, Any]) -> dict[str, int]:
    """Put Holm-adjusted p-values into each family; returns the families' sizes."""
    sizes = {}
    for family in FAMILIES:
        tests = {
            (name, place): found
            for name, table in tables.items()
            for place, of_set in table["differences"].items()
            if (found := of_set[family])
        }
        for key, p in holm({key: test["p_value"] for key, test in tests.items()}).items():
            tests[key]["p_holm"] = p
        sizes[family] = len(tests)
    return sizes
