"""The scores of points beside those of the baseline, and of the baseline with a moved threshold.

Scores are compared with scores, never with answers, which may say no decision; a point with the
baseline of its own seed, else with the mean of the baseline's seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lib.analysis.engine import Answers
from lib.analysis.items import TestSet
from lib.analysis.metrics import decision_rates, threshold_at_rate
from lib.analysis.rates import difference
from lib.analysis.statistics import (
    holm,
    paired_bootstrap_difference,
    percentile_interval,
    sign_flip,
)

SIGN = {"accept": 1, "reject": -1, None: 0}  # way in which a weighted class moves acceptance
CURVE = np.linspace(0, 1, 101)  # acceptance rates at which the moved threshold is drawn


class Scores(NamedTuple):
    """The scores of the points of a study that are done and have them."""

    points: list[str]
    z: np.ndarray  # (P, n) log P(accept)/P(reject)
    base: np.ndarray | None  # (P, n) of the baseline that each is held against; None: there is none
    baseline: np.ndarray | None  # (n,) mean over the baseline's seeds
    baselines: list[str]  # points of the baseline
    offset: np.ndarray  # (P,) shift of the optimal score from balanced, unweighted training, logits
    delta: np.ndarray  # (P,) the same from the baseline, logits
    seed: np.ndarray  # (P,)
    label: np.ndarray  # (n,) 1 accept, 0 reject
    counts: np.ndarray  # (R, n) resamples
    level: float


def offset_of(config: Any) -> float:
    """Shift of a point's optimal score from balanced, unweighted training, in logits."""
    sign = SIGN[config.train.weighted_class]
    return -math.log(config.data.rejects_per_accept) + sign * math.log(config.train.gamma)


def scores_of(answers: Answers, one: TestSet) -> Scores:
    """See `Scores`."""
    study, table = answers.study, answers.tables.points
    known = ~np.isnan(one.outcomes["log_odds"]).any(axis=1)
    done = set(table.loc[table["status"] == "done", "point"])
    at = [i for i, name in enumerate(one.points) if known[i] and name in done]
    names, z = [one.points[i] for i in at], one.outcomes["log_odds"][at]
    configs = {point.name: point.config for point in study.points()}
    seed = np.array([configs[name].train.seed for name in names])
    named = set(table.loc[table["baseline"] == "yes", "point"])
    own = [i for i, name in enumerate(names) if name in named]
    offset = np.array([offset_of(configs[name]) for name in names])
    base = middle = None
    delta = np.full(len(names), np.nan)
    if own:
        middle = z[own].mean(axis=0)
        by_seed = {seed[i]: z[i] for i in own}
        base = np.array([by_seed.get(s, middle) for s in seed])
        delta = offset - offset[own[0]]
    first = one.points.index(names[0]) if names else 0
    return Scores(
        names, z, base, middle, [names[i] for i in own], offset, delta, seed,
        one.outcomes["label"][first], one.counts(first), study.config.evaluate.level,
    )  # fmt: skip


def bounded(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Columns `name`, `name_low`, `name_high` of {"value", "low", "high"}."""
    return {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}


def against_control(scores: Scores) -> list[dict[str, Any]]:
    """Each point beside its baseline, whose threshold is moved so that it accepts as many papers.

    The threshold needs no labels and stays as it is in every resample.
    """
    rows, y, counts, level = [], scores.label, scores.counts, scores.level
    for i, name in enumerate(scores.points):
        ours = (scores.z[i] > 0).astype(int)
        moved = threshold_at_rate(scores.base[i], float(ours.mean()))
        control = (scores.base[i] > moved.threshold).astype(int)
        rates = decision_rates(y, control)
        apart = (ours == y).astype(float) - (control == y)
        f1 = paired_bootstrap_difference(
            lambda w, own=ours: decision_rates(y, own, w)["f1"],
            lambda w, own=control: decision_rates(y, own, w)["f1"],
            counts,
            level,
        )
        rows.append(
            {
                "point": name,
                "own_acceptance_rate": float(ours.mean()),
                "own_accuracy": float((ours == y).mean()),
                "threshold": moved.threshold,
                "acceptance_rate": moved.achieved,
                "accuracy": rates["accuracy"],
                "f1": rates["f1"],
                **bounded("accuracy_difference", difference(apart, counts, len(y), level)),
                **bounded("f1_difference", f1._asdict()),
                "p": sign_flip(apart, 1.0),
            }
        )
    others = {row["point"]: row["p"] for row in rows if row["point"] not in scores.baselines}
    adjusted = holm(others)
    return [row | {"p_holm": adjusted.get(row["point"])} for row in rows]


def control_curve(scores: Scores) -> list[dict[str, Any]]:
    """Accuracy of the baseline at every acceptance rate, thresholds moved, with an interval."""
    base, counts = scores.baseline, scores.counts
    moved = {m.achieved: m.threshold for m in (threshold_at_rate(base, r) for r in CURVE)}
    right = (base[:, None] > np.array(list(moved.values()))) == (scores.label == 1)[:, None]
    resampled = counts @ right.astype(counts.dtype) / counts.sum(axis=1, keepdims=True)
    rows = []
    for rate, accuracy, values in zip(moved, right.mean(axis=0), resampled.T, strict=True):
        low, high = percentile_interval(values, scores.level) or (None, None)
        rows.append({"acceptance_rate": rate, "accuracy": accuracy, "low": low, "high": high})
    return rows
