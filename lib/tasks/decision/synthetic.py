"""A corpus of short review summaries whose true log-odds are known: `data.source: synthetic`.

A summary is four statements about four of five aspects. Each statement has a weight, and

    log_odds_true = sum of the four weights,    P(accept | summary) = sigmoid(log_odds_true)

The grammar is symmetric, so P(accept) is exactly 1/2 and the sum is the log likelihood ratio
log p(summary | accept) / p(summary | reject): what training on a balanced set would teach, and what
training at 1:k with a class weight γ shifts by a constant. Texts repeat, titles don't; as each
decision is drawn anew, a summary that is in both training and test set gives nothing away.
"""

from __future__ import annotations

import math
from random import Random
from typing import Any

GRADES = (3, 1, -1, -3)
# Aspect → (weight of one grade in hundredths, wordings from best to worst). Whole numbers, so that
# sums are exact; chosen for a Bayes accuracy near 0.75, and so that no sum is 0 (no tie).
GRAMMAR: dict[str, tuple[int, tuple[str, str, str, str]]] = {
    "idea": (33, ("new", "fresh", "familiar", "stale")),
    "theory": (48, ("rigorous", "sound", "loose", "wrong")),
    "evidence": (40, ("thorough", "fair", "thin", "flawed")),
    "writing": (21, ("elegant", "clear", "rough", "confusing")),
    "impact": (32, ("broad", "useful", "limited", "minor")),
}
STATEMENTS = 4  # of the five aspects, in the grammar's order


def generate(n: int, seed: int, start: int = 0) -> list[dict[str, Any]]:
    """Rows `start` … `start + n − 1` of the endless corpus that `seed` stands for.

    {"id", "title", "text", "decision": "accept" | "reject", "log_odds_true": float}; a row depends
    on (seed, its number) alone.
    """
    return [_row(number, seed) for number in range(start, start + n)]


def _row(number: int, seed: int) -> dict[str, Any]:
    draw = Random(f"{seed}/{number}")
    chosen = set(draw.sample(list(GRAMMAR), STATEMENTS))
    statements, total = [], 0
    for aspect, (weight, wordings) in GRAMMAR.items():
        if aspect in chosen:
            grade = draw.randrange(len(GRADES))
            statements.append(f"{wordings[grade].capitalize()} {aspect}.")
            total += weight * GRADES[grade]
    log_odds = total / 100
    return {
        "id": f"synthetic-{number}",
        "title": f"Paper {number}",
        "text": " ".join(statements),
        "decision": "accept" if draw.random() < 1 / (1 + math.exp(-log_odds)) else "reject",
        "log_odds_true": log_odds,
    }
