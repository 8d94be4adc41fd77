"""Judged answers → ratings of each turn, in 1 … 10, and what judgments without one leave open.

Ratings are read again from the judge's raw words, so that reading can change without asking again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lib.config.tasks import Row
from lib.inference.outputs import bad
from lib.tasks.mt_bench.judging import HIGHEST, LOWEST, rating_of

TURNS = (1, 2)


def outcomes(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Sequence[Any]]:
    """Columns of the items of one point, one a question and turn; the turns of one are a cluster.

    rating               nan where the judgment holds none; rating_turn_1, rating_turn_2: of a turn
    rated                whether there is a rating
    lowest, highest      the rating, or 1, or 10 where there is none: what failures leave open

    The set is named after judge and prompts: ratings by others are no ratings on one scale, and are
    not compared. A point that no judge was asked about has no items. Raises BadInput for judgments
    of another form.
    """
    judgments, ratings, asked = read_ratings(predictions)
    ratings = ratings.reshape(-1) if asked else np.empty(0)
    own = rows if asked else ()
    # What ratings have to share to be compared.
    scale = f"{_named(judgments, 'judge')}, prompts {_named(judgments, 'prompts_hash')}"
    turn = np.tile(TURNS, len(own))
    known = ~np.isnan(ratings)
    return {
        "set": [scale] * len(ratings),
        "item": [f"{row['id']}/{turn}" for row in own for turn in TURNS],
        "cluster": [row["id"] for row in own for _ in TURNS],
        "category": [row["category"] for row in own for _ in TURNS],
        "rating": ratings,
        **{f"rating_turn_{n}": np.where(turn == n, ratings, np.nan) for n in TURNS},
        "rated": known.astype(float),
        "lowest": np.where(known, ratings, LOWEST),
        "highest": np.where(known, ratings, HIGHEST),
    }


def read_ratings(
    predictions: Sequence[Row],
) -> tuple[list[list[Row | None]], np.ndarray, bool]:
    """Judgments of both turns, their ratings (n, 2), nan for none, and whether a judge was asked.

    Raises BadInput for judgments of another form.
    """
    judgments = [judgments_of(one) for one in predictions]
    read = [[rating_of(one["raw"] if one else None) for one in pair] for pair in judgments]
    asked = any(one is not None for pair in judgments for one in pair)
    return judgments, np.array(read, dtype=float).reshape(-1, 2), asked


def point_extras(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Any]:
    """What metrics_mt_bench.json has beside the estimates.

    {"rows": questions, "n_judged": rated turns,
     "parse_failures": turns whose judgment has no rating,
     "unjudged": turns for which no judgment is available,
     "standard_error": of the mean over questions, each the mean of its rated turns,
     "questions": {id: [rating of turn 1, of turn 2]}, "judge": name | null, "prompts_hash"}

    Without a judge nothing counts as unjudged.
    """
    judgments, ratings, asked = read_ratings(predictions)
    silent = sum(one is None or one["raw"] is None for pair in judgments for one in pair)
    missing = int(np.isnan(ratings).sum())
    return {
        "rows": len(rows),
        "n_judged": ratings.size - missing,
        "parse_failures": missing - silent,
        "unjudged": silent if asked else 0,
        "standard_error": _standard_error(ratings),
        "questions": {
            row["id"]: [None if np.isnan(rating) else float(rating) for rating in pair]
            for row, pair in zip(rows, ratings, strict=True)
        },
        "judge": _named(judgments, "judge"),
        "prompts_hash": _named(judgments, "prompts_hash"),
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


def _named(judgments: Sequence[Sequence[Row | None]], key: str) -> str | None:
    """What all judgments say under `key`; where they differ, all of it."""
    found = dict.fromkeys(one[key] for pair in judgments for one in pair if one and one.get(key))
    return " + ".join(found) or None


def _standard_error(ratings: np.ndarray) -> float | None:
    """None below two questions with a rating."""
    rated = ratings[~np.isnan(ratings).all(axis=1)]
    if len(rated) < 2:
        return None
    means = np.nanmean(rated, axis=1)
    return float(means.std(ddof=1) / np.sqrt(len(means)))
