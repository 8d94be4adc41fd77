"""Metrics of one point on the published dev rows of its task. No torch.

The comparison of points is in `comparison`, `significance`, `costs` and `criteria`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from lib.analysis.statistics import resample_counts
from lib.config.tasks import Row
from lib.tasks.glue.metrics import set_metrics
from lib.tasks.glue.table import GLUE, main_set


def evaluate(rows: list[Row], predictions: list[Row], eval_config: Any) -> dict[str, Any]:
    """metrics.json of one point.

        {"task", "labels": names, "set": the dev set that counts,
         "metrics": {"accuracy", "f1": {"value", "low", "high", "method"}},     of that set
         "sets": {set: see `metrics.set_metrics`},
         "f1_of": the label that F1 is of, or "macro",
         "level": …, "resamples": …}

    Pairs that share their first sentence are not independent: intervals resample whole groups of
    them. Wilson's interval where every row is a group of its own.
    """
    task = rows[0]["task"]
    glue = GLUE[task]
    sets = {}
    for part in glue.dev:
        at = [place for place, row in enumerate(rows) if row["set"] == part]
        if not at:  # few rows were asked for
            continue
        groups = clusters([rows[place] for place in at])
        label, predicted = (
            np.array([predictions[place][key] for place in at]) for key in ("label", "predicted")
        )
        counts = resamples(groups, eval_config, task, part)
        k, distinct = len(glue.labels), len(set(groups))
        sets[part] = set_metrics(label, predicted, k, counts, distinct, eval_config.level)
    main = main_set(task) if main_set(task) in sets else next(iter(sets))
    return {
        "task": task,
        "labels": list(glue.labels),
        "set": main,
        "metrics": sets[main]["metrics"],
        "sets": sets,
        "f1_of": glue.labels[1] if len(glue.labels) == 2 else "macro",
        "level": eval_config.level,
        "resamples": eval_config.resamples,
    }


def clusters(rows: Sequence[Row]) -> tuple[str, ...]:
    """What tells the first sentence of each row."""
    return tuple(row["prompt"]["a"] for row in rows)


def resamples(groups: tuple[str, ...], eval_config: Any, task: str, part: str) -> np.ndarray:
    """(R, n) multiplicities of a set's rows drawn by group, the same for every point of a study.

    Every set has a draw of its own, so that means over tasks do not vary together.
    """
    return _counts(groups, eval_config.resamples, eval_config.seed, f"{task}/{part}")


@lru_cache(maxsize=4)
def _counts(groups: tuple[str, ...], resamples: int, seed: int, of: str) -> np.ndarray:
    n, distinct = len(groups), len(set(groups)) == len(groups)
    own = [seed, *of.encode()]
    counts = resample_counts(n, resamples, own, None if distinct else groups)
    counts.flags.writeable = False  # shared by every point
    return counts
