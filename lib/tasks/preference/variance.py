"""How much each method's results vary with β, and by how much less than DPO's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lib.analysis.paired import Measure, averages, spread
from lib.tasks.preference.cells import Line, Setting

NONE = 1e-15  # variance that is rounding alone
Found = dict[Setting, tuple[float, np.ndarray]]


def over_beta(
    measure: Measure | None,
    settings: Mapping[Setting, Sequence[str]],
    lines: Mapping[Line, Sequence[Setting]],
    diverged: Mapping[Setting, int],
    against: str | None,
    level: float,
) -> dict[str, Any]:
    """Variance of the seed means over β of every line, and its reduction against DPO.

        {"lines": [{"label", "variant", "tau", "betas", "means", "variance": {value, low, high},
                    "diverged": [β, …], "absent": [β, …]}],
         "reductions": [{"label", "variant", "tau", "against", "betas", "left_out",
                         "value", "low", "high", "reason": why there is no value or interval}]}

    Sample variance (n − 1) of the means over the seeds, in squared units of the measure. A setting
    of which no seed has a value is left out and named; the two sides of a reduction
    1 − variance / variance of DPO always hold the same β. A variant with several τ also has a
    reduction as a whole (tau null, "label" with "all τ"): of the mean of its lines' variances,
    since choosing the best τ after the fact would be no fair comparison. `against`: variant that
    the reduction is from.

    Drawing items and seeds adds to both variances, so where they are small the reduction is pulled
    to 0. The intervals, over test items, take the items' part off: see `_variance`. Simulated
    coverage of a nominal 95 %, 4 β, 3 seeds, 100 and 750 items: 91 to 100 %; of the percentile
    interval of plain resamples: 0 % where a method does not vary, up to 96 % where it does.
    """
    means = _means(measure, settings)
    table = []
    for line, members in lines.items():
        there = [s for s in members if s in means]
        table.append(
            {
                **_named(line),
                "betas": [s.beta for s in there],
                "means": [means[s][0] for s in there],
                "variance": _stretched(spread(_variance(means, there), level, flat=True)),
                "diverged": [s.beta for s in members if diverged.get(s)],
                "absent": [s.beta for s in members if s not in means],
            }
        )
    bases = [line for line in lines if line.variant == against]
    reductions = []
    if len(bases) == 1:
        for group in _groups([line for line in lines if line not in bases]):
            reductions.append(_reduction(means, lines, group, bases[0], level))
    return {"lines": table, "reductions": reductions}


def _means(measure: Measure | None, settings: Mapping[Setting, Sequence[str]]) -> Found:
    if measure is None:
        return {}
    found = {setting: averages(measure, names) for setting, names in settings.items()}
    return {setting: value for setting, value in found.items() if value is not None}


def _named(line: Line) -> dict[str, Any]:
    return {"label": line.label, "variant": line.variant, "tau": line.tau}


def _groups(lines: Sequence[Line]) -> list[list[Line]]:
    """Every line, and after the lines of a variant that has several all of them."""
    found = []
    for variant in dict.fromkeys(line.variant for line in lines):
        of_variant = [line for line in lines if line.variant == variant]
        found += [[line] for line in of_variant]
        if len(of_variant) > 1:
            found.append(of_variant)
    return found


def _variance(means: Found, members: Sequence[Setting]) -> tuple[float, np.ndarray] | None:
    """Variance over β, and what resamples (R,) say of it; None for fewer than two β.

    The draw of items adds some noise to the variance, and resampling adds as much again. Their
    mean distance estimates it, and is taken off each resample twice, down to 0 at most.
    """
    if len(members) < 2:
        return None
    value = float(np.var([means[s][0] for s in members], ddof=1))
    resampled = np.var(np.array([means[s][1] for s in members]), axis=0, ddof=1)
    known = resampled[~np.isnan(resampled)]
    noise = max(0.0, float(known.mean()) - value) if len(known) else 0.0
    return value, np.maximum(resampled - 2 * noise, 0.0)


def _stretched(found: dict[str, float | None]) -> dict[str, float | None]:
    """A value with its interval, which reaches to the value: that still holds the noise."""
    if found["low"] is None:
        return found
    value = found["value"]
    low, high = min(found["low"], value), max(found["high"], value)
    low, high = (low, high) if low < high else (None, None)
    return {"value": value, "low": low, "high": high}


def _reduction(
    means: Found,
    lines: Mapping[Line, Sequence[Setting]],
    group: Sequence[Line],
    base: Line,
    level: float,
) -> dict[str, Any]:
    """1 − mean variance of the group's lines / variance of the base, on the β that all have."""
    everyone = [base, *group]
    known = [{s.beta for s in lines[line] if s in means} for line in everyone]
    planned = sorted({s.beta for line in everyone for s in lines[line]})
    betas = sorted(set.intersection(*known))
    found: dict[str, Any] = {
        **_named(group[0]),
        "against": base.label,
        "betas": betas,
        "left_out": [beta for beta in planned if beta not in betas],
        **spread(None, level),
        "reason": None,
    }
    if len(group) > 1:
        apart = "τ" if len({line.rest for line in group}) == 1 else "lines"
        name = Line(group[0].variant, None).label
        found |= {"label": f"{name} (all {apart})", "tau": None}
    if len(betas) < 2:
        return found | {"reason": f"{len(betas)} β with values of both, expected at least 2"}
    variances = [_variance(means, [Setting(line, b) for b in betas]) for line in everyone]
    ours = np.mean([value for value, _ in variances[1:]])
    resampled = np.mean([r for _, r in variances[1:]], axis=0)
    if variances[0][0] < NONE:
        return found | {"reason": f"{base.label} does not vary with β at all"}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(variances[0][1] > 0, resampled / variances[0][1], np.nan)
    found |= _stretched(spread((1 - ours / variances[0][0], 1 - ratios), level, flat=True))
    if found["low"] is None and len(ratios):
        found["reason"] = f"no interval: {base.label} varies no more than another draw of items may"
    return found
