"""Claims about what training used or reached: seconds, memory, calibration, whether it is complete.

There are no test items: what varies is the run. Whether a point is trained and complete is a fact,
and so are its steps and parameters. Other numbers are those of a setting, with Student's interval
over its seeds; of one seed there is none. Where a setting has several test sets that it was trained
for, each seed counts where it has all of them: as their mean, and `calibration_share` as the time
of all calibrations by the time of all trainings.

`ratio_below`: the geometric mean of the ratios of runs with one seed and one test set, on the same
device and for as many steps; its interval is Student's over the seeds' logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from lib.analysis.evidence import Evidence
from lib.analysis.seeds import student
from lib.analysis.verdicts import ClaimResult, by_intervals, distance, of_several, seeds_needed
from lib.analysis.wording import FAIL, FINAL, PASS, UNDECIDED, UNKNOWN
from lib.config.claims import Claim
from lib.config.errors import listed
from lib.config.settings import selected, setting_pairs

FACTS = ("trained", "complete", "steps", "trainable_parameters")


def decided(evidence: Evidence, claim: Claim) -> ClaimResult:
    """What a claim about a metric of the task `training` comes to."""
    if claim.kind not in ("above", "below"):
        candidates = [one for pair in setting_pairs(evidence.study, claim) for one in pair]
        both, note = evidence.sides(claim)
        if not both:
            return evidence.unmeasured(candidates, note)
        compare = _ratio if claim.kind == "ratio_below" else _difference
        return of_several(claim, [compare(evidence, claim, *pair) for pair in both], note)
    labels, note = list(selected(evidence.settings, claim.of)), ""
    if claim.select:
        chosen, note = evidence.choose(labels)
        if chosen is None:
            return evidence.unmeasured(labels, note)
        labels = [chosen]
    name = evidence.metric(claim).name
    if name in FACTS:
        return _facts(evidence, claim, name, labels)
    found = []
    for label in labels:
        values = list(evidence.by_seed(claim, label).values())
        found.append(_over_seeds(evidence, claim, values, [label], f"{name} of {label}"))
    return of_several(claim, found, note)


def _facts(evidence: Evidence, claim: Claim, name: str, labels: Sequence[str]) -> ClaimResult:
    """Whether points reach a number that nothing but the point itself decides."""
    found: list[ClaimResult] = []
    other: dict[str, list[str]] = {}  # status, or "not", → points that do not reach it
    for point in (point.name for label in labels for point in evidence.members(label)):
        value, status = evidence.points.get(point, {}).get(name), evidence.status(point)
        if value is not None:
            holds = value >= claim.above if claim.kind == "above" else value < claim.below
            found.append(ClaimResult(PASS if holds else FAIL, value=value))
        elif status in FINAL:
            found.append(ClaimResult(UNKNOWN))
        else:
            found.append(ClaimResult(UNDECIDED, waiting=(point,)))
        if found[-1].verdict != PASS:
            other.setdefault("not" if status == "done" else status, []).append(point)
    whole = of_several(claim, found)
    passed = sum(one.verdict == PASS for one in found)
    unmet = [f"; {status}: {listed(names, 4)}" for status, names in sorted(other.items())]
    number = f"{passed} of {len(found)} points" + "".join(unmet)
    return ClaimResult(whole.verdict, number, passed / len(found), waiting=whole.waiting)


def _difference(evidence: Evidence, claim: Claim, a: str, b: str) -> ClaimResult:
    """Seed-matched difference of two settings, better is positive."""
    metric = evidence.metric(claim)
    sign = -1 if metric.higher_is_better is False else 1
    values = [sign * value for value in evidence.differences(claim, a, b)]
    return _over_seeds(evidence, claim, values, [a, b], f"{metric.name}, {a} against {b}")


def _ratio(evidence: Evidence, claim: Claim, a: str, b: str) -> ClaimResult:
    values, unlike = log_ratios(evidence, claim, a, b)
    if not values and unlike:
        return ClaimResult(UNKNOWN, f"{a} and {b} ran on different devices or for different steps")
    what = f"{evidence.metric(claim).name} of {a} by that of {b}"
    return _over_seeds(evidence, claim, values, [a, b], what, exponential=True)


def log_ratios(evidence: Evidence, claim: Claim, a: str, b: str) -> tuple[list[float], int]:
    """Mean log(a / b) over the test sets of each seed; how many runs are not comparable."""
    name = evidence.metric(claim).name
    sides = [{(p.config.train.seed, evidence.place(p)): p.name for p in evidence.members(one)}
             for one in (a, b)]  # fmt: skip
    logs: dict[int, list[float]] = {}
    unlike = 0
    for key in (key for key in sides[0] if key in sides[1]):
        rows = [evidence.points.get(side[key], {}) for side in sides]
        if any(row.get("status") != "done" or not row.get(name) for row in rows):
            continue
        if any(rows[0][same] != rows[1][same] for same in ("device", "steps")):
            unlike += 1
            continue
        logs.setdefault(key[0], []).append(math.log(rows[0][name] / rows[1][name]))
    places = {place for _, place in sides[0]} | {place for _, place in sides[1]}
    return [fmean(values) for values in logs.values() if len(values) == len(places)], unlike


def _over_seeds(
    evidence: Evidence,
    claim: Claim,
    values: Sequence[float],
    labels: Sequence[str],
    what: str,
    exponential: bool = False,
) -> ClaimResult:
    """The verdict on a mean over seeds by Student's interval. exponential: of logarithms."""
    if not values:
        return evidence.unmeasured(labels, f"no {what} of a seed with all test sets")
    shape = math.exp if exponential else float
    bound = getattr(claim, claim.kind)
    mean, ends = fmean(values), student(values, evidence.level)
    value = shape(mean)
    low, high = (None, None) if ends is None else map(shape, ends)
    bounds = [] if ends is None else [(low, high)]
    constant = len(values) > 1 and ends is None
    verdict = by_intervals(claim.kind, bound, [(value, value)] if constant else bounds)
    number = f"{value:.3g}" + ("" if low is None else f" [{low:.3g}, {high:.3g}]")
    number += f" ({what}, {len(values)} seeds)" if len(values) > 1 else f" ({what})"
    needed = ""
    if verdict == UNDECIDED and len(values) < 2:
        needed = "at least 2 seeds: one has no interval"
    elif verdict == UNDECIDED:
        edge = math.log(bound) if exponential else bound
        needed = seeds_needed((ends[1] - ends[0]) / 2, distance(claim.kind, edge, mean),
                              len(values), evidence.level)  # fmt: skip
    found = ClaimResult(verdict, number, value, low, high, needed)
    if gone := evidence.names(labels, "diverged"):
        return ClaimResult(UNDECIDED, f"{number}; without diverged seeds: {listed(gone, 3)}",
                     value, low, high)  # fmt: skip
    return evidence.unless_waiting(found, labels)
