"""How much each method's results vary with β, and by how much less than DPO's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lib.tasks.preference.cells import Line, Setting
from lib.tasks.preference.measures import Measure, averages, spread

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
                         "value", "low", "high", "reason"}]}

    Sample variance (n − 1) of the means over the seeds, in squared units of the measure. A setting
    of which no seed has a value is left out and named; the two sides of a reduction
    1 − variance / variance of DPO always hold the same β. A variant with several τ also has a
    reduction as a whole (tau null, "label" with "all τ"): of the mean of its lines' variances,
    since choosing the best τ after the fact would be no fair comparison. `against`: variant that
    the reduction is from. Intervals resample test items. Sampling of items and seeds adds to both
    variances, so where they are small the reduction is pulled to 0, and its interval is wide.
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
                "variance": spread(_variance(means, there), level),
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
    """Variance over β, and of every resample (R,); None for fewer than two β."""
    if len(members) < 2:
        return None
    values = [means[s][0] for s in members]
    resampled = np.array([means[s][1] for s in members])
    return float(np.var(values, ddof=1)), np.var(resampled, axis=0, ddof=1)


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
        name = found["label"].split(" τ ")[0]
        found |= {"label": f"{name} (all τ)", "tau": None}
    if len(betas) < 2:
        return found | {"reason": f"{len(betas)} β with values of both, expected at least 2"}
    variances = [_variance(means, [Setting(line, b) for b in betas]) for line in everyone]
    ours = np.mean([value for value, _ in variances[1:]])
    resampled = np.mean([r for _, r in variances[1:]], axis=0)
    if variances[0][0] < NONE:
        return found | {"reason": f"{base.label} does not vary with β at all"}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(variances[0][1] > 0, resampled / variances[0][1], np.nan)
    return found | spread((1 - ours / variances[0][0], 1 - ratios), level)
