"""Metrics of one point on the test problems. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib.analysis.statistics import wilson
from lib.config.tasks import Row
from lib.tasks.math.grading import MARK, number

EXTRACTIONS = {"accuracy": "correct", "accuracy_strict": "correct_strict"}
MOST_STEPS = 8  # problems with as many steps or more are one group


def evaluate(rows: list[Row], predictions: list[Row], eval_config: Any) -> dict[str, Any]:
    """metrics.json of one point.

        {"rows": n,
         "metrics": {"accuracy": by the last number, "accuracy_strict": by `#### number`},
         "no_number": {"strict": outputs without one behind `#### `, "flexible": without any},
         "unended": outputs without `####`: cut at infer.max_new_tokens, or told otherwise,
         "by_steps": [{"steps": "2", "rows": n, "accuracy": rate}, …, {"steps": "8+", …}],
         "level"}

    A rate is {"value", "low", "high", "method", "numerator", "denominator"}, with Wilson's
    interval. What holds no number is wrong, and stays in the denominator.
    """
    at = [min(row["steps"], MOST_STEPS) for row in predictions]
    groups = {count: [p for p, s in zip(predictions, at, strict=True) if s == count]
              for count in sorted(set(at))}  # fmt: skip
    return {
        "rows": len(rows),
        "metrics": {
            name: rate([p[key] for p in predictions], eval_config.level)
            for name, key in EXTRACTIONS.items()
        },
        "no_number": {
            key: sum(number(p[key]) is None for p in predictions) for key in ("strict", "flexible")
        },
        "unended": sum(not any(MARK in text for text in p["outputs"][:1]) for p in predictions),
        "by_steps": [
            {
                "steps": f"{count}+" if count == MOST_STEPS else str(count),
                "rows": len(group),
                "accuracy": rate([p["correct"] for p in group], eval_config.level),
            }
            for count, group in groups.items()
        ],
        "level": eval_config.level,
    }


def rate(right: Sequence[bool], level: float) -> dict[str, Any]:
    """{"value", "low", "high", "method", "numerator", "denominator"} of a share, Wilson's way."""
    interval = wilson(sum(right), len(right), level)
    low, high = interval or (None, None)
    value = sum(right) / len(right) if right else None
    counts = {"numerator": sum(right), "denominator": len(right)}
    return {"value": value, "low": low, "high": high, "method": "wilson", **counts}
