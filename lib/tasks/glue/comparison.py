"""Points side by side: the tables of `aggregated_metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from lib.analysis.paired import average, averages
from lib.analysis.statistics import percentile_interval
from lib.config.points import matches
from lib.config.tasks import PointResult, Row
from lib.runs.train_log import validation_accuracy
from lib.tasks.glue import costs, significance
from lib.tasks.glue.cells import (
    KINDS,
    Cell,
    Method,
    Setting,
    cells,
    methods_of,
    settings_of,
)
from lib.tasks.glue.seeds import over_seeds
from lib.tasks.glue.significance import Sets, measured
from lib.tasks.glue.table import GLUE, main_set

METRICS = ("accuracy", "f1")


def tabulate(
    points: Sequence[PointResult], rows: Sequence[Row], eval_config: Any
) -> dict[str, Any]:
    """Every comparison, JSON-able.

    {"level", "resamples",
     "baseline": {"label", "reason"},           reason: why nothing is compared with it
     "sets": [{"task", "set", "rows", "groups", "majority", "labels"}],
     "points": {name: {"status", "values", "method", "task", "seed", "kind", "metrics":
                {set: {metric: {value, low, high}}}, "confusion": {set: counts},
                "validation_accuracy", "usage": `costs.usage_of`, "device", "memory_kind"}},
     "settings": [{"label", "method", "task", "kind", "points", "seeds", "statuses", "diverged",
                   "sets": {set: {metric: `over_seeds`, and for accuracy "low", "high"}},
                   "validation_accuracy", "usage": {number: `over_seeds`}}],
     "methods": [{"label", "variant", "kind", "rest", "seeds", "accuracy": `over_seeds` of means
                  over tasks, with "low", "high", "validation_accuracy", "usage": likewise}],
     "chosen": {kind: {"label": a method's | null, "among": n, "reason"}},
     "significance": `significance.families`,
     "against": {kind: IW-LoRA − it, `significance.mean_difference` | null},
     "saving": {kind: `costs.saving` of IW-LoRA}, "calibration": `costs.calibration` | null,
     "ranks": `costs.ranks`, "spreads": `costs.spreads`}

    low, high of accuracy: of other dev rows, by resampling them; `over_seeds` has every seed. A
    mean over tasks is of the tasks' accuracies (MNLI's: the matched set), each counting as one; a
    seed has one where it has all tasks. A diverged point is counted and in no average.
    """
    all_cells = cells(points)
    members = settings_of(all_cells)
    methods = methods_of(members)
    by_name = {point.name: point for point in points}
    kinds = {m: all_cells[members[next(iter(of.values()))][0]].kind for m, of in methods.items()}
    sets = significance.accuracy(points, rows, eval_config)
    level = eval_config.level
    table = [_of_setting(s, names, by_name, all_cells, sets, level) for s, names in members.items()]
    merged = [_of_method(m, kinds[m], of, members, table, sets, level) for m, of in methods.items()]
    chosen = {kind: _choose(kind, methods, kinds, merged) for kind in dict.fromkeys(kinds.values())}
    stand = {kind: found for kind, (found, _) in chosen.items() if found is not None}
    baseline, why = find_baseline(points, methods, all_cells, eval_config)
    common = (members, all_cells)
    ours = stand.get("iw_lora")
    others = {k: m for k, m in stand.items() if k != "iw_lora"} if ours else {}
    return {
        "level": level,
        "resamples": eval_config.resamples,
        "baseline": {"label": baseline.label if baseline else None, "reason": why},
        "sets": _sets(rows, sets),
        "points": {p.name: _of_point(p, all_cells[p.name]) for p in points},
        "settings": table,
        "methods": merged,
        "chosen": {
            kind: {"label": found.label if found else None, **told}
            for kind, (found, told) in chosen.items()
        },
        "significance": significance.families(
            sets, members, all_cells, list(stand.values()), list(methods), baseline, level
        ),
        "against": {
            kind: significance.mean_difference(sets, *common, ours, other, level)
            for kind, other in others.items()
        },
        "saving": {
            kind: costs.saving(by_name, *common, ours, other, level)
            for kind, other in others.items()
        },
        "calibration": ours and costs.calibration(by_name, *common, ours, level),
        "ranks": costs.ranks(by_name, members, kinds),
        "spreads": costs.spreads(points),
    }


def find_baseline(
    points: Sequence[PointResult],
    methods: Mapping[Method, Any],
    all_cells: Mapping[str, Cell],
    eval_config: Any,
) -> tuple[Method | None, str | None]:
    """The method that `eval_config.baseline` names, with all its tasks and seeds, or why none."""
    fits = [p for p in points if matches(p.values, eval_config.baseline)]
    found = {all_cells[p.name].setting.method for p in fits}
    if len(found) != 1:
        return None, f"evaluate.baseline fits {len(found)} methods of these points, expected one"
    (method,) = found
    if not any(measured(p) for p in points if all_cells[p.name].setting.method == method):
        return None, f"no point of the baseline {method.label} is measured"
    return method, None


def _sets(rows: Sequence[Row], sets: Sets) -> list[dict[str, Any]]:
    found = []
    for (task, part), measure in sets.items():
        labels = [row["label"] for row in rows if (row["task"], row["set"]) == (task, part)]
        found.append(
            {
                "task": task,
                "set": part,
                "rows": len(labels),
                "groups": len(set(measure.clusters)),
                "majority": float(np.bincount(labels).max() / len(labels)),
                "labels": list(GLUE[task].labels),
            }
        )
    return found


def _of_point(point: PointResult, cell: Cell) -> dict[str, Any]:
    sets = point.metrics["sets"] if measured(point) else {}
    return {
        "status": point.status,
        "values": dict(point.values),
        "method": cell.setting.method.label,
        "task": cell.setting.task,
        "seed": cell.seed,
        "kind": cell.kind,
        "metrics": {part: found["metrics"] for part, found in sets.items()},
        "confusion": {part: found["confusion"] for part, found in sets.items()},
        "validation_accuracy": validation_accuracy(point),
        "usage": costs.usage_of(point),
        **{key: (point.records.get("usage") or {}).get(key) for key in ("device", "memory_kind")},
    }


def _of_setting(
    setting: Setting,
    names: Sequence[str],
    points: Mapping[str, PointResult],
    all_cells: Mapping[str, Cell],
    sets: Sets,
    level: float,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in GLUE[setting.task].dev:
        measure = sets.get((setting.task, part))
        each = [
            points[n].metrics["sets"].get(part, {}).get("metrics", {})
            if measured(points[n])
            else {}
            for n in names
        ]
        found[part] = {
            metric: over_seeds([e.get(metric, {}).get("value") for e in each]) for metric in METRICS
        }
        bounds = average(measure, names, level)
        found[part]["accuracy"] |= {"low": bounds["low"], "high": bounds["high"]}
    statuses = [points[name].status for name in names]
    validated = [validation_accuracy(points[name]) for name in names if measured(points[name])]
    used = [costs.usage_of(points[name]) for name in names]
    return {
        "label": setting.label,
        "method": setting.method.label,
        "task": setting.task,
        "kind": all_cells[names[0]].kind,
        "points": list(names),
        "seeds": [all_cells[name].seed for name in names],
        "statuses": statuses,
        "diverged": statuses.count("diverged"),
        "sets": found,
        "validation_accuracy": fmean(validated) if validated and None not in validated else None,
        "usage": {key: over_seeds([u[key] for u in used]) for key in costs.NUMBERS},
    }


def _of_method(
    method: Method,
    kind: str,
    of_task: Mapping[str, Setting],
    members: Mapping[Setting, Sequence[str]],
    table: Sequence[Mapping[str, Any]],
    sets: Sets,
    level: float,
) -> dict[str, Any]:
    tasks = list(dict.fromkeys(setting.task for setting in members))
    entries = {entry["label"]: entry for entry in table}
    parts = [entries[of_task[task].label] for task in tasks if task in of_task]
    whole = len(parts) == len(tasks)
    seeds = list(dict.fromkeys(seed for entry in parts for seed in entry["seeds"]))
    values = [_mean_of_tasks([_of_seed(e, seed) for e in parts], whole) for seed in seeds]
    accuracy = over_seeds(values) | {"low": None, "high": None}
    complete = {seed for seed, value in zip(seeds, values, strict=True) if value is not None}
    resampled = [
        averages(
            sets[entry["task"], main_set(entry["task"])],
            [n for n, s in zip(entry["points"], entry["seeds"], strict=True) if s in complete],
        )
        for entry in parts
    ]
    if complete and all(resampled):
        bounds = percentile_interval(np.mean([r for _, r in resampled], axis=0), level)
        accuracy["low"], accuracy["high"] = bounds or (None, None)
    validated = [entry["validation_accuracy"] for entry in parts]
    return {
        "label": method.label,
        "variant": method.variant,
        "kind": kind,
        "rest": dict(method.rest),
        "seeds": seeds,
        "accuracy": accuracy,
        "validation_accuracy": _mean_of_tasks(validated, whole),
        "usage": {
            key: over_seeds([_mean_of_tasks([_cost(e, s, key) for e in parts], whole)
                             for s in seeds])
            for key in costs.NUMBERS
        },
    }  # fmt: skip


def _of_seed(entry: Mapping[str, Any], seed: int) -> float | None:
    values = dict(zip(entry["seeds"], _main(entry)["accuracy"]["values"], strict=True))
    return values.get(seed)


def _cost(entry: Mapping[str, Any], seed: int, key: str) -> float | None:
    return dict(zip(entry["seeds"], entry["usage"][key]["values"], strict=True)).get(seed)


def _main(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry["sets"][main_set(entry["task"])]


def _mean_of_tasks(values: Sequence[float | None], whole: bool) -> float | None:
    return fmean(values) if values and whole and None not in values else None


def _choose(
    kind: str,
    methods: Mapping[Method, Any],
    kinds: Mapping[Method, str],
    merged: Sequence[Mapping[str, Any]],
) -> tuple[Method | None, dict[str, Any]]:
    """The method that stands for a kind: the only one, or the best on the validation rows.

    Of equals the first. Its accuracy on the dev rows plays no part.
    """
    having = [(m, e) for (m, e) in zip(methods, merged, strict=True) if kinds[m] == kind]
    told: dict[str, Any] = {"among": len(having), "reason": None}
    if len(having) == 1:
        return having[0][0], told
    known = [(m, e) for m, e in having if e["validation_accuracy"] is not None]
    if not known:
        told["reason"] = (
            f"none of {len(having)} settings of {KINDS[kind]} has validation accuracies on all "
            f"tasks to be chosen by"
        )
        return None, told
    if len(known) < len(having):
        told["reason"] = f"{len(having) - len(known)} settings without validation accuracies"
    return max(known, key=lambda one: one[1]["validation_accuracy"])[0], told
