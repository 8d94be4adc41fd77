"""Points side by side: the tables of `aggregated_metrics.json` and its flat rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from lib.analysis.paired import Measure, average, paired
from lib.analysis.wording import bounded
from lib.config.points import matches
from lib.config.tasks import PointResult, Row
from lib.runs.train_log import validation_accuracy
from lib.tasks.preference import criteria, significance, variance
from lib.tasks.preference.cells import (
    Cell,
    Line,
    Setting,
    cells,
    lines_of,
    settings_of,
    variant_of,
)
from lib.tasks.preference.measures import (
    ACCURACY,
    MT_BENCH,
    accuracy,
    judged,
    measured,
    mt_bench,
)
from lib.tasks.preference.metrics import RATES

TURNS = ("mt_bench", "mt_bench_turn1", "mt_bench_turn2")
NUMBERS = (*RATES, "kl_chosen", "kl_rejected", "margin", *TURNS)  # of a point, in one flat row


def tabulate(
    points: Sequence[PointResult], rows: Sequence[Row], eval_config: Any
) -> dict[str, Any]:
    """Every comparison, JSON-able.

    {"rows": n, "level": …, "resamples": …,
     "baseline": {"label", "points", "reason"},    reason: why nothing relative to it is known
     "mt_bench": {"judge", "prompts_hash", "reason", "points", "judged", "parse_failures",
                  "unjudged"},
     "points": {name: {"status", "values", "label", "beta", "tau", "seed", "metrics": {number: …},
                       "unscored", "margin_quantiles", "by_source", "validation_accuracy",
                       "mt_bench": metrics without "questions" | null}},
     "settings": [{"label", "line", "variant", "objective", "tau", "beta", "rest", "points",
                   "seeds", "statuses", "diverged": n, "metrics": {number: {"values", "mean",
                   "sd"}}, "interval": {measure: {"value", "low", "high"}},
                   "validation_accuracy": mean | null,
                   "against_baseline": {measure: a member of `significance`}}],
     "lines": [label, …],
     "low_beta": {measure: TD-DPO at β 0.01, τ 0.5 against the best DPO, as `paired.paired`},
     "variance": {measure: `variance.over_beta`}, "significance": `significance.families`}

    `values` of a metric holds every seed, null where it has none; mean and sd are over the others.
    A diverged point is counted in its setting and in no average. `validation_accuracy`: mean over
    the measured seeds, null where one has none. `interval`: of the mean over seeds, by resampling
    test items. measure: accuracy, mt_bench.
    """
    all_cells = cells(points)
    members = settings_of(all_cells)
    lines = lines_of(members)
    by_name = {point.name: point for point in points}
    rated, reason = mt_bench(points, eval_config)
    measures = {ACCURACY: accuracy(points, eval_config), MT_BENCH: rated}
    baseline, why = find_baseline(points, members, measures[ACCURACY], eval_config)
    tests = significance.families(measures, members, lines, baseline, eval_config.level)
    dpo = variant_of(all_cells, "dpo")
    table = [
        _of_setting(s, names, by_name, all_cells, measures, eval_config.level)
        for s, names in members.items()
    ]
    _add_baseline_tests(table, tests)
    diverged = {s: entry["diverged"] for s, entry in zip(members, table, strict=True)}
    made = {
        "rows": len(rows),
        "level": eval_config.level,
        "resamples": eval_config.resamples,
        "baseline": {
            "label": baseline.label if baseline else None,
            "points": members[baseline] if baseline else [],
            "reason": why,
        },
        "mt_bench": _judgements(points, rated, reason),
        "points": {p.name: _of_point(p, all_cells[p.name]) for p in points},
        "settings": table,
        "lines": [line.label for line in lines],
        "variance": {
            name: variance.over_beta(measure, members, lines, diverged, dpo, eval_config.level)
            for name, measure in measures.items()
            if measure is not None
        },
        "significance": tests,
    }
    ours, best = criteria.setting(made, "td_dpo", 0.01, 0.5)[0], criteria.best_dpo(made)[0]
    made["low_beta"] = {
        name: measure
        and ours
        and best
        and paired(measure, ours["points"], best["points"], eval_config.level)
        for name, measure in measures.items()
    }
    return made


def find_baseline(
    points: Sequence[PointResult],
    members: Mapping[Setting, Sequence[str]],
    measure: Measure | None,
    eval_config: Any,
) -> tuple[Setting | None, str | None]:
    """The setting that `eval_config.baseline` names, all its seeds, and why it cannot serve, if so.

    A seed in `eval_config.baseline` singles out a point for the grid; here its setting is meant, so
    that the baseline is averaged over as many seeds as what it is compared with.
    """
    fits = {p.name for p in points if matches(p.values, eval_config.baseline)}
    found = [setting for setting, names in members.items() if fits & set(names)]
    if len(found) != 1:
        return None, f"evaluate.baseline fits {len(found)} settings, expected one"
    names = members[found[0]]
    if measure is None or not any(name in measure.values for name in names):
        statuses = Counter(p.status for p in points if p.name in names)
        told = ", ".join(f"{count} {status}" for status, count in statuses.items())
        return None, f"the baseline {found[0].label} has no measured point ({told})"
    return found[0], None


def numbers(point: PointResult) -> dict[str, dict[str, Any]]:
    """Every number of NUMBERS as {"value", "low", "high", "method"}; empty where not measured."""
    if not measured(point):
        return {}
    metrics = point.metrics
    found = {**metrics["metrics"], "margin": metrics["margin"]["mean"]}
    found |= {f"kl_{side}": metrics["kl"][side] for side in ("chosen", "rejected")}
    if table := judged(point):
        intervals = table.get("intervals") or {}
        for name, key in zip(TURNS, ("mean", "turn1", "turn2"), strict=True):
            low, high = intervals.get(key) or (None, None)
            found[name] = {"value": table.get(key), "low": low, "high": high, "method": "bootstrap"}
    return found


def flat(points: Sequence[PointResult], tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a point for the CSV, in grid order, all with the same keys; unknown numbers None.

    Columns that end in _seeds_mean and _seeds_sd, and those against the baseline, are of the
    point's setting: the same in the rows of all its seeds.
    """
    axes = list(dict.fromkeys(axis for point in points for axis in point.values))
    of_point = {name: setting for setting in tables["settings"] for name in setting["points"]}
    rows = []
    for point in points:
        table, setting = tables["points"][point.name], of_point[point.name]
        row = {"point": point.name, **{axis: point.values.get(axis) for axis in axes}}
        row |= {key: table[key] for key in ("status", "unscored", "validation_accuracy")}
        for name in NUMBERS:
            row |= bounded(name, table["metrics"].get(name))
        rated = table["mt_bench"] or {}
        row |= {f"mt_bench_{key}": rated.get(key) for key in ("parse_failures", "unjudged")}
        low, high = rated.get("bounds") or (None, None)
        row |= {"mt_bench_if_failures_were_1": low, "mt_bench_if_failures_were_10": high}
        row |= {"seeds": len(setting["seeds"]), "seeds_diverged": setting["diverged"]}
        for name in (ACCURACY, MT_BENCH):
            seeds = setting["metrics"][name]
            row |= {f"{name}_seeds_{key}": seeds[key] for key in ("mean", "sd")}
            test = setting["against_baseline"].get(name) or {}
            row |= bounded(f"{name}_minus_baseline", test.get("difference"))
            row |= bounded(f"{name}_improvement_rate", test.get("rate"))
            row |= {f"{name}_{key}": test.get(key) for key in ("p_value", "p_holm")}
        rows.append(row)
    return rows


def _of_point(point: PointResult, cell: Cell) -> dict[str, Any]:
    metrics = point.metrics if measured(point) else None
    rated = judged(point) if metrics else None
    return {
        "status": point.status,
        "values": dict(point.values),
        "label": cell.setting.line.label,
        "beta": cell.setting.beta,
        "tau": cell.setting.line.tau,
        "seed": cell.seed,
        "metrics": numbers(point),
        "unscored": metrics["unscored"] if metrics else None,
        "margin_quantiles": metrics["margin"]["quantiles"] if metrics else None,
        "by_source": metrics["by_source"] if metrics else None,
        "validation_accuracy": validation_accuracy(point),
        "mt_bench": rated and {k: v for k, v in rated.items() if k != "questions"},
    }


def _of_setting(
    setting: Setting,
    names: Sequence[str],
    points: Mapping[str, PointResult],
    all_cells: Mapping[str, Cell],
    measures: Mapping[str, Measure | None],
    level: float,
) -> dict[str, Any]:
    found = [numbers(points[name]) for name in names]
    statuses = [points[name].status for name in names]
    validated = [validation_accuracy(points[name]) for name in names if measured(points[name])]
    line: Line = setting.line
    return {
        "label": setting.label,
        "line": line.label,
        "variant": line.variant,
        "objective": all_cells[names[0]].objective,
        "tau": line.tau,
        "beta": setting.beta,
        "rest": dict(line.rest),
        "points": list(names),
        "seeds": [all_cells[name].seed for name in names],
        "statuses": statuses,
        "diverged": statuses.count("diverged"),
        "metrics": {name: _seeds([f.get(name) for f in found]) for name in NUMBERS},
        "interval": {name: average(measure, names, level) for name, measure in measures.items()},
        "validation_accuracy": fmean(validated) if validated and None not in validated else None,
        "against_baseline": {},
    }


def _seeds(found: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Every seed's value, their mean and sample deviation."""
    values = [entry["value"] if entry else None for entry in found]
    known = [v for v in values if v is not None and math.isfinite(v)]
    return {
        "values": values,
        "mean": fmean(known) if known else None,
        "sd": stdev(known) if len(known) > 1 else None,
    }


def _add_baseline_tests(table: Sequence[dict[str, Any]], tests: Mapping[str, Any]) -> None:
    by_label = {entry["label"]: entry for entry in table}
    for name, family in tests["families"].items():
        if name.startswith("baseline"):
            for test in family["members"]:
                by_label[test["a"]]["against_baseline"][family["measure"]] = test


def _judgements(
    points: Sequence[PointResult], rated: Measure | None, reason: str | None
) -> dict[str, Any]:
    found = [t for p in points if measured(p) and (t := judged(p)) is not None]
    one = found[0] if rated else {}
    return {
        "judge": one.get("judge"),
        "prompts_hash": one.get("prompts_hash"),
        "reason": reason,
        "points": len(found),
        "judged": sum(t.get("n_judged") or 0 for t in found),
        **{key: sum(t.get(key) or 0 for t in found) for key in ("parse_failures", "unjudged")},
    }
