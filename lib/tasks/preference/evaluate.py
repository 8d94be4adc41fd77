"""Metrics of one point on the test pairs. No torch.

The comparison of points is in `comparison`, `significance`, `variance` and `criteria`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lib.analysis.rates import mean, rate, unknown
from lib.analysis.statistics import resample_counts
from lib.config.tasks import Row
from lib.inference.outputs import bad, numbers
from lib.tasks.preference.metrics import RATES, log_ratios, outcomes, quantiles, wins

LENGTH = ("longer_wins", "shorter_wins")  # need no log-probability


class Scores(NamedTuple):
    """What predictions.jsonl says of n pairs; columns chosen, rejected."""

    policy: np.ndarray  # (n, 2) summed log-probabilities, nats
    reference: np.ndarray  # (n, 2) the same of the model before training
    lengths: np.ndarray  # (n, 2) response tokens

    @property
    def margins(self) -> np.ndarray:
        """(n,) ρ = ℓ⁺ − ℓ⁻ in nats, β not multiplied in."""
        ratios = log_ratios(self.policy, self.reference)
        return ratios[:, 0] - ratios[:, 1]


def evaluate(rows: list[Row], predictions: list[Row], eval_config: Any) -> dict[str, Any]:
    """metrics.json of one point.

        {"rows": n, "unscored": n, "prompts": distinct prompts,
         "metrics": {name: {"value", "low", "high", "method"}},       names: metrics.RATES
         "ties": {name: n},
         "kl": {"chosen", "rejected", "chosen_per_token", "rejected_per_token"},
         "margin": {"mean": {…}, "quantiles": {"0.05": nats, …}},
         "length": {"chosen", "rejected"},                             mean tokens
         "by_source": {source: {"rows", "accuracy": {…}}},
         "level": …, "resamples": …}

    Rates lie in [0, 1]; a tie counts ½. One pair without finite scores leaves every number null
    that needs scores; what is no pair at all raises BadInput. Rows without a source are in no
    source. Intervals resample prompts.

    `kl`: mean ℓ = log π − log π₀ over the given responses, in nats a response (and nats a token).
    It is an estimate of KL(data‖π₀) − KL(data‖π), that is of how much closer training brought the
    policy to whoever wrote these responses; it may be negative. It is *not* the KL(π‖π₀) that DPO
    bounds: that is the mean of ℓ over the policy's own samples, and none are drawn here.
    """
    for prediction in predictions:
        check_pair(prediction)
    scores, lengths = read_scores(predictions), read_lengths(predictions)
    hashes = prompts(predictions)
    counts, distinct, level = resamples(hashes, eval_config), len(set(hashes)), eval_config.level
    found: dict[str, np.ndarray] = {}
    if lengths is not None:
        longer = wins(lengths)
        found = dict(zip(LENGTH, (longer, 1 - longer), strict=True))
    if scores is not None:
        found |= outcomes(*scores)
    return {
        "rows": len(rows),
        "unscored": sum(not _finite(p, "scores") for p in predictions),
        "prompts": distinct,
        "metrics": {
            name: rate(found[name], counts, distinct, level) if name in found else unknown()
            for name in RATES
        },
        "ties": {n: int((found[n] == 0.5).sum()) if n in found else None for n in RATES},
        "kl": _kl(scores, counts, level),
        "margin": {
            "mean": mean(scores.margins, counts, level) if scores else unknown(),
            "quantiles": quantiles(scores.margins) if scores else None,
        },
        "length": {
            side: None if lengths is None else float(lengths[:, i].mean())
            for i, side in enumerate(("chosen", "rejected"))
        },
        "by_source": _by_source(rows, hashes, found.get("accuracy"), eval_config),
        "level": level,
        "resamples": eval_config.resamples,
    }


def check_pair(prediction: Row) -> None:
    """Raise BadInput where scores, reference or lengths are neither null nor two numbers."""
    for key in ("scores", "reference", "lengths"):
        pair, expected = prediction.get(key), "null or two numbers: of chosen and rejected"
        if pair is None:
            continue
        if len(numbers(prediction, key, pair, expected)) != 2:
            raise bad(prediction, key, pair, expected)
        if key == "lengths" and any(n is not None and not n > 0 for n in pair):
            raise bad(prediction, key, pair, "two counts of tokens above 0")


def read_scores(predictions: Sequence[Row]) -> Scores | None:
    """Scores of all pairs; None where a pair lacks finite ones, or there is no pair."""
    keys = ("scores", "reference", "lengths")
    if not predictions or not all(_finite(p, key) for p in predictions for key in keys):
        return None
    return Scores(*(np.array([p[key] for p in predictions], dtype=float) for key in keys))


def read_lengths(predictions: Sequence[Row]) -> np.ndarray | None:
    """(n, 2) response tokens; None where a pair lacks them."""
    if not predictions or not all(_finite(p, "lengths") for p in predictions):
        return None
    return np.array([p["lengths"] for p in predictions], dtype=float)


def prompts(predictions: Sequence[Row]) -> tuple[str, ...]:
    """What tells the prompt of each row: pairs with one prompt are not independent."""
    return tuple(str(p.get("prompt_hash") or p["id"]) for p in predictions)


@lru_cache(maxsize=2)
def _counts(clusters: tuple[str, ...], resamples: int, seed: int) -> np.ndarray:
    distinct = len(set(clusters)) == len(clusters)
    counts = resample_counts(len(clusters), resamples, seed, None if distinct else clusters)
    counts.flags.writeable = False  # shared by every point
    return counts


def resamples(clusters: tuple[str, ...], eval_config: Any) -> np.ndarray:
    """(R, n) multiplicities drawn by cluster, the same for every point of a study."""
    return _counts(clusters, eval_config.resamples, eval_config.seed)


def _finite(prediction: Row, key: str) -> bool:
    """Whether both numbers, chosen and rejected, are there."""
    pair = prediction.get(key)
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(v, (int, float)) and np.isfinite(v) for v in pair)
    )


def _kl(scores: Scores | None, counts: np.ndarray, level: float) -> dict[str, dict[str, Any]]:
    found = {}
    ratios = None if scores is None else log_ratios(scores.policy, scores.reference)
    for i, side in enumerate(("chosen", "rejected")):
        found[side] = found[f"{side}_per_token"] = unknown()
        if ratios is not None:
            found[side] = mean(ratios[:, i], counts, level)
            a_token = ratios[:, i] / scores.lengths[:, i]
            found[f"{side}_per_token"] = mean(a_token, counts, level)
    return found


def _by_source(
    rows: Sequence[Row], hashes: Sequence[str], right: np.ndarray | None, eval_config: Any
) -> dict[str, dict[str, Any]]:
    """Accuracy on the pairs of each source."""
    places = defaultdict(list)
    for place, row in enumerate(rows):
        if row.get("source") is not None:
            places[str(row["source"])].append(place)
    table = {}
    for source in sorted(places):
        at = places[source]
        of_source = [hashes[i] for i in at]
        distinct = len(set(of_source))
        table[source] = {"rows": len(at), "accuracy": unknown()}
        if right is not None:
            clusters = None if distinct == len(at) else of_source
            counts = resample_counts(len(at), eval_config.resamples, eval_config.seed, clusters)
            table[source]["accuracy"] = rate(right[at], counts, distinct, eval_config.level)
    return table
