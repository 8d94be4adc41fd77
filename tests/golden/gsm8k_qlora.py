"""Forty word problems, and 24 requests of six hazards with the verdicts of two kinds of judge.

Answers without a number, without `####` and cut off; verdicts that tie, that cannot be read, that
are of another answer, and that nobody gave; seeds; a preset that diverged, a base that was not
measured, and a point of one row.
"""

import hashlib
from random import Random

from tests.golden.simulation import Outputs, Row, Simulation, log

N = 40
HAZARDS = ("vcr", "ncr", "spc_lgl", "spc_mdc", "hte", "own_kind")
SKILL = {"base": 0.25, "simple": 0.4, "medium": 0.3, "strong": 0.5, "sandbox_one": 0.2}
HARMLESS = {"base": 0.8, "simple": 0.5, "medium": 0.7, "strong": 0.6, "sandbox_one": 0.8}


def problems() -> list[Row]:
    """Test rows of 1 to 10 steps."""
    return [
        {"id": f"test-{n}", "prompt": {"question": f"What is {n} times 25?"},
         "target": f"#### {25 * n}", "final": f"{25 * n:,}", "steps": 1 + n % 10}
        for n in range(N)
    ]  # fmt: skip


def requests() -> list[Row]:
    """Test rows of safety, four of each hazard."""
    return [
        {"id": f"request-{n}", "prompt": f"Request {n}.", "hazard": HAZARDS[n % len(HAZARDS)],
         "target": ""}
        for n in range(4 * len(HAZARDS))
    ]  # fmt: skip


def solved(skill: float, seed: str) -> list[Row]:
    """Predictions of the problems: right or wrong, in several forms."""
    draw, found = Random(seed), []
    for n, row in enumerate(problems()):
        hard = Random(f"problem {n}").random()
        right = (hard + draw.random()) / 2 < skill
        number = row["final"] if right else str(25 * n + draw.choice((1, 10, 100)))
        form = draw.choice(("It is so.\n#### {}", "#### {}", "The answer is {}.", "So: {} in all"))
        text = form.format(number)
        if draw.random() < 0.08:
            text = draw.choice(("I do not know.", "", f"#### {row['final']} ... no, 3"))
        found.append({"id": row["id"], "prompt_hash": "0", "outputs": [text], "scores": None})
    return found


def judged(harmless: float, seed: str, kind: str) -> tuple[list[Row], list[Row]]:
    """(predictions, judgments) of safety."""
    draw, answers, found = Random(seed), [], []
    for n, row in enumerate(requests()):
        text = "" if n == 11 else f"Answer {draw.randrange(100)} to {row['prompt']}"
        answers.append({"id": row["id"], "prompt_hash": "0", "outputs": [text], "scores": None})
        chance, odds = Random(f"request {n}").random(), draw.random()
        safe = (chance + odds) / 2 < harmless
        raw = scores = error = None
        if kind == "safe_unsafe":
            scores = [-0.5, -1.5] if safe else [-1.75, -0.25]
            scores = [-0.75, -0.75] if n == 4 else scores
        else:
            raw = f"Safety: {'Safe' if safe else draw.choice(('Unsafe', 'Controversial'))}"
            raw += "\nCategories: None"
            raw = "Hm." if n in (2, 9) else raw
        if n == 17:
            raw, scores, error = None, None, "too long"
        judged_text = "another answer" if n == 19 else text
        found.append(
            {
                "id": row["id"],
                "judgments": [
                    {
                        "verdict": None,
                        "categories": [],
                        "raw": raw,
                        "scores": scores,
                        "error": error,
                        "kind": kind,
                        "judge": f"a-{kind}-judge",
                        "revision": None,
                        "prompt_hash": "0",
                        "answer": hashlib.sha256(judged_text.encode()).hexdigest()[:12],
                    }
                ],
            }
        )
    return answers, found


def outputs_of(values: dict, name: str) -> Outputs | None:
    """See `Simulation`."""
    variant, shots, seed = values["variant"], values.get("shots"), values.get("seed", 42)
    if (variant, shots) == ("base", 8):
        return None
    steps = [] if variant == "base" else log(10, Random(f"log {name}"))
    if variant == "strong":
        return Outputs("diverged", log(10, Random(f"log {name}"), diverges=True))
    kind = "qwen3guard" if (variant, seed) == ("simple", 43) else "safe_unsafe"
    answers, verdicts = judged(HARMLESS[variant], f"judge {name}", kind)
    skill = SKILL[variant] + (shots or 0) / 100
    predictions = {"math": solved(skill, f"math {variant} {shots} {seed}"), "safety": answers}
    judgments = {} if (variant, shots) == ("base", 5) else {"safety": verdicts}
    return Outputs(log=steps, predictions=predictions, judgments=judgments)


STUDY = Simulation(
    config="gsm8k_qlora",
    changes={
        "safety.prompts": "sample",
        "axes.seed": "train.seed",
        "evaluate.resamples": 200,
        "grid": [
            {"variant": "simple", "seed": [42, 43]},
            {"variant": ["medium", "strong"]},
            {"variant": "base", "shots": 3, "tokens": 512},
            {"variant": "base", "shots": 5, "tokens": 768},
            {"variant": "base", "shots": 8, "tokens": 1024},
            {"variant": "sandbox_one"},
        ],
    },
    rows={"math": problems(), "safety": requests()},
    outputs_of=outputs_of,
)
