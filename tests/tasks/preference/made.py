"""Points of made-up studies of preferences, as the analysis sees them."""

from types import SimpleNamespace

import pandas as pd

from lib.analysis.tables import columns
from lib.config.grid import point_name
from lib.config.schema import Evaluate

BETAS = (0.01, 0.05, 0.5, 2.5)
TAUS = (0.5, 1.0, 2.0)
SEEDS = (42, 43, 44)


def points_of(settings, seeds=SEEDS, baseline=None) -> pd.DataFrame:
    """The points table of settings (axis → value), each with these seeds."""
    rows = [
        {"point": point_name({**place, "seed": seed}), "status": "done", "seed": seed,
         "setting": point_name(place), "baseline": "yes" if point_name(place) == baseline else None,
         **place}
        for place in settings
        for seed in seeds
    ]  # fmt: skip
    axes = list(dict.fromkeys(axis for place in settings for axis in place))
    return pd.DataFrame(rows, columns=columns("points", tuple(axes)))


def answers_of(points, measured, axes=None):
    """What extras read of `lib.analysis.engine.Answers`."""
    study = SimpleNamespace(
        axes=axes or {"beta": "train.beta", "tau": "train.tau", "seed": "train.seed"},
        config=SimpleNamespace(evaluate=Evaluate(baseline={})),
    )
    return SimpleNamespace(study=study, measured=measured, tables=SimpleNamespace(points=points))
