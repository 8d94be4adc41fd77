"""Views of the tables that people expect: metrics.json of a point, aggregated_metrics, criteria.md.

A metric is called as in claims: `accuracy` of the first task, `mt_bench.score` of another; with the
test set before it where a task has several: `mnli/matched.accuracy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from lib.analysis import final
from lib.analysis.engine import Answers
from lib.analysis.points import find_baseline
from lib.analysis.records import Json, records
from lib.analysis.wording import markdown
from lib.config import tasks
from lib.config.metrics import Analysis
from lib.config.tasks import Comparison

LONG = 500  # rows above which a further table is in its own file alone
VALUE = ("value", "low", "high", "method")


def nested(row: Mapping[str, Any]) -> Json:
    """`x`, `x_low`, `x_high` of a row as {"x": {"value", "low", "high"}}; other columns as is."""
    found = {}
    for name, value in row.items():
        if f"{name}_low" in row:
            found[name] = {"value": value, "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
        elif not (name.endswith(("_low", "_high")) and name.rpartition("_")[0] in row):
            found[name] = value
    return found


# -- metrics.json ----------------------------------------------------------------------------------


def metrics_of_points(answers: Answers, task: str) -> dict[str, Json]:
    """Point → metrics.json of a task.

        {"rows": n, "metrics": {name: {"value", "low", "high", "method"}},
         "by_<slice>": {value: {"rows", "metrics"}}, …of `Analysis.point_extras`,
         "level", "resamples"}

    Of a task with several sets the same below "sets"; `rows` and `metrics` are of the set that
    pools them, else of all rows and of the first set.
    """
    analysis, eval_config = tasks.get(task).analysis, answers.study.config.evaluate
    found: dict[str, Json] = {}
    estimates = answers.tables.estimates
    own = estimates[(estimates["of"] == "point") & (estimates["task"] == task)]
    rows: dict[tuple[str, str, str], Json] = {}
    for row in records(own):
        metrics = rows.setdefault((row["name"], row["set"], row["slice"]), {})
        metrics[row["metric"]] = {key: row[key] for key in VALUE}
    names = [metric.name for metric in analysis.metrics(eval_config)]
    of_slices = [metric.name for metric in analysis.metrics(eval_config) if not metric.secondary]
    for one in answers.tests[task]:
        for place, name in enumerate(one.points):
            has = one.answered[place]
            of_set = {"rows": int(has.sum())}
            of_set |= {"metrics": _whole(rows.get((name, one.name, ""), {}), names)}
            for column, of_item in one.slices.items():
                values = sorted({v for v in of_item[has] if v is not None})
                of_set[f"by_{column}"] = {
                    value: {
                        "rows": int((of_item[has] == value).sum()),
                        "metrics": _whole(rows.get((name, one.name, f"{column}={value}"), {}),
                                          of_slices),
                    }
                    for value in values
                }  # fmt: skip
            found.setdefault(name, {"sets": {}})["sets"][one.name] = of_set
    nothing = {"sets": {"": {"rows": 0, "metrics": _whole({}, names)}}}  # answers without an item
    for result in answers.results[task]:
        if result.predictions is not None:
            found.setdefault(result.name, nothing)
    return {name: _of_point(of["sets"], analysis.pooled) for name, of in found.items()}


def _whole(metrics: Json, names: Iterable[str]) -> Json:
    empty = dict.fromkeys(VALUE)
    return {name: metrics.get(name, empty) for name in names}


def _of_point(sets: Json, pooled: str | None) -> Json:
    first = next(iter(sets.values()))
    if len(sets) == 1:
        return first
    rows = sum(one["rows"] for one in sets.values())
    whole = sets.get(pooled, {"rows": rows, "metrics": first["metrics"]})
    return {"rows": whole["rows"], "metrics": whole["metrics"], "sets": sets}


def with_extras(view: Json, analysis: Analysis, rows: Any, predictions: Any, config: Any) -> Json:
    """metrics.json with what the task adds to it, and how its intervals were made."""
    more = analysis.point_extras(rows, predictions, config) if analysis.point_extras else {}
    return merged(view, more) | {"level": config.level, "resamples": config.resamples}


def merged(one: Json, other: Json) -> Json:
    """Two trees in one; `other` counts where both have a leaf."""
    found = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if both else value
    return found


# -- aggregated_metrics ----------------------------------------------------------------------------


def names_of(answers: Answers) -> dict[tuple[str, str, str], str]:
    """(task, set, metric) → what a metric is called, in the order of the estimates."""
    first = answers.study.config.tasks[0]
    keys = answers.tables.estimates[["task", "set", "metric"]].drop_duplicates()
    several = {task for task, sets in keys.groupby("task")["set"] if sets.nunique() > 1}
    return {
        (task, part, metric): ".".join(
            [*([task] if task != first else []), *([part] if task in several else []), metric]
        )
        for task, part, metric in keys.itertuples(index=False)
        if task != "training"
    }


def comparison_of_tables(answers: Answers) -> Comparison:
    """The views of a comparison."""
    claims = records(answers.tables.claims)
    rows = flat(answers)
    return Comparison(aggregated(answers), rows, markdown(claims), final.files(answers, rows))


def aggregated(answers: Answers) -> Json:
    """aggregated_metrics.json.

    {"level", "resamples", "baseline": {"setting", "reason"},
     "points": {name: {…of points.csv, "values": {axis: value}, "metrics": {metric: {value, low,
                high, method}}, <table with one row a point>: {…}}},
     "settings": {label: {"points", "metrics": {metric: {value, low, high, method, n, seeds,
                  sd}}}},
     "contrasts": {family: {metric: {"a − b": {…of contrasts.csv}}}},
     "criteria": [{"criterion", "verdict", "number"}], <further table>: [rows]}
    """
    study, tables = answers.study, answers.tables
    eval_config, names = study.config.evaluate, names_of(answers)
    axes = [axis for axis in ("variant", *study.axes) if axis in tables.points]
    setting, reason = find_baseline(study, answers.results[study.config.tasks[0]])
    points = {}
    for row in records(tables.points):
        values = {axis: row.pop(axis) for axis in axes if axis != "seed"}
        values = {axis: value for axis, value in values.items() if value is not None}
        points[row.pop("point")] = row | {"values": values, "metrics": {}}
    settings: dict[str, Json] = {}
    for name, row in points.items():
        one = settings.setdefault(row["setting"], {"points": [], "metrics": {}})
        one["points"].append(name)
    whole = tables.estimates[tables.estimates["slice"] == ""]
    for row in records(whole[whole["task"] != "training"]):
        called = names[row["task"], row["set"], row["metric"]]
        keys = VALUE if row["of"] == "point" else (*VALUE, "n", "seeds", "sd")
        place = points if row["of"] == "point" else settings
        place[row["name"]]["metrics"][called] = {key: row[key] for key in keys}
    found = {
        "level": eval_config.level,
        "resamples": eval_config.resamples,
        "baseline": {"setting": setting, "reason": reason},
        "points": points,
        "settings": settings,
        "contrasts": _contrasts(answers, names),
        "criteria": criteria(tables.claims),
    }
    for name, table in tables.extras.items():
        if one_a_point(table):
            for row in records(table):
                points[row.pop("point")][name] = nested(row)
        elif "point" not in table and len(table) <= LONG:
            found[name] = [nested(row) for row in records(table)]
    return found


def one_a_point(table: pd.DataFrame) -> bool:
    """Whether a further table has at most one row a point."""
    return "point" in table and table["point"].is_unique


def _contrasts(answers: Answers, names: Mapping[tuple[str, str, str], str]) -> Json:
    found: Json = {}
    for row in records(answers.tables.contrasts):
        called = names[row.pop("task"), row.pop("set"), row.pop("metric")]
        of_metric = found.setdefault(row.pop("family"), {}).setdefault(called, {})
        of_metric[f"{row.pop('a')} − {row.pop('b')}"] = row
    return found


def criteria(claims: pd.DataFrame) -> list[Json]:
    """Claims by their words, verdict and number."""
    shown = claims[["say", "verdict", "number"]]
    return [dict(zip(("criterion", "verdict", "number"), row.values(), strict=True))
            for row in records(shown)]  # fmt: skip


def flat(answers: Answers) -> list[Json]:
    """aggregated_metrics.csv: one row a point.

    Columns of points.csv; each metric with its interval; mean and deviation over the seeds of its
    setting, and that mean against the baseline's; further tables with one row a point.
    """
    tables, names = answers.tables, names_of(answers)
    cells: dict[str, Json] = {name: {} for name in tables.points["point"]}
    members = tables.points.groupby("setting", sort=False)["point"].agg(list)
    several = members.map(len).max() > 1
    whole = tables.estimates[tables.estimates["slice"] == ""]
    for row in records(whole[whole["task"] != "training"]):
        called = names[row["task"], row["set"], row["metric"]]
        if row["of"] == "point":
            new = {called: row["value"], f"{called}_low": row["low"], f"{called}_high": row["high"]}
            cells[row["name"]] |= new
        elif several:
            new = {f"{called}_seeds_mean": row["value"], f"{called}_seeds_sd": row["sd"]}
            for name in members[row["name"]]:
                cells[name] |= new
    baseline = tables.contrasts[tables.contrasts["family"] == "baseline"]
    for row in records(baseline):
        called = f"{names[row['task'], row['set'], row['metric']]}_minus_baseline"
        new = {called: row["difference"], f"{called}_low": row["low"],
               f"{called}_high": row["high"], f"{called}_p_holm": row["p_holm"]}  # fmt: skip
        for name in members[row["a"]]:
            cells[name] |= new
    for table_name, table in tables.extras.items():
        if one_a_point(table):
            for row in records(table):
                name = row.pop("point")
                cells[name] |= {f"{table_name}.{column}": v for column, v in row.items()}
    every = dict.fromkeys(key for row in cells.values() for key in row)
    return [row | {key: cells[row["point"]].get(key) for key in every}
            for row in records(tables.points)]  # fmt: skip
