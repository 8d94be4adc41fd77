"""Preference pairs, 60 over 45 prompts and three sources, and ten questions of MT-Bench.

Ties, seeds, a point with one unscored pair; ratings that cannot be read and turns without one, a
point that no judge has rated; a seed that diverged, one that was not trained, and a partial point.
"""

import math
from random import Random

from tests.golden.simulation import Outputs, Row, Simulation, dyadic, log, normal

N, PROMPTS = 60, 45
CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem",
              "humanities", "writing", "math")  # fmt: skip
STRENGTH = {"dpo": 0.5, "discopop": 0.4, "td_dpo": 0.9, "few": 0.5}


def pairs() -> list[Row]:
    """Test rows; every twelfth names no source."""
    return [
        {
            "id": f"pair-{n}",
            "prompt": {"messages": [{"role": "user", "content": f"Question {n % PROMPTS}?"}]},
            "chosen": "Gladly.",
            "rejected": "No.",
            "target": "Gladly.",
            "source": None if n % 12 == 11 else f"source-{n % 3}",
        }
        for n in range(N)
    ]


def questions() -> list[Row]:
    """Test rows of MT-Bench."""
    return [
        {"id": str(81 + n), "category": category, "turns": ["One?", "Two?"],
         "reference": ["1", "2"] if category in ("reasoning", "math", "coding") else None}
        for n, category in enumerate(CATEGORIES)
    ]  # fmt: skip


def scored(strength: float, seed: str, unscored: bool) -> list[Row]:
    """Predictions: log-probabilities of both answers; what is hard is hard for every point."""
    draw, found = Random(seed), []
    for n, row in enumerate(pairs()):
        hard = Random(f"pair {n}")
        reference = [dyadic(-20 - 10 * hard.random()) for _ in range(2)]
        lengths = [hard.randrange(5, 30) for _ in range(2)]
        pull = strength + normal(hard, 1.0) + normal(draw, 0.5)
        moved = [dyadic(pull, 4), dyadic(-pull / 2, 4)]
        if draw.random() < 0.08:
            moved = [0.0, 0.0]  # a tie
        scores = [one + other for one, other in zip(reference, moved, strict=True)]
        found.append(
            {
                "id": row["id"],
                "prompt_hash": f"{n % PROMPTS:012x}",
                "outputs": [],
                "scores": [None, scores[1]] if unscored and n == 5 else scores,
                "reference": reference,
                "lengths": lengths,
            }
        )
    return found


def rated(level: float, seed: str, silent: bool) -> tuple[list[Row], list[Row]]:
    """(predictions, judgments) of MT-Bench; one rating in twelve cannot be read.

    silent: whether the judge could not be reached for one turn.
    """
    draw, answers, judged = Random(seed), [], []
    for n, row in enumerate(questions()):
        answers.append({"id": row["id"], "prompt_hash": "0", "outputs": ["An answer.", "Two."],
                        "scores": None})  # fmt: skip
        of_turns = []
        for turn in range(2):
            rating = min(10, max(1, dyadic(level - turn / 2 + normal(draw, 1.5), 2)))
            raw = f"Fine. Rating: [[{rating:g}]]"
            if draw.random() < 1 / 12:
                raw = "Rating: [[8/10]]"
            gone = silent and (n, turn) == (3, 1)
            of_turns.append(
                {
                    "rating": None,
                    "parsed": False,
                    "raw": None if gone else raw,
                    "judge": "a-judge",
                    "revision": None,
                    "prompt_hash": "0",
                    "prompts_hash": "0123456789ab",
                    "error": "timed out" if gone else None,
                }
            )
        judged.append({"id": row["id"], "judgments": of_turns})
    return answers, judged


def outputs_of(values: dict, name: str) -> Outputs | None:
    """See `Simulation`."""
    variant, beta, tau, seed = (values.get(k) for k in ("variant", "beta", "tau", "seed"))
    if (variant, beta, seed) == ("td_dpo", 2.5, 43):
        return None
    draw = Random(f"log {name}")
    diverges = (variant, beta, seed) == ("dpo", 0.01, 43)
    steps = log(12, draw, diverges=diverges)
    for row in steps[3::4]:
        row["validation_accuracy"] = dyadic(0.5 + draw.random() / 3, 64)
    if diverges:
        return Outputs("diverged", steps)
    # The better β, the nearer it is to 0.05; a temperature makes that matter less.
    strength = STRENGTH[variant] - abs(math.log10(beta) + 1.3) / (12 if tau else 2)
    made = scored(strength, f"{variant} {beta} {tau} {seed}", (variant, beta) == ("discopop", 0.05))
    silent = (beta, tau) == (0.05, 0.5)
    answers, judged = rated(6 + 2 * strength, f"judge {name}", silent=silent)
    predictions = {"preference": made, "mt_bench": answers}
    if (variant, seed) == ("few", 42):
        return Outputs(log=steps, predictions=predictions)
    return Outputs(log=steps, predictions=predictions, judgments={"mt_bench": judged},
                  whole=not silent)  # fmt: skip


STUDY = Simulation(
    config="td_dpo",
    changes={
        "mt_bench": {"questions": "sample"},
        "variants.few": {"train.objective": "dpo", "infer.rows": 20},
        "evaluate.resamples": 200,
        "grid": [
            {"variant": "dpo", "beta": [0.01, 0.05], "seed": [42, 43]},
            {"variant": "dpo", "beta": 2.5, "seed": 42},
            {"variant": "discopop", "beta": [0.05, 2.5], "seed": 42},
            {"variant": "td_dpo", "beta": 0.01, "tau": 0.5, "seed": 42},
            {"variant": "td_dpo", "beta": [0.05, 2.5], "tau": [0.5, 1, 2], "seed": 42},
            {"variant": "td_dpo", "beta": 2.5, "tau": 2, "seed": 43},
            {"variant": "few", "beta": 0.05, "seed": 42},
        ],
    },
    rows={"preference": pairs(), "mt_bench": questions()},
    outputs_of=outputs_of,
)
