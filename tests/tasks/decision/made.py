"""Accept/reject studies in memory: papers with known log-odds, and points that see them."""

import math

import numpy as np

from lib.analysis.engine import Answers, analyse
from lib.config.load import load_study
from lib.config.tasks import PointResult
from lib.tasks.decision.scores import offset_of


def paper(number, decision, **more):
    return {"id": f"p{number}", "decision": decision, **more}


def answer(number, z, prediction=None):
    """A graded prediction with log-odds z (None: no scores), decided by its sign if not said."""
    said = prediction or ("accept" if z > 0 else "reject")
    p = None if z is None else 1 / (1 + math.exp(-z))
    return {"id": f"p{number}", "prediction": said, "log_odds": z, "p_accept": p, "neither": None}


def papers(n=400, years=()):
    """Balanced rows whose true log LR is normal with variance 1: rows, log LR."""
    y = np.arange(n) % 2
    z = np.random.default_rng(0).normal(np.where(y == 1, 0.5, -0.5), 1.0)
    rows = [paper(i, "accept" if y[i] else "reject", log_odds_true=float(z[i])) for i in range(n)]
    for i, row in enumerate(rows if years else ()):
        row["year"] = years[i % len(years)]
    return rows, z


def study(path, n=400, learned=1.0, noise=0.3, status=None, parsed=1.0, overrides=()) -> Answers:
    """A study whose points score learned·(log LR + offset) + noise.

    status: index → status of points without predictions; parsed: share of answers that say
    something, the first ones.
    """
    rows, truth = papers(n)
    loaded = load_study(path, ["evaluate.resamples=200", *overrides])
    results = []
    for point in loaded.points():
        state = (status or {}).get(point.index, "done")
        result = PointResult(point.name, point.values, point.config, state, axes=loaded.axes)
        if state in ("done", "partial"):
            z = learned * (truth + offset_of(point.config))
            z = z + noise * np.random.default_rng([1, point.index]).normal(size=n)
            kept = n if state == "done" else n // 2
            result.predictions = [
                answer(i, float(one), None if i < parsed * n else "unknown")
                for i, one in enumerate(z[:kept])
            ]
        results.append(result)
    return analyse(loaded, loaded.points(), {"decision": rows}, {"decision": results})


def of_one(answers: Answers, name: str, metric: str, slice_: str = ""):
    """The estimate of a point or setting."""
    table = answers.tables.estimates
    found = table[(table["name"] == name) & (table["metric"] == metric)
                  & (table["slice"] == slice_)]  # fmt: skip
    (row,) = found.to_dict("records")
    return row
