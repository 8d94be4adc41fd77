"""Judged answers → mean ratings by turn and category, with what parse failures leave open.

Ratings lie in 1 … 10. They are read again from the judge's raw words, so that reading can change
without asking again. Intervals resample questions, whose two turns are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from lib.analysis.statistics import percentile_interval, resample_counts
from lib.config.tasks import Row
from lib.inference.outputs import bad
from lib.tasks.mt_bench.judging import HIGHEST, LOWEST, rating_of
from lib.tasks.mt_bench.schema import TEMPERATURES

TURNS = {"mean": (0, 1), "turn1": (0,), "turn2": (1,)}


def evaluate(rows: list[Row], predictions: list[Row], eval_config: Any) -> dict[str, Any]:
    """metrics.json of MT-Bench for one point; predictions in any order, found by id.

        {"mean", "turn1", "turn2": mean rating over the turns that have one, as in FastChat,
         "standard_error": of the mean, over questions,
         "intervals": {"mean" | "turn1" | "turn2": [low, high] | null},
         "bounds": [low, high] of the mean if every turn without rating were a 1 … a 10,
         "categories": {category: {"mean", "turn1", "turn2", "n": rated turns, "intervals": …}},
         "questions": {id: [rating of turn 1, of turn 2]},
         "rows", "n_judged": rated turns, "parse_failures": turns whose judgment has no rating,
         "unjudged": turns for which no judgment could be had,
         "judge": name, "prompts_hash", "level", "resamples"}

    Without a judge all but the counts is null; nothing counts as unjudged then. What is undefined
    is null. On ten questions a category's percentile interval is somewhat too narrow.
    eval_config: the study's `evaluate` section (level, resamples, seed). Raises BadInput for
    judgments of another form.
    """
    by_id = {made["id"]: made for made in predictions}
    judgments = [judgments_of(by_id.get(row["id"]) or {}) for row in rows]
    asked = any(j is not None for pair in judgments for j in pair)
    raws = [[j["raw"] if j else None for j in pair] for pair in judgments]
    ratings = np.array(
        [[_number(rating_of(raw)) for raw in pair] for pair in raws], dtype=float
    ).reshape(-1, 2)
    silent = sum(raw is None for pair in raws for raw in pair)
    found = _described(ratings, eval_config)
    missing = int(np.isnan(ratings).sum())
    return {
        **found,
        "standard_error": _standard_error(ratings),
        "bounds": _bounds(ratings) if asked else None,
        "categories": {
            category: _described(ratings[places], eval_config)
            for category in TEMPERATURES
            if (places := [i for i, row in enumerate(rows) if row["category"] == category])
        },
        "questions": {
            row["id"]: [None if np.isnan(r) else float(r) for r in pair]
            for row, pair in zip(rows, ratings, strict=True)
        },
        "rows": len(rows),
        "n_judged": found["n"],
        "parse_failures": missing - silent,
        "unjudged": silent if asked else 0,
        "judge": _named(judgments, "judge"),
        "prompts_hash": _named(judgments, "prompts_hash"),
        "level": eval_config.level,
        "resamples": eval_config.resamples,
    }


def judgments_of(prediction: Row) -> list[Row | None]:
    """The judgment of each turn, None where there is none. Raises BadInput for anything else."""
    found = prediction.get("judgments")
    if found is None:
        return [None, None]
    if not isinstance(found, list) or len(found) != 2 or not all(map(_is_judgment, found)):
        raise bad(
            prediction, "judgments", found, "null or one object a turn with raw, text or null"
        )
    return found


def _is_judgment(found: Any) -> bool:
    if found is None:
        return True
    return isinstance(found, dict) and isinstance(found.get("raw", 0), (str, type(None)))


def _number(rating: float | None) -> float:
    return np.nan if rating is None else rating


def _described(ratings: np.ndarray, eval_config: Any) -> dict[str, Any]:
    """Means of ratings (n, 2), nan where there is none, and their intervals."""
    counts = _counts(len(ratings), eval_config.resamples, eval_config.seed)
    found: dict[str, Any] = {}
    intervals: dict[str, list[float] | None] = {}
    for name, turns in TURNS.items():
        rated = ~np.isnan(ratings[:, turns])
        n, sums = rated.sum(axis=1), np.where(rated, ratings[:, turns], 0.0).sum(axis=1)
        found[name] = float(sums.sum() / n.sum()) if n.sum() else None
        with np.errstate(invalid="ignore"):  # a resample without any rating is undefined
            values = (counts @ sums) / (counts @ n)
        interval = percentile_interval(values, eval_config.level)
        intervals[name] = interval and [interval.low, interval.high]
    return {**found, "n": int((~np.isnan(ratings)).sum()), "intervals": intervals}


@lru_cache(maxsize=16)
def _counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """(R, n) multiplicities, the same for every point of a study; float64, for exact sums."""
    counts = resample_counts(n, resamples, seed).astype(float)
    counts.flags.writeable = False
    return counts


def _standard_error(ratings: np.ndarray) -> float | None:
    """Of the mean over questions, each the mean of its rated turns; None below two questions."""
    rated = ratings[~np.isnan(ratings).all(axis=1)]
    if len(rated) < 2:
        return None
    means = np.nanmean(rated, axis=1)
    return float(means.std(ddof=1) / np.sqrt(len(means)))


def _bounds(ratings: np.ndarray) -> list[float]:
    return [float(np.where(np.isnan(ratings), end, ratings).mean()) for end in (LOWEST, HIGHEST)]


def _named(judgments: Sequence[Sequence[Row | None]], key: str) -> str | None:
    """What all judgments say under `key`; where they differ, all of it."""
    found = dict.fromkeys(j[key] for pair in judgments for j in pair if j and j.get(key))
    return " + ".join(found) or None
