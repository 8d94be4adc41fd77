"""What theory expects of a class-weighted decision, and what was measured of it.

With the loss of one class multiplied by γ and a training set of k rejects for one accept, the
optimal score is the log likelihood ratio of the paper plus a constant:

    logit q*(accept | x) = log LR(x) − log k + log γ     the loss of accepts is weighted
                         = log LR(x) − log k − log γ     the loss of rejects is weighted

Two points therefore differ by a known shift of all scores, and moving a threshold does the same.
Source: Elkan 2001, theorem 1; Menon et al., arXiv 2007.07314, section 3.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lib.analysis.metrics import decision_rates, expected_acceptance, weighted_mean
from lib.analysis.rates import difference, mean
from lib.analysis.statistics import percentile_interval, wilson
from lib.config.errors import BadInput
from lib.config.points import SEED, coordinates
from lib.config.tasks import PointResult, Row

SIGN = {"accept": 1, "reject": -1, None: 0}  # way in which a weighted class moves acceptance


class Cell(NamedTuple):
    """A point as the theory sees it."""

    variant: str  # the axis `variant`, or the weighted class where a study has no such axis
    weighted_class: str | None
    gamma: float  # 1 where no class is weighted
    ratio: str  # accepts : rejects, as in the config
    k: float  # rejects for one accept
    seed: int
    rest: tuple[tuple[str, Any], ...]  # every other axis of the study

    @property
    def offset(self) -> float:
        """Shift of the optimal score from balanced, unweighted training, in logits."""
        return -math.log(self.k) + SIGN[self.weighted_class] * math.log(self.gamma)

    @property
    def line(self) -> tuple[Any, ...]:
        """What points share that differ in γ alone."""
        return (self.variant, self.weighted_class, self.ratio, self.seed, self.rest)

    @property
    def but_seed(self) -> tuple[Any, ...]:
        """What points share that differ in the seed alone."""
        return (self.variant, self.weighted_class, self.gamma, self.ratio, self.rest)


def cells(points: Sequence[PointResult]) -> dict[str, Cell]:
    """The cell of every point, by name, in order. Raises BadInput for a class with no meaning."""
    rest = coordinates(points, ("train.gamma", "data.ratio", SEED))
    found = {}
    for point in points:
        weighted = point.config.train.weighted_class
        if weighted not in SIGN:
            raise BadInput(
                f"{point.name}: train.weighted_class: found {weighted!r}, expected accept or reject"
            )
        found[point.name] = Cell(
            variant=str(point.values.get("variant", weighted or "unweighted")),
            weighted_class=weighted,
            gamma=float(point.config.train.gamma) if weighted else 1.0,
            ratio=point.config.data.ratio,
            k=point.config.data.rejects_per_accept,
            seed=point.config.train.seed,
            rest=rest[point.name],
        )
    return found


def lines(all_cells: Mapping[str, Cell]) -> dict[tuple[Any, ...], list[str]]:
    """Names of the points of each line over γ, ascending; at γ = 1 the unweighted point, if any."""
    found = defaultdict(list)
    for name, cell in all_cells.items():
        if cell.weighted_class:
            found[cell.line].append(name)
    for line, names in found.items():
        if all(all_cells[name].gamma != 1 for name in names):
            names += [name for name, cell in all_cells.items() if _starts(cell, line)][:1]
        names.sort(key=lambda name: all_cells[name].gamma)
    return dict(found)


def _starts(cell: Cell, line: tuple[Any, ...]) -> bool:
    """Whether an unweighted point is γ = 1 of this line: all that both have is equal."""
    _, _, ratio, seed, rest = line
    shared = dict(rest)
    return (cell.weighted_class, cell.ratio, cell.seed) == (None, ratio, seed) and all(
        shared.get(axis, value) == value for axis, value in cell.rest
    )


def against_theory(
    accepted: np.ndarray,
    z: np.ndarray | None,
    baseline_z: np.ndarray,
    delta: float,
    counts: np.ndarray,
    level: float,
) -> dict[str, Any]:
    """Acceptance and logit shift of a point beside what the baseline's scores lead to expect.

    accepted: (n,) bools, the point's answers; z, baseline_z: (n,) log P(accept)/P(reject), z None
    where the point has no scores; delta: offset(point) − offset(baseline), logits; counts: (R, n).
    """
    would = baseline_z + delta > 0
    low, high = wilson(int(would.sum()), len(would), level) or (None, None)
    shift = mean(np.empty(0) if z is None else z - baseline_z, counts, level)
    return {
        "delta": delta,
        "expected_acceptance": {
            "value": expected_acceptance(baseline_z, delta),
            "low": low,
            "high": high,
        },
        "acceptance_minus_expected": difference(
            accepted.astype(float) - would, counts, len(would), level
        ),
        "logit_shift": {key: shift[key] for key in ("value", "low", "high")},
    }


def shift_line(
    deltas: np.ndarray, shifts: np.ndarray, resampled: np.ndarray, level: float
) -> dict[str, Any]:
    """Least squares of measured on expected shift over points: theory says slope 1, intercept 0.

    deltas, shifts: (points,) logits; resampled: (R, points) shifts on each resample of the papers,
    so that the interval speaks of other papers, and not of other training runs. The slope is null
    for fewer than two different deltas, the correlation for fewer than three points.
    """
    empty = dict.fromkeys(("slope", "low", "high", "intercept", "correlation"))
    if len(deltas) < 2 or np.ptp(deltas) < 1e-9:
        return {"points": len(deltas), **empty}
    centred = deltas - deltas.mean()
    slopes = resampled @ centred / (centred @ centred)
    slope = float(shifts @ centred / (centred @ centred))
    low, high = percentile_interval(slopes, level) or (None, None)
    enough = len(deltas) >= 3 and np.ptp(shifts) > 0
    return {
        "points": len(deltas),
        "slope": slope,
        "low": low,
        "high": high,
        "intercept": float(shifts.mean() - slope * deltas.mean()),
        "correlation": float(np.corrcoef(deltas, shifts)[0, 1]) if enough else None,
    }


def equal_odds(
    all_cells: Mapping[str, Cell], acceptance: Mapping[str, float], mean_z: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Points whose offset is the same (γ/k, or 1/(γk)) and which should therefore agree.

    acceptance, mean_z: value of each measured point. `range`: largest minus smallest.
    """
    groups = defaultdict(list)
    for name, cell in all_cells.items():
        if name in acceptance:
            groups[round(cell.offset, 9)].append(name)
    return [
        {
            "odds": math.exp(offset),
            "offset": offset,
            "points": names,
            "acceptance": [acceptance[name] for name in names],
            "acceptance_range": _range([acceptance[name] for name in names]),
            "mean_logit_range": _range([mean_z[name] for name in names if name in mean_z]),
        }
        for offset, names in sorted(groups.items(), reverse=True)
        if len(names) > 1
    ]


def against_truth(
    y: np.ndarray, truth: np.ndarray, offset: float, z: np.ndarray | None
) -> dict[str, Any]:
    """What a perfect learner would do at this offset, and how near the point's scores are to it.

    y: (n,) labels; truth: (n,) true log LR(x), as a balanced training set would teach it; z: (n,)
    the point's scores or None. `correlation` is Pearson's, of z with truth.
    """
    decided = (truth + offset > 0).astype(int)
    varied = z is not None and len(z) > 2 and np.ptp(z) > 0 and np.ptp(truth) > 0
    return {
        "expected_acceptance": expected_acceptance(truth, offset),
        "expected_accuracy": decision_rates(y, decided)["accuracy"],
        "correlation": float(np.corrcoef(z, truth)[0, 1]) if varied else None,
    }


def bayes(y: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Accuracy of the Bayes rule 1[log LR > 0] on these rows, and what it has on average."""
    return {
        "bayes_accuracy": decision_rates(y, (truth > 0).astype(int))["accuracy"],
        "bayes_accuracy_on_average": weighted_mean(1 / (1 + np.exp(-np.abs(truth)))),
    }


def true_log_odds(rows: Sequence[Row]) -> np.ndarray | None:
    """(n,) `log_odds_true` of the rows of a synthetic corpus, None where any row has none."""
    values = [row.get("log_odds_true") for row in rows]
    if not values or any(value is None for value in values):
        return None
    return np.array(values, dtype=float)


def _range(values: Sequence[float]) -> float | None:
    return float(max(values) - min(values)) if len(values) > 1 else None
