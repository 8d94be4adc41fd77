"""Made-up questions of three sets, with samples and rewards."""

from types import SimpleNamespace

from lib.config.schema import Evaluate
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
