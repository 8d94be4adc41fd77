"""Graded decisions → metrics of a point.

Left out on purpose: reading and writing files (the stage's work), and torch. scipy is imported by
the few functions of `lib.analysis.statistics` that need it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lib.analysis.metrics import confusion, decision_intervals, decision_rates, reliability_table
from lib.analysis.statistics import resample_counts, wilson
from lib.config.tasks import Row

DECISION = {"accept": 1, "reject": 0, "unknown": -1}
SCORED = ("auc", "brier", "ece")  # metrics that need a score of every row
METRICS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "acceptance_rate",
    "actual_acceptance_rate",
    *SCORED,
)


class Answers(NamedTuple):
    """Graded predictions of one point as arrays (n,); z, p: None unless every row has both."""

    pred: np.ndarray  # 1 accept, 0 reject, −1 unknown
    z: np.ndarray | None  # log P(accept)/P(reject)
    p: np.ndarray | None  # P(accept) of the two


def evaluate(rows: list[Row], predictions: list[Row], eval_config: Any) -> dict[str, Any]:
    """metrics.json of one point.

        {"rows": n, "unknown": n, "unscored": n,
         "metrics": {name: {"value", "low", "high", "method"}},       names: METRICS
         "confusion": {actual: {answer: n}}, "neither_mean": …, "neither_max": …,
         "score_agreement": share of known answers that equal the sign of log_odds,
         "by_year": {year: {"rows", "unknown", "metrics": {name: …}}}, "reliability": [bin, …],
         "level": …, "resamples": …}

    Rates lie in [0, 1]. What is undefined is null; AUC, Brier and ECE are when a row has no score.
    Rows without a year are in no year. `eval_config`: the study's `evaluate` section.
    """
    y, answers = labels(rows), read_answers(predictions)
    neither = [p["neither"] for p in predictions if p.get("neither") is not None]
    known = answers.pred >= 0
    agreement = None
    if answers.z is not None and known.any():
        agreement = float(np.mean((answers.z > 0)[known] == (answers.pred == 1)[known]))
    return {
        "rows": len(rows),
        "unknown": int((~known).sum()),
        "unscored": sum(_unscored(p) for p in predictions),
        "metrics": _metrics(y, answers, resamples(len(y), eval_config), eval_config),
        "confusion": confusion(y, answers.pred),
        "neither_mean": float(np.mean(neither)) if neither else None,
        "neither_max": float(max(neither)) if neither else None,
        "score_agreement": agreement,
        "by_year": _by_year(rows, y, answers.pred, eval_config.level),
        "reliability": reliability_table(y, answers.p, eval_config.bins, eval_config.level)
        if answers.p is not None
        else None,
        "level": eval_config.level,
        "resamples": eval_config.resamples,
    }


def labels(rows: Sequence[Row]) -> np.ndarray:
    """(n,) 1 = accept, 0 = reject."""
    return np.array([DECISION[row["decision"]] for row in rows], dtype=int)


def read_answers(predictions: Sequence[Row]) -> Answers:
    """Graded predictions as arrays; one row without scores leaves the point without any."""
    pred = np.array([DECISION[p["prediction"]] for p in predictions], dtype=int)
    if not predictions or any(_unscored(p) for p in predictions):
        return Answers(pred, None, None)
    z = np.array([p["log_odds"] for p in predictions], dtype=float)
    return Answers(pred, z, np.array([p["p_accept"] for p in predictions], dtype=float))


@lru_cache(maxsize=2)
def _counts(n: int, resamples: int, seed: int) -> np.ndarray:
    counts = resample_counts(n, resamples, seed)
    counts.flags.writeable = False  # shared by every point
    return counts


def resamples(n: int, eval_config: Any) -> np.ndarray:
    """(R, n) multiplicities, the same for every point of a study."""
    return _counts(n, eval_config.resamples, eval_config.seed)


def _unscored(prediction: Row) -> bool:
    values = (prediction.get("log_odds"), prediction.get("p_accept"))
    return any(value is None or not math.isfinite(value) for value in values)


def _metrics(
    y: np.ndarray, answers: Answers, counts: np.ndarray, eval_config: Any
) -> dict[str, dict[str, Any]]:
    pred, level = answers.pred, eval_config.level
    found: dict[str, dict[str, Any]] = decision_intervals(
        y, pred, answers.p, counts, level, bins=eval_config.bins, score=answers.z
    )
    for name, among in (("precision", pred == 1), ("recall", y == 1)):
        if found[name]["value"] in (0.0, 1.0):  # so it is in every resample, of 3 papers or 3,000
            hits = int((among & (y == 1) & (pred == 1)).sum())
            low, high = wilson(hits, int(among.sum()), level)
            found[name] |= {"low": low, "high": high, "method": "wilson"}
    actual = decision_rates(y, pred)["actual_acceptance_rate"]
    found["actual_acceptance_rate"] = {"value": actual, "low": None, "high": None, "method": None}
    empty = {"value": None, "low": None, "high": None, "method": None}
    return {name: found.get(name, dict(empty)) for name in METRICS}


def _by_year(
    rows: Sequence[Row], y: np.ndarray, pred: np.ndarray, level: float
) -> dict[str, dict[str, Any]]:
    """Rates of each year, with Wilson's interval where the denominator is the year's rows."""
    places = defaultdict(list)
    for place, row in enumerate(rows):
        if row.get("year") is not None:
            places[str(row["year"])].append(place)
    table = {}
    for year in sorted(places):
        of_year, answers = y[places[year]], pred[places[year]]
        successes = {"accuracy": of_year == answers, "acceptance_rate": answers == 1}
        metrics = {}
        for name, value in decision_rates(of_year, answers).items():
            low = high = None
            if name in successes:
                low, high = wilson(int(successes[name].sum()), len(answers), level) or (None, None)
            metrics[name] = {
                "value": value,
                "low": low,
                "high": high,
                "method": "wilson" if name in successes else None,
            }
        table[year] = {
            "rows": len(answers),
            "unknown": int((answers < 0).sum()),
            "metrics": metrics,
        }
    return table
