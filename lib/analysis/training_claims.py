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

from lib.analysis.estimates import student
from lib.analysis.evidence import Evidence, Found, of_several
from lib.analysis.verdicts import by_intervals, distance, seeds_needed
from lib.analysis.wording import FAIL, FINAL, PASS, UNDECIDED, UNKNOWN
from lib.config import tasks
from lib.config.claims import Claim
from lib.config.errors import listed
from lib.config.settings import selected, setting_pairs
from lib.config.study import Point

FACTS = ("trained", "complete", "steps", "trainable_parameters")


def decided(evidence: Evidence, claim: Claim) -> Found:
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
    _, name = evidence.metric_of(claim)
    if name in FACTS:
        return _facts(evidence, claim, name, labels)
    found = []
    for label in labels:
        values = list(by_seed(evidence, name, label).values())
        found.append(_over_seeds(evidence, claim, values, [label], f"{name} of {label}"))
    return of_several(claim, found, note)


def _facts(evidence: Evidence, claim: Claim, name: str, labels: Sequence[str]) -> Found:
    """Whether points reach a number that nothing but the point itself decides."""
    found: list[Found] = []
    other: dict[str, list[str]] = {}  # status, or "not", → points that do not reach it
    for point in (point.name for label in labels for point in evidence.members(label)):
        value, status = evidence.points.get(point, {}).get(name), evidence.status(point)
        if value is not None:
            holds = value >= claim.above if claim.kind == "above" else value < claim.below
            found.append(Found(PASS if holds else FAIL, value=value))
        elif status in FINAL:
            found.append(Found(UNKNOWN))
        else:
            found.append(Found(UNDECIDED, waiting=(point,)))
        if found[-1].verdict != PASS:
            other.setdefault("not" if status == "done" else status, []).append(point)
    whole = of_several(claim, found)
    passed = sum(one.verdict == PASS for one in found)
    told = [f"; {status}: {listed(names, 4)}" for status, names in sorted(other.items())]
    number = f"{passed} of {len(found)} points" + "".join(told)
    return Found(whole.verdict, number, passed / len(found), waiting=whole.waiting)


def _difference(evidence: Evidence, claim: Claim, a: str, b: str) -> Found:
    """Seed-matched difference of two settings, better is positive."""
    _, name = evidence.metric_of(claim)
    sign = -1 if evidence.metric(claim).higher_is_better is False else 1
    ours, theirs = (by_seed(evidence, name, one) for one in (a, b))
    values = [sign * (ours[seed] - theirs[seed]) for seed in ours if seed in theirs]
    return _over_seeds(evidence, claim, values, [a, b], f"{name}, {a} against {b}")


def _ratio(evidence: Evidence, claim: Claim, a: str, b: str) -> Found:
    _, name = evidence.metric_of(claim)
    sides = [{(_seed(p), _place(evidence, p)): p.name for p in evidence.members(one)}
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
    means = [fmean(values) for values in logs.values() if len(values) == len(places)]
    if not means and unlike:
        return Found(UNKNOWN, f"{a} and {b} ran on different devices or for different steps")
    what = f"{name} of {a} by that of {b}"
    return _over_seeds(evidence, claim, means, [a, b], what, exponential=True)


def _over_seeds(
    evidence: Evidence,
    claim: Claim,
    values: Sequence[float],
    labels: Sequence[str],
    what: str,
    exponential: bool = False,
) -> Found:
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
    found = Found(verdict, number, value, low, high, needed)
    if gone := evidence.names(labels, "diverged"):
        return Found(UNDECIDED, f"{number}; without diverged seeds: {listed(gone, 3)}",
                     value, low, high)  # fmt: skip
    return evidence.unless_waiting(found, labels)


def by_seed(evidence: Evidence, name: str, label: str) -> dict[int, float]:
    """Seed → the number of a setting, of seeds that have it for every test set trained for."""
    places = {_place(evidence, point) for point in evidence.members(label)}
    found: dict[int, dict[tuple, tuple[float, float]]] = {}
    for point in evidence.members(label):
        row = evidence.points.get(point.name, {})
        if row.get("status") == "done" and row.get(name) is not None:
            weight = row.get("seconds") if name == "calibration_share" else 1.0
            place = _place(evidence, point)
            found.setdefault(_seed(point), {})[place] = (row[name], weight or 0.0)
    return {
        seed: sum(value * weight for value, weight in parts.values())
        / sum(weight for _, weight in parts.values())
        for seed, parts in found.items()
        if set(parts) == places
    }


def _seed(point: Point) -> int:
    return int(point.config.train.seed)


def _place(evidence: Evidence, point: Point) -> tuple:
    """What chooses the test set of a point."""
    return tuple(point.flat[key] for key in tasks.get(evidence.study.config.tasks[0]).data_axes)
