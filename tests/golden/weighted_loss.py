"""Class-weighted decisions on 60 papers whose true log-odds are known.

Ties in the scores, answers that say nothing, a point with one unscored answer, three seeds; a
point that diverged, one of the first 24 papers, one without predictions, one that was not trained.
"""

import math
from random import Random

from tests.golden.simulation import Outputs, Row, Simulation, dyadic, log, normal, sigmoid

N = 60
RIGHT = {"accept": r"\boxed{Accept}", "reject": r"\boxed{Reject}"}
UNCLEAR = ("It depends on the committee.", "", "Accept or reject, I cannot say.")


def papers() -> list[Row]:
    """Test rows, half of them accepts; every tenth has no year."""
    rows = []
    for number in range(N):
        draw = Random(f"paper {number}")
        decision = "accept" if number % 2 else "reject"
        truth = dyadic((0.9 if number % 2 else -0.9) + normal(draw, 1.3), 8)
        rows.append(
            {
                "id": f"paper-{number}",
                "prompt": {"title": f"Paper {number}", "abstract": "We study."},
                "target": RIGHT[decision],
                "decision": decision,
                "year": None if number % 10 == 9 else 2018 + number % 3,
                "log_odds_true": truth,
            }
        )
    return rows


def predictions(rows: list[Row], offset: float, seed: str, unscored: bool) -> list[Row]:
    """Scores: the true log-odds, shifted and with noise; answers by their sign, a few unclear."""
    draw, found = Random(seed), []
    for number, row in enumerate(rows):
        z = dyadic(row["log_odds_true"] + offset + normal(draw, 0.7), 4)
        accept = math.floor(16 * math.log(sigmoid(z))) / 16 - draw.randrange(3) / 16
        output = RIGHT["accept" if z > 0 else "reject"]
        if draw.random() < 0.05:
            output = draw.choice(UNCLEAR)
        scores = None if unscored and number == 7 else [accept, accept - z]
        found.append(
            {"id": row["id"], "prompt_hash": f"{number:012x}", "outputs": [output],
             "scores": scores}
        )  # fmt: skip
    return found


def outputs_of(values: dict, name: str) -> Outputs | None:
    """See `Simulation`."""
    variant, gamma, ratio = values["variant"], values.get("gamma", 1), values.get("ratio", "1:2")
    if (variant, ratio) == ("reject", "1:8"):
        return None
    steps = log(12, Random(f"log {name}"), diverges=(variant, ratio) == ("accept", "1:8"))
    if (variant, ratio) == ("accept", "1:8"):
        return Outputs("diverged", steps)
    if (variant, ratio) == ("reject", "1:4"):
        return Outputs(log=steps)
    sign = {"baseline": 0, "reject": -1}.get(variant, 1)
    offset = dyadic(sign * math.log(gamma) - math.log(int(ratio[2:])))
    seed = values.get("seed", 42)
    made = predictions(papers(), offset, f"{variant} {gamma} {ratio} {seed}", seed == 44)
    return Outputs(log=steps, predictions={"decision": made})


STUDY = Simulation(
    config="weighted_loss",
    changes={
        "variants.short": {"train.weighted_class": "accept", "infer.rows": 24},
        "evaluate.resamples": 200,
        "evaluate.bins": 5,
        "grid": [
            {"ratio": "1:2", "variant": "baseline", "gamma": 1},
            {"ratio": "1:2", "variant": "accept", "gamma": [2, 4, 8]},
            {"ratio": "1:2", "variant": "reject", "gamma": 2, "seed": [42, 43, 44]},
            {"ratio": "1:4", "variant": ["accept", "reject"], "gamma": 4},
            {"ratio": "1:8", "variant": ["accept", "reject"], "gamma": 4},
            {"ratio": "1:2", "variant": "short", "gamma": 2},
        ],
    },
    rows={"decision": papers()},
    outputs_of=outputs_of,
    runs={
        "with_baseline": [
            "baseline_gamma1_ratio1-2_seed42",
            "accept_gamma2_ratio1-2_seed42",
            "accept_gamma4_ratio1-2_seed42",
            "reject_gamma2_ratio1-2_seed42",
        ],
        "without_baseline": [
            "accept_gamma4_ratio1-2_seed42",
            "reject_gamma2_ratio1-2_seed43",
            "reject_gamma2_ratio1-2_seed44",
        ],
    },
)
