"""Paired tests of methods on the same dev rows, in families declared here.

    variants   every two variants at each task; of several settings of one, the chosen one
    baseline   every method against the baseline's at each task

each adjusted by Holm over all its members, and the tests of single seeds among themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from lib.analysis.paired import Measure, averages, paired
from lib.analysis.statistics import holm, percentile_interval, sign_flip
from lib.config.tasks import PointResult, Row
from lib.tasks.glue.cells import Cell, Method, Setting
from lib.tasks.glue.evaluate import clusters, resamples
from lib.tasks.glue.seeds import over_seeds
from lib.tasks.glue.table import main_set

TEST = (
    "exact sign-flip test of the differences, each row averaged over seeds; rows that share their "
    "first sentence flip together. Of one seed on independent rows: McNemar's exact test"
)
Sets = Mapping[tuple[str, str], Measure]  # (task, set) → right or wrong, one value a row


def measured(point: PointResult) -> bool:
    """Whether a point has numbers. A diverged run has none, whatever its files hold."""
    return point.status == "done" and point.metrics is not None


def accuracy(points: Sequence[PointResult], rows: Sequence[Row], eval_config: Any) -> dict:
    """`Sets`: which rows each measured point has right, for every dev set of its task."""
    found: dict[tuple[str, str], Measure] = {}
    for key in dict.fromkeys((row["task"], row["set"]) for row in rows):
        task, part = key
        own = [row for row in rows if row["task"] == task]
        at = [place for place, row in enumerate(own) if row["set"] == part]
        groups = clusters([own[place] for place in at])
        values = {
            p.name: np.array([float(p.predictions[place]["correct"]) for place in at])
            for p in points
            if measured(p) and p.config.data.task == task
        }
        found[key] = Measure(values, resamples(groups, eval_config, task, part), groups, 1.0, 1.0)
    return found


def families(
    sets: Sets,
    settings: Mapping[Setting, Sequence[str]],
    all_cells: Mapping[str, Cell],
    chosen: Sequence[Method],
    methods: Sequence[Method],
    baseline: Method | None,
    level: float,
) -> dict[str, Any]:
    """significance.json.

        {"test", "adjustment": "holm", "level",
         "families": {name: {"size": tests with a p-value, "seed_size", "members": [
             {"a", "b": labels of methods, "task", "set", "points_a", "points_b",
              "difference": {value, low, high}, "standard_error", "items",
              "independent": groups of rows, "p_value", "p_holm",
              "by_seed": [{"seed", "only_a", "only_b": rows that one alone has right,
                           "p_value", "p_holm"}]}]}}}

    A comparison of which a side has no value is a member with nulls, and does not count in Holm's
    adjustment.
    """
    pairs = {"variants": [(b, a) for a, b in combinations(chosen, 2)]}
    if baseline is not None:
        pairs["baseline"] = [(m, baseline) for m in methods if m != baseline]
    tasks = list(dict.fromkeys(setting.task for setting in settings))
    found = {}
    for name, both in pairs.items():
        members = [
            _member(sets, settings, all_cells, a, b, task, level) for a, b in both for task in tasks
        ]
        single = [test for member in members for test in member["by_seed"]]
        sizes = [_adjust(members), _adjust(single)]
        found[name] = {"size": sizes[0], "seed_size": sizes[1], "members": members}
    return {"test": TEST, "adjustment": "holm", "level": level, "families": found}


def mean_difference(
    sets: Sets,
    settings: Mapping[Setting, Sequence[str]],
    all_cells: Mapping[str, Cell],
    a: Method,
    b: Method,
    level: float,
) -> dict[str, Any] | None:
    """Accuracy of `a` minus that of `b`, the plain mean over tasks, of seeds that have all of it.

    {"value", "low", "high": of other dev rows, by the paired bootstrap, tasks drawn apart,
     "seeds": `over_seeds` of the differences of each seed, "tasks": {task: difference}}

    None where no seed has every task measured on both sides.
    """
    tasks = list(dict.fromkeys(setting.task for setting in settings))
    sides: dict[str, list[dict[int, str]]] = {}  # task → seed → point, of a and of b
    for task in tasks:
        measure = sets.get((task, main_set(task)))
        known = [_known(settings, measure, Setting(method, task)) for method in (a, b)]
        sides[task] = [{all_cells[name].seed: name for name in names} for names in known]
    every = [side for both in sides.values() for side in both]
    shared = [seed for seed in every[0] if all(seed in side for side in every)] if every else []
    if not shared:
        return None
    values, resampled, by_seed = {}, [], {}
    for task, both in sides.items():
        measure = sets[task, main_set(task)]
        (ours, parts), (theirs, others) = (
            averages(measure, [side[seed] for seed in shared]) for side in both
        )
        values[task] = ours - theirs
        resampled.append(parts - others)
        means = [{seed: measure.values[side[seed]].mean() for seed in shared} for side in both]
        by_seed[task] = {seed: means[0][seed] - means[1][seed] for seed in shared}
    differences = [float(np.mean([by_seed[task][s] for task in tasks])) for s in shared]
    low, high = percentile_interval(np.mean(resampled, axis=0), level) or (None, None)
    return {
        "value": float(np.mean(list(values.values()))),
        "low": low,
        "high": high,
        "seeds": over_seeds(differences, level, (-1, 1)),
        "tasks": values,
    }


def _member(
    sets: Sets,
    settings: Mapping[Setting, Sequence[str]],
    all_cells: Mapping[str, Cell],
    a: Method,
    b: Method,
    task: str,
    level: float,
) -> dict[str, Any]:
    part = main_set(task)
    measure = sets.get((task, part))
    ours, theirs = (_known(settings, measure, Setting(method, task)) for method in (a, b))
    nothing = {"value": None, "low": None, "high": None}
    found: dict[str, Any] = {"difference": nothing, "standard_error": None, "items": 0}
    found |= {"independent": 0, "p_value": None}
    by_seed = []
    if measure is not None and ours and theirs:
        found = paired(measure, ours, theirs, level)
        del found["rate"]
        one, other = (_by_seed(measure, all_cells, names) for names in (ours, theirs))
        by_seed = [_of_seed(s, one[s], other[s], measure) for s in one if s in other]
    return {
        "a": a.label,
        "b": b.label,
        "task": task,
        "set": part,
        "points_a": ours,
        "points_b": theirs,
        **found,
        "p_holm": None,
        "by_seed": by_seed,
    }


def _of_seed(seed: int, ours: np.ndarray, theirs: np.ndarray, measure: Measure) -> dict[str, Any]:
    flipped = measure.clusters if len(set(measure.clusters)) < len(ours) else None
    return {
        "seed": seed,
        "only_a": int((ours > theirs).sum()),
        "only_b": int((theirs > ours).sum()),
        "p_value": sign_flip(ours - theirs, 1.0, flipped),
        "p_holm": None,
    }


def _adjust(tests: Sequence[dict[str, Any]]) -> int:
    """Put Holm's p-values into the tests; returns how many have one."""
    adjusted = holm({str(i): test["p_value"] for i, test in enumerate(tests)})
    for i, test in enumerate(tests):
        test["p_holm"] = adjusted[str(i)]
    return sum(test["p_value"] is not None for test in tests)


def _known(
    settings: Mapping[Setting, Sequence[str]], measure: Measure | None, setting: Setting
) -> list[str]:
    """Points of a setting that the measure has."""
    names = settings.get(setting, ())
    return [name for name in names if measure is not None and name in measure.values]


def _by_seed(
    measure: Measure, all_cells: Mapping[str, Cell], names: Sequence[str]
) -> dict[int, np.ndarray]:
    return {all_cells[name].seed: measure.values[name] for name in names}
