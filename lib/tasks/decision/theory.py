"""What theory expects of a class-weighted decision, and what was measured of it.

With the loss of one class multiplied by γ and a training set of k rejects for one accept, the
optimal score is the log likelihood ratio of the paper plus a constant:

    logit q*(accept | x) = log LR(x) − log k + log γ     the loss of accepts is weighted
                         = log LR(x) − log k − log γ     the loss of rejects is weighted

Two points therefore differ by a known shift of all scores, and moving a threshold does the same
(`lib.tasks.decision.scores`).
Source: Elkan 2001, theorem 1; Menon et al., arXiv 2007.07314, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lib.analysis.engine import Answers
from lib.analysis.items import TestSet
from lib.analysis.metrics import decision_rates, expected_acceptance
from lib.analysis.rates import difference, mean
from lib.analysis.statistics import holm, percentile_interval, wilson
from lib.analysis.trends import page_trend
from lib.config.settings import lines
from lib.config.tasks import Row
from lib.tasks.decision.grading import DECISION
from lib.tasks.decision.metrics import confusions, reliability
from lib.tasks.decision.scores import (
    SIGN,
    Scores,
    against_control,
    bounded,
    control_curve,
    offset_of,
    scores_of,
)

GAMMA = "train.gamma"


def extras(answers: Answers) -> dict[str, list[dict[str, Any]]]:
    """The further tables of decisions, see `TABLES` of `lib.tasks.decision.analysis`."""
    if not answers.tests["decision"]:
        return {}
    [one] = answers.tests["decision"]
    scores = scores_of(answers, one)
    tables = {
        "trends": trends(answers, one, scores),
        "equal_odds": equal_odds(answers, scores),
        "truth": against_truth(answers, scores),
        "reliability": reliability(answers, one),
        "confusion": confusions(one),
    }
    if scores.base is not None:
        tables |= {
            "theory": against_theory(scores),
            "control": against_control(scores),
            "control_curve": control_curve(scores),
            "shift_line": shift_lines(scores, answers.study.config.evaluate.seed),
        }
    return {name: rows for name, rows in tables.items() if rows}


def against_theory(scores: Scores) -> list[dict[str, Any]]:
    """Acceptance and shift of each point beside what the baseline's scores lead to expect."""
    rows = []
    for i, name in enumerate(scores.points):
        z, base, delta = scores.z[i], scores.base[i], scores.delta[i]
        would = base + delta > 0
        interval = wilson(int(would.sum()), len(would), scores.level)
        expected = {"value": expected_acceptance(base, delta), **interval._asdict()}
        gap = difference((z > 0).astype(float) - would, scores.counts, len(z), scores.level)
        shift = mean(z - base, scores.counts, scores.level)
        rows.append(
            {
                "point": name,
                "delta": delta,
                **bounded("expected_acceptance", expected),
                "acceptance": float((z > 0).mean()),
                **bounded("acceptance_minus_expected", gap),
                **bounded("logit_shift", shift),
            }
        )
    return rows


def shift_lines(scores: Scores, seed: int) -> list[dict[str, Any]]:
    """Least squares of measured on expected shift over points: theory says slope 1, intercept 0.

    One row for all points, whose interval is over papers and seeds, and one a seed, over papers.
    The slope is unknown for fewer than two different shifts, the correlation for fewer than three
    points.
    """
    others = np.array([name not in scores.baselines for name in scores.points])
    shifts = (scores.z - scores.base)[others]
    counts = scores.counts
    resampled = counts @ shifts.T.astype(counts.dtype) / counts.sum(axis=1, keepdims=True)
    delta, of_point = scores.delta[others], scores.seed[others]
    seeds = np.unique(of_point)
    every = np.ones(len(delta), dtype=bool)
    groups = {"all": every} | {str(s): of_point == s for s in seeds if len(seeds) > 1}
    rows = []
    for name, some in groups.items():
        times = np.ones((len(counts), int(some.sum())))
        if name == "all" and len(seeds) > 1:
            drawn = np.random.default_rng([seed, len(seeds)])
            drawn = drawn.multinomial(len(seeds), [1 / len(seeds)] * len(seeds), len(counts))
            times = drawn[:, np.searchsorted(seeds, of_point)].astype(float)
        slopes = _slopes(delta[some], resampled[:, some], times)
        rows.append({"seed": name, **_line(delta[some], shifts[some].mean(axis=1), slopes,
                                           scores.level)})  # fmt: skip
    return rows


def _slopes(delta: np.ndarray, shifts: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(R,) slopes of (R, P) shifts on (P,) deltas, points counted (R, P) times; nan: undefined."""
    total = np.maximum(times.sum(axis=1, keepdims=True), 1)
    centred = delta - (times * delta).sum(axis=1, keepdims=True) / total
    squares = (times * centred**2).sum(axis=1)
    top = (times * centred * shifts).sum(axis=1)
    return np.divide(top, squares, out=np.full(len(top), np.nan), where=squares > 1e-12)


def _line(
    delta: np.ndarray, shifts: np.ndarray, slopes: np.ndarray, level: float
) -> dict[str, Any]:
    empty = dict.fromkeys(("slope", "low", "high", "intercept", "correlation"))
    if len(delta) < 2 or np.ptp(delta) < 1e-9:
        return {"points": len(delta), **empty}
    centred = delta - delta.mean()
    slope = float(shifts @ centred / (centred @ centred))
    low, high = percentile_interval(slopes, level) or (None, None)
    enough = len(delta) >= 3 and np.ptp(shifts) > 0
    return {
        "points": len(delta),
        "slope": slope,
        "low": low,
        "high": high,
        "intercept": float(shifts.mean() - slope * delta.mean()),
        "correlation": float(np.corrcoef(delta, shifts)[0, 1]) if enough else None,
    }


def trends(answers: Answers, one: TestSet, scores: Scores) -> list[dict[str, Any]]:
    """Each line over γ and each seed: neighbouring acceptance rates, and Page's test of the scores.

    in_order, equal, reversed: neighbouring γ whose acceptance rates go the expected way or not;
    reversed_clearly: with a paired interval without 0.
    """
    study, table = answers.study, answers.tables.points
    axis = next((axis for axis, key in study.axes.items() if key == GAMMA), None)
    if axis is None:
        return []
    done = table[(table["status"] == "done") & table["point"].isin(one.points)]
    named = {
        (setting, int(seed)): name
        for setting, seed, name in done[["setting", "seed", "point"]].itertuples(index=False)
    }
    configs = {point.name: point.config for point in study.points()}
    members = study.settings
    rows = []
    for line in lines(study, {}, axis, start=True):
        settings = list(line.values())
        classes = [p.config.train.weighted_class for s in settings for p in members[s][1]]
        weighted = next(filter(None, classes), None)
        if len(line) < 2 or weighted is None:
            continue
        place = members[settings[-1]][0]
        label = " ".join(str(value) for a, value in place.items() if a != axis)
        for seed in dict.fromkeys(s for setting, s in named if setting in settings):
            names = [named[s, seed] for s in settings if (s, seed) in named]
            rows.append({"line": label, "seed": seed, "weighted_class": weighted,
                         "levels": len(names), "of": len(line),
                         "gammas": " ".join(f"{configs[n].train.gamma:g}" for n in names),
                         **_steps(one, names, SIGN[weighted], scores),
                         **_page(names, SIGN[weighted], scores)})  # fmt: skip
    adjusted = holm({str(i): row["p"] for i, row in enumerate(rows)})
    return [row | {"p_holm": adjusted[str(i)]} for i, row in enumerate(rows)]


def _steps(one: TestSet, names: Sequence[str], sign: int, scores: Scores) -> dict[str, int]:
    found = {"in_order": 0, "equal": 0, "reversed": 0, "reversed_clearly": 0}
    accepted = [one.outcomes["accepted"][one.points.index(name)] for name in names]
    for lower, higher in zip(accepted, accepted[1:], strict=False):
        counts = one.counts(one.points.index(names[0]))
        step = difference(sign * (higher - lower), counts, len(lower), scores.level)
        if abs(step["value"]) < 1e-12:
            found["equal"] += 1
        elif step["value"] > 0:
            found["in_order"] += 1
        else:
            found["reversed"] += 1
            found["reversed_clearly"] += step["high"] is not None and step["high"] < 0
    return found


def _page(names: Sequence[str], sign: int, scores: Scores) -> dict[str, Any]:
    at = [scores.points.index(name) for name in names if name in scores.points]
    test = page_trend(sign * scores.z[np.array(at, dtype=int)].T)
    return {"page": test.statistic, "p": test.p_value, "method": test.method, "why": test.reason}


def equal_odds(answers: Answers, scores: Scores) -> list[dict[str, Any]]:
    """Settings whose offset is the same (γ/k, or 1/(γk)) and which should therefore agree.

    Ranges are largest minus smallest of the means over seeds.
    """
    estimates = answers.tables.estimates
    rates = estimates[(estimates["of"] == "setting") & (estimates["metric"] == "acceptance_rate")
                      & (estimates["slice"] == "")].set_index("name")["value"]  # fmt: skip
    scored = dict(zip(scores.points, scores.z.mean(axis=1), strict=True))
    groups: dict[float, list[str]] = {}
    members = answers.study.settings
    for label, (_, points) in members.items():
        if label in rates:
            groups.setdefault(round(offset_of(points[0].config), 9), []).append(label)
    rows = []
    for offset, labels in sorted(groups.items(), reverse=True):
        if len(labels) > 1:
            known = [[scored[p.name] for p in members[s][1] if p.name in scored] for s in labels]
            rows.append({"offset": offset, "odds": math.exp(offset), "settings": len(labels),
                         "which": " ".join(labels),
                         "acceptance_range": _range([rates[s] for s in labels]),
                         "logit_range": _range([np.mean(z) for z in known if z])})  # fmt: skip
    return rows


def _range(values: Sequence[float]) -> float | None:
    return float(max(values) - min(values)) if len(values) > 1 else None


def against_truth(answers: Answers, scores: Scores) -> list[dict[str, Any]]:
    """What a perfect learner would do at a point's offset; of a synthetic corpus alone."""
    truth = true_log_odds(answers.rows["decision"])
    if truth is None:
        return []
    y = np.array([DECISION[row["decision"]] for row in answers.rows["decision"]])
    best = {
        "bayes_accuracy": decision_rates(y, (truth > 0).astype(int))["accuracy"],
        "bayes_accuracy_on_average": float((1 / (1 + np.exp(-np.abs(truth)))).mean()),
    }
    rows = []
    for result in answers.results["decision"]:
        offset = offset_of(result.config)
        z = scores.z[scores.points.index(result.name)] if result.name in scores.points else None
        varied = z is not None and len(z) > 2 and np.ptp(z) > 0 and np.ptp(truth) > 0
        decided = (truth + offset > 0).astype(int)
        rows.append({
            "point": result.name,
            "expected_acceptance": expected_acceptance(truth, offset),
            "expected_accuracy": decision_rates(y, decided)["accuracy"],
            "correlation": float(np.corrcoef(z, truth)[0, 1]) if varied else None,
            **best,
        })  # fmt: skip
    return rows


def true_log_odds(rows: Sequence[Row]) -> np.ndarray | None:
    """(n,) `log_odds_true` of the rows of a synthetic corpus, None where any row has none."""
    values = [row.get("log_odds_true") for row in rows]
    if not values or any(value is None for value in values):
        return None
    return np.array(values, dtype=float)
