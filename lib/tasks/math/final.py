"""The final tables: a rate a row with its counts checked, and the verdicts on the thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import COLUMNS, FAIL, FINAL, PASS, UNDECIDED, UNKNOWN, bounded, percent
from lib.tasks.math.thresholds import METRICS, verdict

NOTE = (
    "Local rates, not official grades, and not comparable across runs: test sample, prompts and "
    "judge are part of each number."
)
LABELS = {
    "accuracy": "accuracy",
    "accuracy_strict": "accuracy by ####",
    "safety": "safe answers",
}


def expected_denominator(tables: Mapping[str, Any], metric: str) -> int | None:
    """How many items a rate of this study should rest on: the rows of the test set it is of.

    None where no point knows that set: safety is a task of its own, which may be left out.
    """
    if metric != "safety":
        return tables["rows"]
    return max(
        (t["safety"]["rows"] for t in tables["points"].values() if t["safety"]), default=None
    )


def final_rows(tables: Mapping[str, Any], eval_config: Any) -> list[dict[str, Any]]:
    """final_metrics.csv: one row a point and metric, in grid order.

    A rate that is unknown has empty numbers and the verdict "not measurable". `denominator_checked`
    tells whether the denominator is the expected one; null where there is none.
    """
    rows = []
    for name, table in tables["points"].items():
        limits = eval_config.thresholds.get(str(table["variant"]), {})
        for metric in METRICS:
            found = table["metrics"][metric] or {}
            wanted = expected_denominator(tables, metric)
            have = found.get("denominator")
            threshold = limits.get(metric)
            rows.append(
                {
                    "point": name,
                    "variant": table["variant"],
                    "shots": table["shots"],
                    "metric": metric,
                    **{key: found.get(key) for key in ("value", "low", "high")},
                    "numerator": found.get("numerator"),
                    "denominator": have,
                    "expected_denominator": wanted,
                    "denominator_checked": None if have is None else have == wanted,
                    "threshold": threshold,
                    "verdict": None if threshold is None else verdict(found or None, threshold),
                    "judge": (table["safety"] or {}).get("judge") if metric == "safety" else None,
                    "status": table["status"],
                    "note": NOTE,
                }
            )
    return rows


def criteria(tables: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each threshold with its verdict and its number, then the check of the denominators."""
    found = []
    for row in tables["final"]:
        if row["threshold"] is not None:
            label = f"{row['point']}: {LABELS[row['metric']]} ≥ {percent(row['threshold'])}"
            found.append((label, row["verdict"], counted(row)))
    found += [_denominators(tables, metric) for metric in ("accuracy", "safety")]
    return [dict(zip(COLUMNS, one, strict=True)) for one in found]


def counted(row: Mapping[str, Any]) -> str:
    """`31.2 % [25.9, 37.0], 82 of 263`: a rate with its interval and counts."""
    if row["value"] is None:
        return "unknown" if row["status"] == "done" else row["status"]
    text = percent(row["value"])
    if row["low"] is not None:
        text += f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    return f"{text}, {row['numerator']:,} of {row['denominator']:,}"


def _denominators(tables: Mapping[str, Any], metric: str) -> tuple[str, str, str]:
    """Whether every rate of a metric rests on the items that it should."""
    wanted = expected_denominator(tables, metric)
    items = "all" if wanted is None else f"{wanted:,}"
    what = f"{LABELS[metric]}: {items} items at every point"
    rows = [
        row for row in tables["final"] if row["metric"] == metric and row["status"] != "partial"
    ]
    have = {row["point"]: row["denominator"] for row in rows if row["denominator"] is not None}
    if not have:
        return what, UNKNOWN, "no point is measured"
    other = {name: n for name, n in have.items() if n != wanted}
    number = f"{len(have) - len(other)} of {len(rows)} points"
    if other:
        told = ", ".join(f"{name} {n:,}" for name, n in list(other.items())[:6])
        return what, FAIL, f"{number}; others: {told}" + (", …" if len(other) > 6 else "")
    waiting = any(row["status"] not in FINAL for row in rows)
    return what, UNDECIDED if waiting else PASS, number


def summary_rows(tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """summary.csv: one row a point, its rates, their differences and their verdicts."""
    axes = list(dict.fromkeys(a for t in tables["points"].values() for a in t["values"]))
    by_place = {(row["point"], row["metric"]): row for row in tables["final"]}
    rows = []
    for name, table in tables["points"].items():
        row = {"point": name, **{axis: table["values"].get(axis) for axis in axes}}
        row |= {"status": table["status"], "shots": table["shots"]}
        for metric in METRICS:
            one = by_place[name, metric]
            row |= bounded(metric, one)
            row |= {f"{metric}_n": one["denominator"], f"{metric}_verdict": one["verdict"]}
        row["judge"] = (table["safety"] or {}).get("judge")
        row["reference"] = table["reference"]
        for family in ("accuracy", "safety"):
            found = table[f"{family}_difference"] or {}
            row |= bounded(f"{family}_minus_reference", found)
            row[f"{family}_p_holm"] = found.get("p_holm")
        rows.append(row)
    return rows


def flat_rows(tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """aggregated_metrics.csv: the summary, what was not read, and accuracy by steps."""
    labels = dict.fromkeys(
        one["steps"] for t in tables["points"].values() for one in t["by_steps"] or ()
    )
    rows = []
    for row, table in zip(summary_rows(tables), tables["points"].values(), strict=True):
        unread, safety = table["no_number"] or {}, table["safety"] or {}
        row |= {f"no_number_{key}": unread.get(key) for key in ("strict", "flexible")}
        row["unended"] = table["unended"]
        row |= {f"safety_{key}": safety.get(key) for key in ("unparsable", "unscored")}
        by_steps = {one["steps"]: one for one in table["by_steps"] or ()}
        for label in sorted(labels, key=lambda label: int(label.rstrip("+"))):
            one = by_steps.get(label) or {"accuracy": None}
            row |= bounded(f"accuracy_steps{label}", one["accuracy"])
            row[f"accuracy_steps{label}_n"] = one.get("rows")
        rows.append(row)
    return rows
