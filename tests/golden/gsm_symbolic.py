"""Templated problems, 14 in each of three sets, each answered greedily and with four samples.

Instances of a template and the problem that it was made from go together; samples tie, in answers
and in rewards, and some hold no number; rewards that the judge could not give, a point without
any; seeds; a point that diverged, one that was not trained, and one of the first 20 rows.
"""

from random import Random

from tests.golden.simulation import Outputs, Row, Simulation, dyadic, log, normal

N, SAMPLES = 14, 4
CHANCE = {  # variant → chance of a right answer, by set
    "base_1b": (0.35, 0.4, 0.35),
    "base_4b": (0.2, 0.2, 0.4),
    "full_1b": (0.65, 0.5, 0.4),
    "full_4b": (0.95, 0.9, 0.5),
    "lora_1b": (0.6, 0.55, 0.4),
    "short": (0.35, 0.4, 0.35),
}
SETS = ("in_distribution", "same_templates", "new_templates")


def questions() -> list[Row]:
    """Test rows, the sets in turn; a third of the new templates is not known."""
    rows = []
    for n in range(N):
        templates = (f"template-{n // 2}", f"template-{n}", None if n % 3 == 0 else f"new-{n // 2}")
        for place, template in zip(SETS, templates, strict=True):
            rows.append(
                {"id": f"{place}-{n}", "template": template, "set": place,
                 "prompt": {"question": f"What is {n} plus {n}?"}, "target": f"#### {2 * n}",
                 "final": str(2 * n), "steps": 1 + n % 3}
            )  # fmt: skip
    return rows


def answer(draw: Random, row: Row, right: bool) -> str:
    """A text that ends in the number, in another one, or in none."""
    if right:
        return draw.choice(("#### {}", "So it is {}.", "It makes {}.00")).format(row["final"])
    wrong = draw.choice((None, 1, 1, 3, 5))
    return "I cannot say." if wrong is None else f"#### {int(row['final']) + wrong}"


def answered(variant: str, seed: str) -> tuple[list[Row], list[Row]]:
    """(predictions, judgments)."""
    draw, found, rewards = Random(seed), [], []
    for n, row in enumerate(questions()):
        chance = CHANCE[variant][SETS.index(row["set"])]
        chance += 0.8 * (Random(f"question {row['id']}").random() - 0.5)
        right = [draw.random() < chance for _ in range(SAMPLES)]
        found.append(
            {
                "id": row["id"],
                "prompt_hash": "0",
                "outputs": [answer(draw, row, one) for one in right],
                "seeds": list(range(SAMPLES)),
                "greedy": answer(draw, row, draw.random() < chance),
                "scores": None,
            }
        )
        given = [dyadic(one + normal(draw, 1.0), 2) for one in right]
        if n % 9 == 4:
            given[draw.randrange(SAMPLES)] = None  # too long for the judge
        rewards.append(
            {"id": row["id"], "judgments": {"rewards": given, "greedy_reward": 0.5,
                                            "judge": "a-reward-model", "revision": None}}
        )  # fmt: skip
    return found, rewards


def outputs_of(values: dict, name: str) -> Outputs | None:
    """See `Simulation`."""
    variant, rate, seed = values["variant"], values.get("lr"), values.get("seed", 42)
    if variant == "full_4b" and rate == 2e-5:
        return None
    steps = [] if variant in ("base_1b", "base_4b") else log(10, Random(f"log {name}"))
    if variant == "lora_4b":
        return Outputs("diverged", log(10, Random(f"log {name}"), diverges=True))
    made, rewards = answered(variant, f"{variant} {rate} {seed}")
    judgments = {} if variant == "full_4b" else {"symbolic": rewards}
    return Outputs(log=steps, predictions={"symbolic": made}, judgments=judgments)


STUDY = Simulation(
    config="gsm_symbolic",
    changes={
        "axes.seed": "train.seed",
        "variants.short": {"model.name": "google/gemma-3-1b-it", "train.tuning": "lora",
                           "infer.rows": 20},
        "infer.samples": SAMPLES,
        "evaluate.draws": [1, 3],
        "evaluate.resamples": 200,
        "grid": [
            {"variant": ["base_1b", "base_4b"]},
            {"variant": "full_1b", "lr": 1e-5, "keep": "best"},
            {"variant": "full_4b", "lr": [5e-6, 2e-5], "keep": "best"},
            {"variant": "lora_1b", "lr": 1e-4, "keep": "best", "seed": [42, 43]},
            {"variant": "lora_4b", "lr": 2e-4, "keep": "best"},
            {"variant": "short", "lr": 1e-4, "keep": "best"},
        ],
    },
    rows={"symbolic": questions()},
    outputs_of=outputs_of,
)  # fmt: skip
