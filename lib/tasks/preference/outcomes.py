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
from lib.tasks.preference.metrics import NATS, WINS

KEYS = ("scores", "reference", "lengths")  # of a prediction, each (chosen, rejected)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


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
    policy, reference, lengths = (pairs(predictions, key) for key in KEYS)
    found = dict.fromkeys((*WINS, *NATS), np.full(len(rows), np.nan))
    if is_known(lengths):
        longer = wins(lengths)
        found |= {"longer_wins": longer, "shorter_wins": 1 - longer}
        if is_known(policy) and is_known(reference):
            found |= _of_scores(policy, reference, lengths)
    return {
        "set": ["test"] * len(rows),
        "item": [row["id"] for row in rows],
        "cluster": [str(one.get("prompt_hash") or one["id"]) for one in predictions],
        "source": [None if row.get("source") is None else str(row["source"]) for row in rows],
        **found,
        "scored": np.isfinite(policy).all(axis=1).astype(float),
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
    found, lengths = outcomes(rows, predictions, eval_config), pairs(predictions, "lengths")
    margin = np.quantile(found["margin"], QUANTILES) if is_known(found["margin"]) else None
    return {
        "unscored": int(len(rows) - sum(found["scored"])),
        "prompts": len(set(found["cluster"])),
        "ties": {
            name: int((found[name] == 0.5).sum()) if is_known(found[name]) else None
            for name in WINS
        },
        "margin_quantiles": None if margin is None else {
            f"{q:g}": float(value) for q, value in zip(QUANTILES, margin, strict=True)
        },
        "length": {
            side: float(lengths[:, i].mean()) if is_known(lengths) else None
            for i, side in enumerate(("chosen", "rejected"))
        },
    }  # fmt: skip


def is_known(values: np.ndarray) -> bool:
    """Whether there are values, and all of them finite."""
    return len(values) > 0 and bool(np.isfinite(values).all())


def pairs(predictions: Sequence[Row], key: str) -> np.ndarray:
    """(n, 2) numbers of chosen and rejected, nan where unknown; key: one of KEYS.

    Raises BadInput where one is neither null nor two numbers.
    """
    values, expected = [], "null or two numbers: of chosen and rejected"
    for one in predictions:
        pair = one.get(key)
        if pair is None:
            pair = [None, None]
        elif len(numbers(one, key, pair, expected)) != 2:
            raise bad(one, key, pair, expected)
        elif key == "lengths" and any(n is not None and not n > 0 for n in pair):
            raise bad(one, key, pair, "two counts of tokens above 0")
        values.append(pair)
    return np.array(values, dtype=float).reshape(-1, 2)
