"""Made-up questions of three sets, and points with samples and rewards."""

import random
from types import SimpleNamespace

from lib.config.schema import Evaluate
from lib.config.tasks import PointResult
from lib.tasks.symbolic.evaluate import evaluate
from lib.tasks.symbolic.grading import grade

SETTINGS = Evaluate(baseline={"variant": "base", "seed": 1}, resamples=200)
JUDGE = "a/reward-model"


def row(number, place="in_distribution", template=None, final="7"):
    return {
        "id": f"{place}-{number}",
        "set": place,
        "template": template or f"{'new' if place == 'new_templates' else 'trained'}-{number}",
        "prompt": {"question": f"What is {number} more than nothing?"},
        "target": f"It is {final}.\n#### {final}",
        "final": final,
        "steps": 1,
    }


def rows(count=20, sets=("in_distribution", "same_templates", "new_templates")):
    """`count` questions a set; the first two sets share their templates."""
    return [row(number, place) for place in sets for number in range(count)]


def predicted(one, numbers, greedy="7", rewards=None, judge=JUDGE):
    """A prediction whose samples end in these numbers (None: in none), the greedy one in `greedy`.

    rewards: of the samples, None for nobody's.
    """
    texts = [f"So it is {n}." if n is not None else "I cannot say." for n in numbers]
    made = {
        "id": one["id"],
        "prompt_hash": "0",
        "outputs": texts,
        "seeds": list(range(len(texts))),
        "greedy": f"#### {greedy}" if greedy is not None else "Hm.",
        "scores": None,
    }
    made |= grade(one, made)
    if rewards is not None:
        judged = {"rewards": list(rewards), "greedy_reward": 0.5, "judge": judge, "revision": None}
        made["judgments"] = judged
    return made


def config(model="a/small", epochs=0.0, adapter=None):
    return SimpleNamespace(
        model=SimpleNamespace(name=model, revision=None, adapter=adapter),
        train=SimpleNamespace(epochs=epochs),
    )


def measured(name, test, predictions, settings=SETTINGS, status="done", log=None, **more):
    """A point with these predictions; `more`: see `config`, all else are axis values."""
    of_config = {key: more.pop(key) for key in ("model", "epochs", "adapter") if key in more}
    point = PointResult(name, more, config(**of_config), status, axes={})
    point.train_log = log
    if predictions is not None:
        point.predictions = predictions
        point.metrics = evaluate(test[: len(predictions)], predictions, settings)
    return point


def drawn(test, chance, samples=8, judge=JUDGE, seed=0):
    """Predictions right with a chance by set, wrong in a long tail, with rewards that help."""
    rng, made = random.Random(seed), []
    for one in test:
        hard = rng.betavariate(1.2, 1.2) - 0.5
        right = min(1, max(0, chance[one["set"]] + 0.6 * hard))
        numbers, rewards = [], []
        for _ in range(samples):
            is_right = rng.random() < right
            wrong = rng.choice(["1", "1", "2", "3", "4", None])
            numbers.append("7" if is_right else wrong)
            rewards.append(rng.gauss(1.0 * is_right, 1.5))
        greedy = "7" if rng.random() < right + 0.05 else "1"
        made.append(predicted(one, numbers, greedy, rewards if judge else None, judge))
    return made


def study(count=20, judge=JUDGE, samples=8):
    """Two models, each as it is and tuned at two learning rates; one diverged, one missing."""
    test = rows(count)
    log = [{"step": step, "loss": 1 / step} for step in range(1, 41)]
    chances = {
        "base": {"in_distribution": 0.3, "same_templates": 0.35, "new_templates": 0.3},
        "tuned": {"in_distribution": 0.7, "same_templates": 0.55, "new_templates": 0.35},
    }
    points = []
    for i, model in enumerate(("a/small", "a/large")):
        made = drawn(test, chances["base"], samples, judge, seed=i)
        points.append(measured(f"base_{i}", test, made, variant="base", seed=i + 1, model=model))
        for rate in (1e-5, 2e-5):
            made = drawn(test, chances["tuned"], samples, judge, seed=f"{i}{rate}")
            points.append(
                measured(f"sft_{i}_lr{rate:g}", test, made, variant="sft", learning_rate=rate,
                         model=model, epochs=1.0, log=log)
            )  # fmt: skip
    points.append(measured("sft_1_lr1", test, None, status="diverged", variant="sft", epochs=1.0,
                           learning_rate=1.0, model="a/large", log=log[:9]))  # fmt: skip
    points.append(measured("sft_1_lr2", test, None, status="missing", variant="sft", epochs=1.0,
                           learning_rate=2.0, model="a/large"))  # fmt: skip
    return test, points
