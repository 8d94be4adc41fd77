"""What training cost: seconds, memory, parameters, and where the adapters spent their rank.

Read from usage.json and importance.json of each point, see `lib.config.tasks.PointResult.records`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from lib.analysis.trends import spearman
from lib.config.tasks import PointResult
from lib.tasks.glue.cells import Cell, Method, Setting
from lib.tasks.glue.seeds import over_seeds

NUMBERS = (
    "seconds",  # of training, start-up left out, calibration included
    "calibration_seconds",
    "step_seconds",  # median of the optimizer steps
    "peak_memory_bytes",
    "trainable_parameters",
)


def usage_of(point: PointResult) -> dict[str, float | None]:
    """NUMBERS of one point, None where its training has left no record of them."""
    usage = point.records.get("usage") or {}
    found = {name: usage.get(name) for name in NUMBERS}
    if found["seconds"] is not None:
        found["seconds"] += found["calibration_seconds"] or 0.0
    return found


def where(point: PointResult) -> tuple[Any, ...] | None:
    """What two points share whose times compare: device and, for memory, how it was read."""
    usage = point.records.get("usage")
    return usage and (usage.get("device"), usage.get("memory_kind"))


def saving(
    points: Mapping[str, PointResult],
    settings: Mapping[Setting, Sequence[str]],
    all_cells: Mapping[str, Cell],
    a: Method,
    b: Method,
    level: float,
) -> dict[str, Any]:
    """Share of training time that `a` takes less than `b`: 1 − ratio, the mean over tasks.

    {"value", "low", "high", "seeds": n, "tasks": {task: saving}, "steps": {task: saving of a step
     alone}, "reason": why there is no value}

    Geometric means of the ratios of runs with one seed and one task, calibration included; the
    interval is Student's over the seeds' logarithms. Runs on different devices, or of different
    numbers of steps, are not compared.
    """
    tasks = list(dict.fromkeys(setting.task for setting in settings))
    logs: dict[str, dict[int, tuple[float, float]]] = {}
    unlike = 0
    for task in tasks:
        sides = [
            {all_cells[n].seed: points[n] for n in settings.get(Setting(m, task), ())}
            for m in (a, b)
        ]
        logs[task] = {}
        for seed in (s for s in sides[0] if s in sides[1]):
            pair = [side[seed] for side in sides]
            if not all(usage_of(p)["step_seconds"] for p in pair):
                continue
            steps = [p.records["usage"]["steps"] for p in pair]
            if where(pair[0]) != where(pair[1]) or steps[0] != steps[1]:
                unlike += 1
                continue
            logs[task][seed] = tuple(
                math.log(usage_of(pair[0])[name] / usage_of(pair[1])[name])
                for name in ("seconds", "step_seconds")
            )
    found: dict[str, Any] = {"value": None, "low": None, "high": None, "seeds": 0}
    found |= {
        key: {task: _saved(v[i] for v in by.values()) for task, by in logs.items()}
        for i, key in enumerate(("tasks", "steps"))
    }
    shared = [s for s in logs[tasks[0]] if all(s in by for by in logs.values())] if tasks else []
    if not shared:
        other = "ran on different devices or for different numbers of steps"
        return found | {"reason": other if unlike else "no seed has the times of both on all tasks"}
    means = [fmean(logs[task][seed][0] for task in tasks) for seed in shared]
    told = over_seeds(means, level)
    low, high = (None if told[k] is None else -math.expm1(told[k]) for k in ("high", "low"))
    found |= {"value": -math.expm1(told["mean"]), "low": low, "high": high, "seeds": len(shared)}
    return found | {"reason": None}


def calibration(
    points: Mapping[str, PointResult],
    settings: Mapping[Setting, Sequence[str]],
    all_cells: Mapping[str, Cell],
    method: Method,
    level: float,
) -> dict[str, Any]:
    """Share of training time that a method's calibration takes: of all tasks of a seed together.

    {"values", "mean", "sd", "low", "high": `over_seeds`, "tasks": {task: mean share}}; a seed
    counts where all its tasks have times.
    """
    tasks = list(dict.fromkeys(setting.task for setting in settings))
    spent: dict[int, dict[str, tuple[float, float]]] = {}
    for task in tasks:
        for name in settings.get(Setting(method, task), ()):
            used = usage_of(points[name])
            if used["seconds"] and used["calibration_seconds"] is not None:
                by_task = spent.setdefault(all_cells[name].seed, {})
                by_task[task] = (used["calibration_seconds"], used["seconds"])
    shares = [
        sum(part for part, _ in by.values()) / sum(whole for _, whole in by.values())
        for by in spent.values()
        if len(by) == len(tasks)
    ]
    each = {
        task: [by[task][0] / by[task][1] for by in spent.values() if task in by] for task in tasks
    }
    means = {task: fmean(found) if found else None for task, found in each.items()}
    return over_seeds(shares, level, (0, 1)) | {"tasks": means}


def ranks(
    points: Mapping[str, PointResult],
    settings: Mapping[Setting, Sequence[str]],
    kinds: Mapping[Method, str],
) -> list[dict[str, Any]]:
    """Where each method's adapters of each task put their change, beside the importance w.

    [{"method", "task", "points": n, "matrices": [{"name", "layer", "module", "w", "norm",
      "effective_rank", "rank"}],
      "norm_follows_w", "effective_rank_follows_w": Spearman's correlation over matrices | null}]

    Numbers are means over seeds. w is measured before training, and by calibrated runs alone: other
    methods stand beside the w of these runs on the same task.
    """
    weights = _weights(points, settings, kinds)
    found = []
    for setting, names in settings.items():
        used = [u for n in names if (u := points[n].records.get("usage")) and u.get("matrices")]
        if not used:
            continue
        w = weights.get(setting.task, {})
        matrices = []
        for i, first in enumerate(used[0]["matrices"]):
            each = [u["matrices"][i] for u in used if _alike(u, used[0])]
            entry = {key: first[key] for key in ("name", "layer", "module")}
            entry["w"] = w.get(first["name"])
            for key in ("norm", "effective_rank", "rank"):
                known = [m[key] for m in each if m.get(key) is not None]
                entry[key] = fmean(known) if known else None
            matrices.append(entry)
        follows = {
            f"{key}_follows_w": _correlation(matrices, key) for key in ("norm", "effective_rank")
        }
        one = {"method": setting.method.label, "task": setting.task, "points": len(used)}
        found.append({**one, "matrices": matrices, **follows})
    return found


def spreads(points: Sequence[PointResult]) -> list[dict[str, Any]]:
    """How far (1 − w)^β spreads over the matrices of each calibrated point.

    [{"point", "normalise", "min", "max", "cv", "uniform"}]
    """
    return [
        {"point": p.name, "normalise": made["normalise"], **made["spread"],
         "uniform": made["uniform"]}
        for p in points
        if (made := p.records.get("importance"))
    ]  # fmt: skip


def _weights(
    points: Mapping[str, PointResult],
    settings: Mapping[Setting, Sequence[str]],
    kinds: Mapping[Method, str],
) -> dict[str, dict[str, float]]:
    """Task → name of a matrix → mean w over the seeds of the first method that has calibrated."""
    found: dict[str, dict[str, float]] = {}
    for setting, names in settings.items():
        made = [i for n in names if (i := points[n].records.get("importance"))]
        if kinds[setting.method] != "iw_lora" or setting.task in found or not made:
            continue
        each: dict[str, list[float]] = {}
        for importance in made:
            for matrix in importance["matrices"]:
                each.setdefault(matrix["name"], []).append(matrix["w"])
        found[setting.task] = {name: fmean(values) for name, values in each.items()}
    return found


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return [m["name"] for m in one["matrices"]] == [m["name"] for m in other["matrices"]]


def _correlation(matrices: Sequence[Mapping[str, Any]], key: str) -> float | None:
    known = [(m["w"], m[key]) for m in matrices if m["w"] is not None and m[key] is not None]
    return spearman(*zip(*known, strict=True)) if known else None


def _saved(logs: Any) -> float | None:
    known = list(logs)
    return -math.expm1(fmean(known)) if known else None
