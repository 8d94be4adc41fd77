"""Verdicts from intervals: the rule of each kind of claim, and what would decide an open one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lib.analysis.wording import FAIL, PASS, UNDECIDED, UNKNOWN, percent, signed
from lib.config.claims import Claim
from lib.config.errors import listed
from lib.config.metrics import Metric

Interval = tuple[float, float]
Row = Mapping[str, Any]  # of estimates or contrasts; an empty cell is None
Rule = Callable[[float, float, float], bool]  # (bound, low, high) → whether it holds


@dataclass(frozen=True)
class ClaimResult:
    """What a claim comes to: at one setting, at one pair of settings, or as a whole."""

    verdict: str
    number: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    needed: str = ""
    waiting: tuple[str, ...] = ()  # points that may still come


# Kind → when the whole interval says yes, and when it says no. What lies between is undecided.
RULES: dict[str, tuple[Rule, Rule]] = {
    "above": (lambda b, low, high: low >= b, lambda b, low, high: high < b),
    "below": (lambda b, low, high: high < b, lambda b, low, high: low > b),
    "gains": (lambda b, low, high: low > b, lambda b, low, high: high < b),
    "no_worse_by": (lambda b, low, high: low >= -b, lambda b, low, high: high < -b),
    "within": (
        lambda b, low, high: low >= -b and high <= b,
        lambda b, low, high: high < -b or low > b,
    ),
    "at_most": (lambda b, low, high: high <= b, lambda b, low, high: low > b),
    "falls_by": (lambda b, low, high: low >= b, lambda b, low, high: high < b),
}
MOST = 100  # times the items or seeds, from which on their number is no plan


def by_intervals(kind: str, bound: float, intervals: Sequence[Interval]) -> str:
    """pass or fail where every interval says so; without any, undecided."""
    passes, fails = RULES["at_most" if kind == "ratio_below" else kind]
    if intervals and all(passes(bound, *one) for one in intervals):
        return PASS
    if intervals and all(fails(bound, *one) for one in intervals):
        return FAIL
    return UNDECIDED


def distance(kind: str, bound: float, value: float) -> float:
    """How far a value lies from the nearest bound of a claim."""
    bounds = {"no_worse_by": (-bound,), "within": (-bound, bound)}.get(kind, (bound,))
    return min(abs(value - one) for one in bounds)


def combine(verdicts: Sequence[str], at: str) -> str:
    """The verdict of a claim about every, most or any of its settings, from those of each.

    most: more than half of all. One that is not measurable may turn out either way.
    """
    total, passed, failed = len(verdicts), verdicts.count(PASS), verdicts.count(FAIL)
    if not total or verdicts.count(UNKNOWN) == total:
        return UNKNOWN
    enough = {"every": total, "most": total // 2 + 1, "any": 1}[at]
    if passed >= enough:
        return PASS
    return FAIL if total - failed < enough else UNDECIDED


def of_several(claim: Claim, found: Sequence[ClaimResult], note: str = "") -> ClaimResult:
    """What a claim comes to from what it comes to at each setting, or pair of settings.

    Its number is that of the only one, or of the one on which the verdict turns: the worst of
    every, the best of any, the one in the middle of most.
    """
    note = f"; {note}" if note else ""
    if len(found) == 1:
        return replace(found[0], number=found[0].number + note)
    verdict = combine([one.verdict for one in found], claim.at)
    better = {"below": 1, "ratio_below": 1}.get(claim.kind, -1)
    ranked = sorted(
        (one for one in found if one.value is not None),
        key=lambda one: abs(one.value) if claim.kind == "within" else better * one.value,
    )
    place = {"every": -1, "most": len(ranked) // 2, "any": 0}[claim.at]
    turning = ranked[place] if ranked else found[0]
    silent = [one.number for one in found if one.value is None and one is not turning]
    note = (f"; {listed(silent, 3)}" if silent else "") + note
    several = "settings" if claim.kind in ("above", "below") else "pairs of settings"
    still = [one.needed for one in (turning, *found) if one.verdict == UNDECIDED and one.needed]
    return replace(
        turning,
        verdict=verdict,
        number=f"{sum(one.verdict == PASS for one in found)} of {len(found)} {several}; "
        f"{turning.number}{note}",
        needed=still[0] if still and verdict == UNDECIDED else "",
        waiting=tuple(name for one in found for name in one.waiting),
    )


def items_needed(half: float, apart: float, units: int, noun: str = "items") -> str:
    """`some 4,900 items (1,319 now)`: how many would keep a bound outside the interval.

    half: half its width over items; apart: distance of the value from the bound, should it stay.
    Empty where the items are enough.
    """
    if half <= apart or not units:
        return ""
    factor = math.inf if apart == 0 else (half / apart) ** 2
    if factor > MOST:
        return f"over {MOST} times the {noun} ({units:,} now)"
    return f"some {math.ceil(units * factor):,} {noun} ({units:,} now)"


def seeds_needed(half: float, apart: float, seeds: int, level: float) -> str:
    """The same for Student's interval over seeds, of half the width `half`."""
    if half <= apart or seeds < 2:
        return ""
    sd = half / student_half(1.0, seeds, level)
    for more in range(seeds + 1, MOST * seeds):
        if student_half(sd, more, level) <= apart:
            return f"some {more} seeds ({seeds} now)"
    return f"over {MOST} times the seeds ({seeds} now)"


def student_half(sd: float, seeds: int, level: float) -> float:
    """Half the width of Student's interval of a mean over at least two seeds."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, seeds - 1)) * sd / math.sqrt(seeds)


def of_seeds(row: Row, level: float) -> Interval | None:
    """Student's interval over seeds, of an estimate or a contrast that has more than one."""
    if "low_seeds" in row:
        low, high = row["low_seeds"], row["high_seeds"]
        return None if low is None else (low, high)
    if not row["sd"]:
        return None
    half = student_half(row["sd"], int(row["seeds"]), level)
    return row["value"] - half, row["value"] + half


def intervals_of(row: Row, level: float) -> list[Interval]:
    """Intervals of an estimate or a contrast: over seeds and items, and Student's over seeds."""
    both = [] if row["low"] is None else [(row["low"], row["high"])]
    seeds = of_seeds(row, level)
    return [*both, seeds] if seeds else both


def needed_of(row: Row, distance_to: float, level: float) -> str:
    """What would bring a bound so far away out of the intervals, were the value to stay."""
    low, high = row.get("low_items", row["low"]), row.get("high_items", row["high"])
    found = [] if low is None else [items_needed((high - low) / 2, distance_to, int(row["units"]))]
    if seeds := of_seeds(row, level):
        half = (seeds[1] - seeds[0]) / 2
        found.append(seeds_needed(half, distance_to, int(row["seeds"]), level))
    if row.get("units") == 0 and row["seeds"] == 1:  # of a further table
        found.append("at least 2 seeds (1 now)")
    return " and ".join(text for text in found if text)


def shown(row: Row, metric: Metric) -> str:
    """`58.3 % [55.0, 61.5]`: an estimate with its interval."""
    share = metric.unit == "share"
    text = percent(row["value"]) if share else f"{row['value']:.3g}"
    if row["low"] is None:
        return text
    low, high = ((100 if share else 1) * row[key] for key in ("low", "high"))
    return f"{text} [{low:.1f}, {high:.1f}]" if share else f"{text} [{low:.3g}, {high:.3g}]"


def apart(row: Row, metric: Metric, a: str, b: str) -> str:
    """`+1.2 [−0.3, +2.7] percentage points (a − b, 3 seeds)`."""
    scale, digits = (100, 1) if metric.unit == "share" else (1, 2)
    text = signed(scale * row["difference"], digits)
    if row["low"] is not None:
        text += f" [{signed(scale * row['low'], digits)}, {signed(scale * row['high'], digits)}]"
    seeds = {0: "unmatched seeds", 1: "one seed"}.get(row["seeds"], f"{row['seeds']:.0f} seeds")
    unit = "percentage points" if scale == 100 else metric.unit
    return f"{text} {unit} ({a} − {b}, {seeds})"
