"""What points are compared by: one value a test item of every point, and resamples of the items."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lib.analysis.paired import Measure
from lib.analysis.statistics import resample_counts
from lib.config.tasks import PointResult
from lib.tasks.mt_bench.judging import HIGHEST, LOWEST
from lib.tasks.preference.evaluate import prompts, read_scores, resamples
from lib.tasks.preference.metrics import log_ratios, wins

ACCURACY, MT_BENCH = "accuracy", "mt_bench"
STEPS = (1.0, 0.5, 0.1)  # between ratings, coarsest first
FINEST = 0.05  # judges that rate finer are rounded to it in the sign-flip test


def measured(point: PointResult) -> bool:
    """Whether a point has numbers. A diverged run has none, whatever its files hold."""
    return point.status == "done" and point.metrics is not None


def accuracy(points: Sequence[PointResult], eval_config: Any) -> Measure | None:
    """Wins by the implicit reward, one item a test pair, clustered by prompt; None without any."""
    values, clusters = {}, None
    for point in points:
        scores = read_scores(point.predictions or ()) if measured(point) else None
        if scores is not None:
            values[point.name] = wins(log_ratios(scores.policy, scores.reference))
            clusters = clusters or prompts(point.predictions)
    return values and Measure(values, resamples(clusters, eval_config), clusters, 0.5, 1.0) or None


def mt_bench(points: Sequence[PointResult], eval_config: Any) -> tuple[Measure | None, str | None]:
    """Ratings, one item a question and turn, clustered by question; None and the reason if none.

    Expects of `point.others["mt_bench"]`: "judge", "prompts_hash", "parse_failures" and
    "questions": {question: [rating of turn 1 | null, of turn 2 | null]}. Ratings of two judges, or
    under two sets of prompts, are not one scale: then there is no measure.
    """
    found = {p.name: t for p in points if measured(p) and (t := judged(p)) is not None}
    if not found:
        return None, _silence(points)
    judges = {(t.get("judge"), t.get("prompts_hash")) for t in found.values()}
    if len(judges) > 1:
        names = sorted({str(judge) for judge, _ in judges})
        return None, f"judged by {len(judges)} judges or sets of prompts ({', '.join(names)})"
    items = sorted({(str(q), i) for t in found.values() for q in t["questions"] for i in (0, 1)})
    values = {
        name: np.array([_rating(table["questions"], q, turn) for q, turn in items])
        for name, table in found.items()
    }
    clusters = tuple(question for question, _ in items)
    counts = resample_counts(len(items), eval_config.resamples, eval_config.seed, clusters)
    return Measure(values, counts, clusters, _step(values), HIGHEST - LOWEST), None


def _silence(points: Sequence[PointResult]) -> str:
    """Why no point has a rating: nobody was asked, or what was said held none."""
    tables = [table for p in points if measured(p) and (table := p.others.get("mt_bench"))]
    unread = sum(table.get("parse_failures") or 0 for table in tables)
    if not unread:
        return "no point was judged"
    names = sorted({str(table["judge"]) for table in tables if table.get("parse_failures")})
    return f"none of {unread:,} judgements by {', '.join(names)} holds a rating"


def judged(point: PointResult) -> Mapping[str, Any] | None:
    """Metrics of the task mt_bench, where a judge gave any rating."""
    table = (getattr(point, "others", None) or {}).get("mt_bench")
    return table if table and table.get("questions") and table.get("mean") is not None else None


def _rating(questions: Mapping[str, Sequence[float | None]], question: str, turn: int) -> float:
    value = questions.get(question, (None, None))[turn]
    return math.nan if value is None else float(value)


def _step(values: Mapping[str, np.ndarray]) -> float:
    """The coarsest step of which all values are whole multiples."""
    known = np.concatenate([v[~np.isnan(v)] for v in values.values()])
    fits = (s for s in STEPS if np.allclose(known / s, np.rint(known / s), rtol=0, atol=1e-6))
    return next(fits, FINEST)
