"""What a policy does with preference pairs: log-probabilities of predictions → outcomes. No torch.

ρ = ℓ⁺ − ℓ⁻, ℓ = log π − log π₀ of a response, summed over its tokens, in nats; π₀ is the model
before training, and β·ℓ the implicit reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lib.config.tasks import Row
from lib.inference.outputs import bad, numbers

KEYS = ("scores", "reference", "lengths")  # of a prediction, each (chosen, rejected)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Outcomes that need log-probabilities: wins of the chosen response, and nats.
WINS = (
    "accuracy",
    "ranking_sum",
    "ranking_mean",
    "reference_ranking_sum",
    "reference_ranking_mean",
)
NATS = ("margin", "kl_chosen", "kl_rejected", "kl_chosen_per_token", "kl_rejected_per_token")
LENGTH = ("longer_wins", "shorter_wins")  # need no log-probability


def outcomes(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Sequence[Any]]:
    """Columns of the items of one point; a win of the chosen response is 1, a tie ½.

    accuracy      ℓ⁺ > ℓ⁻: the order of the implicit rewards, whatever β > 0 is
    ranking_…     order of the policy's own log-probabilities, summed or a token; reference_…: the
                  same of the model before training
    longer_wins, shorter_wins     what looking at nothing but the length reaches
    margin        ρ
    kl_…          ℓ of the given responses, or ℓ a token. Its mean is an estimate of
                  KL(data‖π₀) − KL(data‖π), how much closer training brought the policy to whoever
                  wrote these responses; it may be negative. It is *not* the KL(π‖π₀) that DPO
                  bounds: that is the mean over the policy's own samples, and none are drawn here
    scored        whether a pair has finite log-probabilities; one without leaves the point without
                  any, since which pairs lack them is no accident

    Pairs of one prompt are a cluster. Raises BadInput for what is no pair of numbers.
    Sources: Rafailov et al., arXiv 2305.18290; ranking accuracy: Chen et al., arXiv 2405.19534.
    """
    for one in predictions:
        check_pair(one)
    found = dict.fromkeys((*WINS, *LENGTH, *NATS), np.full(len(rows), np.nan))
    lengths = pairs(predictions, "lengths")
    if lengths is not None:
        longer = wins(lengths)
        found |= {"longer_wins": longer, "shorter_wins": 1 - longer}
        policy, reference = (pairs(predictions, key) for key in ("scores", "reference"))
        if policy is not None and reference is not None:
            found |= _of_scores(policy, reference, lengths)
    return {
        "set": ["test"] * len(rows),
        "item": [row["id"] for row in rows],
        "cluster": [str(one.get("prompt_hash") or one["id"]) for one in predictions],
        "source": [None if row.get("source") is None else str(row["source"]) for row in rows],
        **found,
        "scored": [float(is_finite(one, "scores")) for one in predictions],
    }


def _of_scores(
    policy: np.ndarray, reference: np.ndarray, lengths: np.ndarray
) -> dict[str, np.ndarray]:
    """Outcomes (n,) of log-probabilities (n, 2), columns chosen and rejected."""
    ratios = policy - reference
    a_token = ratios / lengths
    return {
        "accuracy": wins(ratios),
        "ranking_sum": wins(policy),
        "ranking_mean": wins(policy / lengths),
        "reference_ranking_sum": wins(reference),
        "reference_ranking_mean": wins(reference / lengths),
        "margin": ratios[:, 0] - ratios[:, 1],
        "kl_chosen": ratios[:, 0],
        "kl_rejected": ratios[:, 1],
        "kl_chosen_per_token": a_token[:, 0],
        "kl_rejected_per_token": a_token[:, 1],
    }


def wins(sides: np.ndarray) -> np.ndarray:
    """(n,) from (n, 2): 1 where the first column is larger, 0 where the second is, ½ for a tie."""
    return (1 + np.sign(sides[:, 0] - sides[:, 1])) / 2


def point_extras(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Any]:
    """What metrics.json has beside the estimates.

    {"unscored": pairs without finite log-probabilities, "prompts": distinct ones,
     "ties": {win: n | null}, "margin_quantiles": {"0.05": nats, …} | null,
     "length": {"chosen": mean tokens | null, "rejected"}}
    """
    found = outcomes(rows, predictions, eval_config)
    known = {name: found[name] for name in (*WINS, *LENGTH, "margin") if _is_known(found[name])}
    lengths = pairs(predictions, "lengths")
    return {
        "unscored": int(len(rows) - sum(found["scored"])),
        "prompts": len(set(found["cluster"])),
        "ties": {
            name: int((known[name] == 0.5).sum()) if name in known else None
            for name in (*WINS, *LENGTH)
        },
        "margin_quantiles": quantiles(known["margin"]) if "margin" in known else None,
        "length": {
            side: None if lengths is None else float(lengths[:, i].mean())
            for i, side in enumerate(("chosen", "rejected"))
        },
    }


def _is_known(values: np.ndarray) -> bool:
    return len(values) > 0 and not np.isnan(values).any()


def quantiles(values: np.ndarray) -> dict[str, float]:
    """{"0.05": …} for QUANTILES of `values` (n,), linear between order statistics.

    Source: Hyndman & Fan 1996, type 7, numpy's default.
    """
    found = np.quantile(values, QUANTILES)
    return {f"{q:g}": float(value) for q, value in zip(QUANTILES, found, strict=True)}


def check_pair(prediction: Row) -> None:
    """Raise BadInput where scores, reference or lengths are neither null nor two numbers."""
    for key in KEYS:
        pair, expected = prediction.get(key), "null or two numbers: of chosen and rejected"
        if pair is None:
            continue
        if len(numbers(prediction, key, pair, expected)) != 2:
            raise bad(prediction, key, pair, expected)
        if key == "lengths" and any(n is not None and not n > 0 for n in pair):
            raise bad(prediction, key, pair, "two counts of tokens above 0")


def pairs(predictions: Sequence[Row], key: str) -> np.ndarray | None:
    """(n, 2) numbers of all predictions; None where one lacks them, or there is none."""
    if not predictions or not all(is_finite(one, key) for one in predictions):
        return None
    return np.array([one[key] for one in predictions], dtype=float)


def is_finite(prediction: Row, key: str) -> bool:
    """Whether both numbers, of chosen and rejected, are there."""
    pair = prediction.get(key)
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(value, (int, float)) and np.isfinite(value) for value in pair)
    )
