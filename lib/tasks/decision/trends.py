"""How acceptance follows γ along the lines of a grid: neighbouring levels, and a test for trend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lib.analysis.rates import difference
from lib.analysis.trends import page_trend
from lib.tasks.decision import theory
from lib.tasks.decision.evaluate import Answers
from lib.tasks.decision.theory import SIGN, Cell


def over_gamma(
    cells: Mapping[str, Cell], answers: Mapping[str, Answers], counts: np.ndarray, level: float
) -> list[dict[str, Any]]:
    """Each line over γ: its acceptance rates in order, and Page's test on the papers' log-odds.

    `pairs`: neighbouring γ levels whose acceptance rates go the expected way, are equal, or go the
    other way; `reversed_significantly`: the last, with a paired interval of the difference
    without 0.
    """
    found = []
    for line, names in theory.lines(cells).items():
        variant, weighted_class, ratio, seed, rest = line
        present = [name for name in names if name in answers]
        accepted = [(answers[name].pred == 1).astype(float) for name in present]
        pairs = {"in_order": 0, "equal": 0, "reversed": 0, "reversed_significantly": 0}
        for lower, higher in zip(accepted, accepted[1:], strict=False):
            step = difference(SIGN[weighted_class] * (higher - lower), counts, len(lower), level)
            if step["value"] is None or abs(step["value"]) < 1e-12:
                pairs["equal"] += 1
            elif step["value"] > 0:
                pairs["in_order"] += 1
            else:
                pairs["reversed"] += 1
                pairs["reversed_significantly"] += step["high"] is not None and step["high"] < 0
        scored = [n for n in present if answers[n].z is not None]
        levels = np.reshape([answers[n].z for n in scored], (len(scored), counts.shape[1]))
        page = page_trend(SIGN[weighted_class] * levels.T)._asdict()
        reason = page["reason"]
        if reason and len(scored) < len(present):
            page["reason"] = f"{reason}; {len(present) - len(scored)} points have no scores"
        found.append(
            {
                "variant": variant,
                "weighted_class": weighted_class,
                "ratio": ratio,
                "seed": seed,
                "rest": dict(rest),
                "points": present,
                "absent": [name for name in names if name not in answers],
                "gammas": [cells[name].gamma for name in present],
                "acceptance": [float(a.mean()) if len(a) else None for a in accepted],
                "pairs": pairs,
                "monotonic": pairs["reversed"] == 0 if len(present) > 1 else None,
                "page": page | {"p_holm": None},
            }
        )
    return found
