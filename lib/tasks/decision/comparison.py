"""Points side by side: the tables of `aggregated_metrics.json` and its flat rows.

Three families of tests are declared here, each adjusted by Holm over all its members:
`baseline` (McNemar, correct answers of a point against the baseline's), `control` (McNemar, against
the baseline with a moved threshold) and `trend` (Page, one test a line over γ).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from lib.analysis.metrics import auc, decision_rates, threshold_at_rate, weighted_mean
from lib.analysis.rates import difference
from lib.analysis.statistics import (
    holm,
    mcnemar,
    paired_bootstrap_difference,
    percentile_interval,
)
from lib.config.points import find_baseline
from lib.config.tasks import PointResult, Row
from lib.tasks.decision import theory
from lib.tasks.decision.evaluate import METRICS, Answers, labels, read_answers, resamples
from lib.tasks.decision.theory import Cell
from lib.tasks.decision.trends import over_gamma

FAMILIES = ("baseline", "control", "trend")
CURVE = np.linspace(0, 1, 101)  # acceptance rates at which the moved threshold is drawn


def measured(point: PointResult) -> bool:
    """Whether a point has numbers. A diverged run has none, whatever its files hold."""
    return point.status == "done" and point.metrics is not None


def tabulate(
    points: Sequence[PointResult], rows: Sequence[Row], eval_config: Any
) -> dict[str, Any]:
    """Every comparison, JSON-able.

    {"rows": n, "level": …, "resamples": …, "families": {name: tests in it},
     "baseline": {"name", "reason"},              reason: why nothing relative to it is known
     "points": {name: {"status", "cell", "metrics", "unknown", …, "accuracy_difference",
                "mcnemar", "auc_difference", "theory", "control", "truth"}},
     "trends": [line over γ, …], "shift_line": {…}, "equal_odds": [group, …],
     "control_curve": {…}, "truth": {…} | null, "seeds": [group, …]}
    """
    y, counts = labels(rows), resamples(len(rows), eval_config)
    cells = theory.cells(points)
    answers = {
        p.name: read_answers(p.predictions)
        for p in points
        if measured(p) and p.predictions is not None
    }
    truth = theory.true_log_odds(rows)

    def fault(point: PointResult) -> str | None:
        if point.name in answers:
            return None
        return "has no predictions" if measured(point) else f"is {point.status}"

    name, reason = find_baseline(points, eval_config, fault)
    tables = {p.name: _of_point(p, cells[p.name]) for p in points}
    shifts: dict[str, np.ndarray] = {}
    if reason is None:
        shifts = _against_baseline(tables, name, y, answers, cells, counts, eval_config.level)
    if truth is not None:
        for other in points:
            z = answers[other.name].z if other.name in answers else None
            offset = cells[other.name].offset
            tables[other.name]["truth"] = theory.against_truth(y, truth, offset, z)
    trends = over_gamma(cells, answers, counts, eval_config.level)
    scored = {n: a.z for n, a in answers.items() if a.z is not None}
    resampled = [weighted_mean(shift, counts) for shift in shifts.values()]
    return {
        "rows": len(rows),
        "level": eval_config.level,
        "resamples": eval_config.resamples,
        "families": _adjust(tables, trends),
        "baseline": {"name": name, "reason": reason},
        "points": tables,
        "trends": trends,
        "shift_line": theory.shift_line(
            np.array([tables[n]["theory"]["delta"] for n in shifts]),
            np.array([shift.mean() for shift in shifts.values()]),
            np.array(resampled).T,
            eval_config.level,
        ),
        "equal_odds": theory.equal_odds(
            cells,
            {n: float((a.pred == 1).mean()) for n, a in answers.items() if len(a.pred)},
            {n: float(z.mean()) for n, z in scored.items()},
        ),
        "control_curve": _control_curve(y, scored.get(name), counts, eval_config.level),
        "truth": None if truth is None else theory.bayes(y, truth),
        "seeds": _seeds(points, cells),
    }


def entries(tables: Mapping[str, Any], key: str, others: bool = False) -> dict[str, Any]:
    """`key` of each point's table, where it is known; `others`: of all but the baseline."""
    skipped = tables["baseline"]["name"] if others else None
    return {
        name: table[key]
        for name, table in tables["points"].items()
        if table[key] is not None and name != skipped
    }


def _of_point(point: PointResult, cell: Cell) -> dict[str, Any]:
    metrics = point.metrics if measured(point) else None
    return {
        "status": point.status,
        "values": dict(point.values),
        "cell": cell._asdict() | {"rest": dict(cell.rest), "offset": cell.offset},
        "metrics": metrics["metrics"] if metrics else None,
        **{key: metrics[key] if metrics else None for key in ("rows", "unknown", "neither_mean")},
        **dict.fromkeys(
            ("accuracy_difference", "mcnemar", "auc_difference", "theory", "control", "truth")
        ),
    }


def _against_baseline(
    tables: dict[str, dict[str, Any]],
    baseline: str,
    y: np.ndarray,
    answers: Mapping[str, Answers],
    cells: Mapping[str, Cell],
    counts: np.ndarray,
    level: float,
) -> dict[str, np.ndarray]:
    """Fill in what points are relative to the baseline; returns logit shifts (n,) by name."""
    base = answers[baseline]
    base_right = base.pred == y
    base_auc = None if base.z is None else (auc(y, base.z), auc(y, base.z, counts))
    shifts = {}
    for name, table in tables.items():
        delta = cells[name].offset - cells[baseline].offset
        if name not in answers:
            continue
        point = answers[name]
        if name != baseline:
            right = point.pred == y
            table["accuracy_difference"] = difference(
                right.astype(float) - base_right, counts, len(y), level
            )
            table["mcnemar"] = _mcnemar(right, base_right)
        if base.z is None:
            continue
        table["theory"] = theory.against_theory(
            point.pred == 1, point.z, base.z, delta, counts, level
        )
        table["control"] = _control(y, point.pred, base.z, counts, level)
        if name != baseline and point.z is not None:
            value, resampled = auc(y, point.z), auc(y, point.z, counts)
            table["auc_difference"] = _difference(value, base_auc[0], resampled, base_auc[1], level)
            shifts[name] = point.z - base.z
    return shifts


def _control(
    y: np.ndarray, pred: np.ndarray, baseline_z: np.ndarray, counts: np.ndarray, level: float
) -> dict[str, Any] | None:
    """The baseline's scores with the threshold at which it accepts as many rows as the point.

    The threshold needs no labels and stays as it is in every resample.
    """
    moved = threshold_at_rate(baseline_z, float((pred == 1).mean())) if len(pred) else None
    if moved is None:
        return None
    control = (baseline_z > moved.threshold).astype(int)
    rates = decision_rates(y, control)
    f1 = paired_bootstrap_difference(
        lambda w: decision_rates(y, pred, w)["f1"],
        lambda w: decision_rates(y, control, w)["f1"],
        counts,
        level,
    )
    return {
        "threshold": moved.threshold,
        "acceptance_rate": moved.achieved,
        "accuracy": rates["accuracy"],
        "f1": rates["f1"],
        "accuracy_difference": difference(
            (pred == y).astype(float) - (control == y), counts, len(y), level
        ),
        "f1_difference": f1._asdict(),
        "mcnemar": _mcnemar(pred == y, control == y),
    }


def _control_curve(
    y: np.ndarray, baseline_z: np.ndarray | None, counts: np.ndarray, level: float
) -> dict[str, list[float | None]] | None:
    """Accuracy of the baseline at every acceptance rate, thresholds moved, with an interval."""
    if baseline_z is None or not len(y):
        return None
    moved = {m.achieved: m.threshold for m in (threshold_at_rate(baseline_z, r) for r in CURVE)}
    right = (baseline_z[:, None] > np.array(list(moved.values()))) == (y == 1)[:, None]
    resampled = counts @ right.astype(counts.dtype) / counts.sum(axis=1, keepdims=True)
    bounds = [percentile_interval(values, level) or (None, None) for values in resampled.T]
    return {
        "acceptance_rate": list(moved),
        "accuracy": right.mean(axis=0).tolist(),
        "low": [low for low, _ in bounds],
        "high": [high for _, high in bounds],
    }


def _adjust(tables: Mapping[str, dict[str, Any]], trends: list[dict[str, Any]]) -> dict[str, int]:
    """Write Holm's p-value beside each p-value of the three families; returns their sizes."""
    tests: dict[str, dict[str, dict[str, Any]]] = {family: {} for family in FAMILIES}
    for name, table in tables.items():
        if table["mcnemar"]:
            tests["baseline"][name] = table["mcnemar"]
            if table["control"]:
                tests["control"][name] = table["control"]["mcnemar"]
    tests["trend"] = {str(i): trend["page"] for i, trend in enumerate(trends)}
    sizes = {}
    for family, members in tests.items():
        adjusted = holm({name: test["p_value"] for name, test in members.items()})
        for name, test in members.items():
            test["p_holm"] = adjusted[name]
        sizes[family] = sum(p is not None for p in adjusted.values())
    return sizes


def _seeds(points: Sequence[PointResult], cells: Mapping[str, Cell]) -> list[dict[str, Any]]:
    """Points that differ in the seed alone: every metric's values, mean and sample deviation."""
    groups = defaultdict(list)
    for point in points:
        groups[cells[point.name].but_seed].append(point)
    found = []
    for members in groups.values():
        if len(members) < 2:
            continue
        metrics = {}
        for metric in METRICS:
            values = [
                p.metrics["metrics"][metric]["value"] if measured(p) else None for p in members
            ]
            known = [value for value in values if value is not None]
            metrics[metric] = {
                "values": values,
                "mean": fmean(known) if known else None,
                "sd": stdev(known) if len(known) > 1 else None,
            }
        found.append(
            {
                "points": [p.name for p in members],
                "metrics": metrics,
                "seeds": [cells[p.name].seed for p in members],
            }
        )
    return found


def _mcnemar(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    return mcnemar(a, b)._asdict() | {"p_holm": None}


def _difference(
    a: float | None, b: float | None, a_resampled: np.ndarray, b_resampled: np.ndarray, level: float
) -> dict[str, float | None]:
    """a − b with the paired interval of (R,) values that are at hand already."""
    if a is None or b is None:
        return {"value": None, "low": None, "high": None}
    low, high = percentile_interval(a_resampled - b_resampled, level) or (None, None)
    return {"value": a - b, "low": low, "high": high}
