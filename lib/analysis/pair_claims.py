"""Claims that compare settings: `lib.analysis.claims` says how each is decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lib.analysis.evidence import Evidence
from lib.analysis.variance import reduction
from lib.analysis.verdicts import (
    ClaimResult,
    apart,
    by_intervals,
    combine,
    distance,
    intervals_of,
    needed_of,
    of_several,
)
from lib.analysis.wording import FAIL, PASS, UNDECIDED, UNKNOWN
from lib.config.claims import KINDS, Claim
from lib.config.errors import listed
from lib.config.settings import directed, lines, other_side, setting_pairs


def pairs_of(evidence: Evidence, claim: Claim) -> list[tuple[str, str]]:
    """The pairs of settings whose difference a claim rests on; none where it compares none."""
    if claim.kind == "monotonic":
        return [(b, a) for line, _ in directed(evidence.study, claim)
                for a, b in neighbours(evidence, line)]  # fmt: skip
    if "against" in KINDS[claim.kind] and claim.kind != "variance_over":
        return evidence.sides(claim)[0]
    return []


def compared(evidence: Evidence, claim: Claim) -> ClaimResult:
    """How settings stand to those that they are compared with."""
    both, note = evidence.sides(claim)
    candidates = [label for pair in setting_pairs(evidence.study, claim) for label in pair]
    if not both:
        return evidence.unmeasured(candidates, note)
    found = of_several(claim, [_compare(evidence, claim, *pair) for pair in both], note)
    return evidence.unless_waiting(found, candidates) if claim.select else found


def _compare(evidence: Evidence, claim: Claim, a: str, b: str) -> ClaimResult:
    """How setting a stands to b; better is positive, whichever way the metric goes."""
    row, metric, bound = evidence.contrast(claim, a, b), evidence.metric(claim), claim.bound
    ours, theirs = evidence.names([a], "diverged"), evidence.names([b], "diverged")
    if ours and claim.kind != "within":
        return ClaimResult(FAIL, f"diverged: {listed(ours, 3)}")
    if row is None:
        return evidence.unmeasured([a, b], f"no {claim.metric} of both {a} and {b}")
    sign = -1 if metric.higher_is_better is False else 1
    value = sign * row["difference"]
    intervals = [
        tuple(sorted((sign * low, sign * high))) for low, high in intervals_of(row, evidence.level)
    ]
    verdict, number = by_intervals(claim.kind, bound, intervals), apart(row, metric, a, b)
    if claim.kind == "gains" and bound == 0 and verdict == PASS and row["p_holm"] is not None:
        number += f"; Holm's p {row['p_holm']:.2g}"
        verdict = PASS if row["p_holm"] < 1 - evidence.level else UNDECIDED
    needed = ""
    if row["seeds"] == 1 and min(evidence.seeds(a), evidence.seeds(b)) > 1:
        verdict, needed = UNDECIDED, "2 matched seeds (1 now): one says nothing of other runs"
    elif verdict == UNDECIDED:
        needed = needed_of(row, distance(claim.kind, bound, value), evidence.level)
    low, high = intervals[0] if intervals else (None, None)
    found = ClaimResult(verdict, number, value, low, high, needed)
    gone = theirs + (ours if claim.kind == "within" else [])
    if gone and not (verdict == PASS and claim.kind != "within"):
        found = replace(found, verdict=UNDECIDED,
                        number=f"{number}; without diverged seeds: {listed(gone, 3)}")  # fmt: skip
    return evidence.unless_waiting(found, [a, b])


def neighbours(evidence: Evidence, line: dict[Any, str]) -> Iterator[tuple[str, str]]:
    """Neighbouring settings of a line that are measured, the lower level first."""
    there = [label for label in line.values() if evidence.names([label], "done")]
    return zip(there, there[1:], strict=False)


def monotonic(evidence: Evidence, claim: Claim) -> ClaimResult:
    """Whether a metric goes one way along each line."""
    counts = {"in order": 0, "equal": 0, "reversed": 0}
    worst: ClaimResult | None = None
    verdicts, labels = [], []
    for line, sign in directed(evidence.study, claim):
        labels += line.values()
        for lower, higher in neighbours(evidence, line):
            row = evidence.contrast(claim, higher, lower)
            if row is None:
                continue
            value = sign * row["difference"]
            ends = [
                tuple(sorted((sign * low, sign * high)))
                for low, high in intervals_of(row, evidence.level)
            ]
            which = "equal" if abs(value) < 1e-12 else "in order" if value > 0 else "reversed"
            counts[which] += 1
            significant = bool(ends) and all(high < 0 for _, high in ends)
            verdicts.append(FAIL if significant else UNDECIDED if which == "reversed" else PASS)
            if worst is None or value < worst.value:
                low, high = ends[0] if ends else (None, None)
                needed = needed_of(row, abs(value), evidence.level)
                worst = ClaimResult("", f"{apart(row, evidence.metric(claim), higher, lower)}",
                              value, low, high, needed)  # fmt: skip
    if worst is None:
        return evidence.unmeasured(labels, "no line has two measured levels")
    counted = ", ".join(f"{number} {name}" for name, number in counts.items())
    verdict = combine(verdicts, "every")
    if verdict == PASS and not counts["in order"]:
        verdict = FAIL
    number = f"{sum(counts.values())} neighbouring pairs: {counted}; least {worst.number}"
    needed = worst.needed if verdict == UNDECIDED else ""
    found = replace(worst, verdict=verdict, number=number, needed=needed)
    return found if verdict == FAIL else evidence.unless_waiting(found, labels)


def varies(evidence: Evidence, claim: Claim) -> ClaimResult:
    """By how much the variance over an axis falls."""
    axis, study = claim.variance_over, evidence.study
    ours, (base,) = (lines(study, wanted, axis)
                     for wanted in (claim.of, other_side(study, claim)))  # fmt: skip
    means = evidence.means(claim)
    labels = [label for line in (*ours, base) for label in line.values()]
    everyone = [{level for level, label in line.items() if label in means}
                for line in (*ours, base)]  # fmt: skip
    shared = sorted(set.intersection(*everyone))
    if len(shared) < 2:
        return evidence.unmeasured(labels, f"values of {axis} that are measured on both sides: "
                                           f"{len(shared)}, expected at least 2")  # fmt: skip
    made = reduction([[means[line[level]] for level in shared] for line in ours],
                     [means[base[level]] for level in shared], evidence.level)  # fmt: skip
    value, low, high = (made[key] for key in ("value", "low", "high"))
    if value is None:
        return ClaimResult(UNKNOWN, made["reason"])
    number = f"falls by {100 * value:.0f} %"
    number += "" if low is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    number += f" over {axis} {listed(shared, 6)}" + (
        f"; {made['reason']}" if made["reason"] else ""
    )
    ends = [] if low is None else [(low, high)]
    found = ClaimResult(by_intervals("falls_by", claim.falls_by, ends), number, value, low, high)
    left_out = {level for line in (*ours, base) for level in line} - set(shared)
    if gone := evidence.names(labels, "diverged"):
        return replace(found, verdict=UNDECIDED, number=f"{number}; a variance without diverged "
                       f"seeds says too little: {listed(gone, 3)}")  # fmt: skip
    if left_out:
        number += f"; without {axis} {listed(sorted(left_out), 4)}, not measured on every side"
        found = replace(found, verdict=UNDECIDED, number=number)
    return evidence.unless_waiting(found, labels)
