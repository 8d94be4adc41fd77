"""Files beside aggregated_metrics that people expect, as views of the tables.

summary.csv             one row a point: its rates, and their differences from the baseline's
final_metrics.csv .json one row a point and metric: counts, and the bound that a claim sets it
significance.json       every comparison of two settings, with its family
"""

from __future__ import annotations

from typing import Any

from lib.analysis.engine import Answers
from lib.analysis.records import Json, records
from lib.analysis.verdicts import by_intervals
from lib.analysis.wording import UNKNOWN
from lib.config import tasks
from lib.config.metric_names import metric_of
from lib.config.settings import selected

NOTE = (
    "Local rates, not official grades, and not comparable across runs: test sample, prompts and "
    "judge are part of each number."
)


def files(answers: Answers, rows: list[Json]) -> dict[str, Any]:
    """Name → table: the files above, and those of tasks; rows: aggregated_metrics.csv."""
    metrics = final_metrics(answers)
    found = {
        "summary.csv": summary(rows),
        "final_metrics.csv": metrics,
        "final_metrics": {"note": NOTE, "level": answers.study.config.evaluate.level,
                          "metrics": metrics},
        "significance": significance(answers),
    }  # fmt: skip
    for task in answers.study.config.tasks:
        analysis = tasks.get(task).analysis
        if analysis.files:
            found |= analysis.files(answers)
    return found


def summary(rows: list[Json]) -> list[Json]:
    """Columns of aggregated_metrics.csv without those of training and of seeds."""
    left_out = ("steps", "diverged_at", "seconds", "gpu_hours", "peak_memory_gb",
                "calibration_share", "trainable_parameters", "job", "node", "device")  # fmt: skip
    return [
        {key: value for key, value in row.items()
         if key not in left_out and not key.endswith(("_seeds_mean", "_seeds_sd"))}
        for row in rows
    ]  # fmt: skip


def final_metrics(answers: Answers) -> list[Json]:
    """One row a point, test set and rate, in grid order.

    `denominator_checked`: whether the rate rests on every item of its test set. `threshold`: the
    bound of a claim `above` on the point's setting, `verdict`: of this point alone, whose interval
    lies on one side of the bound, or around it.
    """
    estimates = answers.tables.estimates
    own = estimates[(estimates["of"] == "point") & (estimates["slice"] == "")]
    by_key = {(row["name"], row["task"], row["set"], row["metric"]): row for row in records(own)}
    bounds, found = thresholds(answers), []
    for point in records(answers.tables.points):
        for task, sets in answers.tests.items():
            metrics = tasks.get(task).analysis.metrics(answers.study.config.evaluate)
            for one in sets:
                for metric in metrics:
                    if metric.kind != "rate" or metric.among:
                        continue
                    row = by_key.get((point["point"], task, one.name, metric.name), {})
                    value, n = row.get("value"), row.get("n")
                    bound = bounds.get((point["setting"], task, metric.name))
                    found.append({
                        "point": point["point"], "setting": point["setting"],
                        "task": task, "set": one.name, "metric": metric.name,
                        **{key: row.get(key) for key in ("value", "low", "high")},
                        "numerator": None if value is None else round(value * n, 6),
                        "denominator": n, "expected_denominator": len(one.items),
                        "denominator_checked": None if n is None else n == len(one.items),
                        "threshold": bound,
                        "verdict": None if bound is None else verdict(row, bound),
                        "status": point["status"],
                    })  # fmt: skip
    return found


def thresholds(answers: Answers) -> dict[tuple[str, str, str], float]:
    """(setting, task, metric) → the bound of a claim `above` on it."""
    study, found = answers.study, {}
    for claim in study.claims.values():
        if claim.above is not None:
            task, metric = metric_of(study, claim.metric)
            for label in selected(study.settings, claim.of):
                found[label, task, metric.name] = claim.above
    return found


def verdict(row: Json, bound: float) -> str:
    """Where the interval of a rate lies; a lower end on the bound passes."""
    if row.get("low") is None:
        return UNKNOWN
    return by_intervals("above", bound, [(row["low"], row["high"])])


def significance(answers: Answers) -> Json:
    """{"level", "families": {family: [rows of contrasts.csv]}}."""
    families: Json = {}
    for row in records(answers.tables.contrasts):
        families.setdefault(row.pop("family"), []).append(row)
    return {"level": answers.study.config.evaluate.level, "families": families}
