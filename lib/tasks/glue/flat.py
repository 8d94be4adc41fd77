"""The tables of a comparison as rows of CSV files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.analysis.wording import bounded
from lib.config.tasks import PointResult
from lib.tasks.glue.comparison import METRICS
from lib.tasks.glue.costs import NUMBERS
from lib.tasks.glue.table import main_set


def flat(points: Sequence[PointResult], tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a point for the CSV, in grid order, all with the same keys; unknown numbers None.

    Columns `mismatched_…` are of MNLI's second set.
    """
    axes = list(dict.fromkeys(axis for point in points for axis in point.values))
    rows = []
    for point in points:
        table = tables["points"][point.name]
        main = main_set(table["task"])
        row = {"point": point.name, **{axis: point.values.get(axis) for axis in axes}}
        row |= {"method": table["method"], "status": table["status"]}
        for metric in METRICS:
            row |= bounded(metric, table["metrics"].get(main, {}).get(metric))
        for metric in METRICS:
            found = table["metrics"].get("mismatched", {}).get(metric)
            row |= bounded(f"mismatched_{metric}", found)
        rows.append(row | {"validation_accuracy": table["validation_accuracy"], **table["usage"]})
    return rows


def by_setting(tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """settings.csv: one row a method and dev set, and one a method over all tasks."""
    rows = []
    for setting in tables["settings"]:
        for part, metrics in setting["sets"].items():
            row = {"method": setting["method"], "task": setting["task"], "set": part}
            rows.append(row | _numbers(metrics["accuracy"], metrics["f1"], setting["usage"]))
    for method in tables["methods"]:
        row = {"method": method["label"], "task": "mean over tasks", "set": None}
        rows.append(row | _numbers(method["accuracy"], None, method["usage"]))
    return rows


def _numbers(
    accuracy: Mapping[str, Any], f1: Mapping[str, Any] | None, usage: Mapping[str, Any]
) -> dict[str, Any]:
    told = {"value": accuracy["mean"], "low": accuracy["low"], "high": accuracy["high"]}
    row = bounded("accuracy", told) | {"accuracy_sd": accuracy["sd"]}
    row["accuracy_of_seeds"] = " ".join("" if v is None else f"{v:.4f}" for v in accuracy["values"])
    row |= {"f1": f1 and f1["mean"], "f1_sd": f1 and f1["sd"]}
    return row | {name: usage[name]["mean"] for name in NUMBERS}
