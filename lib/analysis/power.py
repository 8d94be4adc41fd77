"""How small an effect a study could detect: before it runs, or with the variances of results.

The *minimal detectable effect* is the true difference that a two-sided test at α finds with this
power. With m comparisons in a family each is planned at α/m and reported by Holm.

    binary_effect(n=1319, discordance=0.15)        # 0.030: 3.0 points of accuracy
    effect(0.25 / 750)                             # 0.051: of a variance of an item, 750 items
    seeds_effect(sd=0.004, seeds=3)                # the seeds alone: 3.3 sd, t with 2 degrees

Sources: Miller, arXiv 2411.00640, sections 2 to 5 (paired, clustered, resampled answers);
Connor 1987, Biometrics 43 (paired, binary).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

ALPHA, POWER = 0.05, 0.8


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def effect(variance: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """Minimal detectable effect of an estimate with this variance: (z_{α/2} + z_β)·√variance."""
    return (_z(1 - alpha / 2) + _z(power)) * math.sqrt(variance)


def equivalence_margin(variance: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest margin within which two equal settings are shown to be, by their interval.

    Both ends of the 1 − α interval have to lie inside: each may miss with half of 1 − power.
    """
    return (_z(1 - alpha / 2) + _z((1 + power) / 2)) * math.sqrt(variance)


def binary_effect(
    n: float, discordance: float, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """Minimal detectable difference of two rates on the same n items.

    δ√n = z_{α/2}√d + z_β√(d − δ²), d the share of items that only one side has right. None where no
    difference that is possible, up to d itself, could be detected.
    """

    def excess(delta: float) -> float:
        sd = math.sqrt(max(discordance - delta**2, 0.0))
        width = _z(1 - alpha / 2) * math.sqrt(discordance) + _z(power) * sd
        return delta * math.sqrt(n) - width

    return _solve(excess, discordance)


def rate_effect(n: float, bound: float, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """How far from a bound a rate has to lie for its interval to lie on one side of it.

    (z_{α/2}√(p₀q₀) + z_β√(p₁q₁))/√n, p₁ = p₀ + δ towards ½; None where no rate is far enough.
    """
    sign = 1 if bound < 0.5 else -1

    def excess(delta: float) -> float:
        rate = bound + sign * delta
        width = _z(1 - alpha / 2) * math.sqrt(bound * (1 - bound))
        return delta * math.sqrt(n) - width - _z(power) * math.sqrt(max(rate * (1 - rate), 0.0))

    return _solve(excess, max(bound, 1 - bound))


def seeds_effect(sd: float, seeds: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Minimal detectable mean of paired differences over seeds, by Student's t; None for one seed.

    sd: of the difference over seeds. Exact, by the noncentral t: 3.3 sd for 3 seeds, 1.7 for 5,
    1.0 for 10.
    """
    if seeds < 2:
        return None
    from scipy.stats import nct, t

    critical = t.ppf(1 - alpha / 2, seeds - 1)

    def excess(delta: float) -> float:
        return 1 - nct.cdf(critical, seeds - 1, delta * math.sqrt(seeds)) - power

    found = _solve(excess, 4 * critical / math.sqrt(seeds) + 4)
    return None if found is None else sd * found


def interval_variance(low: float, high: float, level: float) -> float:
    """Variance of an estimate whose interval this is, as of a normal one."""
    return ((high - low) / (2 * _z((1 + level) / 2))) ** 2


def _solve(excess: Callable[[float], float], most: float) -> float | None:
    """Where a rising function of δ in (0, most] crosses 0, None where it does not."""
    from scipy.optimize import brentq

    if excess(most) < 0:
        return None
    return float(brentq(excess, 1e-12, most, xtol=1e-12))
