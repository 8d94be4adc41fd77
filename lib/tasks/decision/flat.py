"""The tables of a comparison as one flat row a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.analysis.wording import bounded
from lib.config.tasks import PointResult
from lib.tasks.decision.evaluate import METRICS


def flat(points: Sequence[PointResult], tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a point for the CSV, in grid order, all with the same keys; unknown numbers None."""
    axes = list(dict.fromkeys(axis for point in points for axis in point.values))
    baseline = tables["baseline"]["name"]
    of_seeds = {name: group for group in tables["seeds"] for name in group["points"]}
    rows = []
    for point in points:
        table = tables["points"][point.name]
        row = {"point": point.name, **{axis: point.values.get(axis) for axis in axes}}
        row |= {key: table[key] for key in ("status", "rows", "unknown", "neither_mean")}
        for metric in METRICS:
            row |= bounded(metric, (table["metrics"] or {}).get(metric))
        row["offset"] = table["cell"]["offset"]
        expected, control = table["theory"] or {}, table["control"] or {}
        row["delta"] = baseline and row["offset"] - tables["points"][baseline]["cell"]["offset"]
        for name in ("expected_acceptance", "acceptance_minus_expected", "logit_shift"):
            row |= bounded(name, expected.get(name))
        row |= bounded("accuracy_minus_baseline", table["accuracy_difference"])
        row |= bounded("auc_minus_baseline", table["auc_difference"])
        row |= _test("mcnemar", table["mcnemar"])
        row |= {
            f"control_{name}": control.get(name)
            for name in ("threshold", "acceptance_rate", "accuracy", "f1")
        }
        row |= bounded("accuracy_minus_control", control.get("accuracy_difference"))
        row |= bounded("f1_minus_control", control.get("f1_difference"))
        row |= _test("control_mcnemar", control.get("mcnemar"))
        if tables["truth"]:
            row |= {f"truth_{name}": value for name, value in table["truth"].items()}
        if of_seeds:
            group = of_seeds.get(point.name)
            row["seeds"] = len(group["seeds"]) if group else 1
            for metric in METRICS:
                spread = group["metrics"][metric] if group else {}
                row |= {f"{metric}_seeds_{key}": spread.get(key) for key in ("mean", "sd")}
        rows.append(row)
    return rows


def _test(name: str, found: Mapping[str, Any] | None) -> dict[str, Any]:
    found = found or {}
    return {f"{name}_p": found.get("p_value"), f"{name}_p_holm": found.get("p_holm")}
