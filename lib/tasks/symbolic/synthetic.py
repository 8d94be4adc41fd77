"""Templates of our own, of small sums: `data.source: synthetic`."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

from lib.tasks.math.synthetic import NAMES, STEPS, THINGS

TEMPLATES = 30
# A template is the order of its steps: first those of one step, then of two, then of three.
ORDERS = [order for steps in (1, 2, 3) for order in product(range(len(STEPS)), repeat=steps)]


def generate(instances: int, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows {"template", "instance", "question", "answer"}: so many of each template, in order.

    A row depends on the seed, its template and its instance alone; questions may repeat. Nothing
    is to be reported of them.
    """
    rows = [_row(template, n, seed) for template in range(TEMPLATES) for n in range(instances)]
    return rows, {}


def _row(template: int, instance: int, seed: int) -> dict[str, Any]:
    draw = Random(f"{seed}/{template}/{instance}")
    name, things = draw.choice(NAMES), THINGS[template % len(THINGS)]
    have = draw.randrange(40, 100)
    sentences, worked = [f"{name} has {have} {things}."], []
    for step in ORDERS[template]:
        sentence, operator, apply = STEPS[step]
        # Twelve at most are given away, so that three such steps leave some of the forty.
        n = draw.randrange(2, 6) if operator == "*" else draw.randrange(2, 13)
        sentences.append(sentence.format(name=name, n=n))
        now = apply(have, n)
        task = f"{have}{operator}{n}"
        worked.append(f"{name} now has {have} {operator} {n} = <<{task}={now}>>{now} {things}.")
        have = now
    return {
        "template": template,
        "instance": instance,
        "question": f"{' '.join(sentences)} How many {things} does {name} have now?",
        "answer": "\n".join([*worked, f"#### {have}"]),
    }
