"""What a study's claims come to: pass, fail, undecided or not measurable, each with its number.

A claim holds or fails where the whole interval says so, and is undecided where its bound lies
inside. Where there are two intervals, one over seeds and items and Student's over seeds alone, both
have to say it: a bootstrap of three seeds is too narrow. One seed decides where the grid has one.

    above, below     `below` strictly; "most": more than half of the settings
    items            the value of every point rests on so many
    spans            one setting wholly at or below the lower number, one at or above the upper one
    monotonic        no two neighbours reversed, some in order; a significant reversal fails it
    gains            by more than the bound; by more than 0 also by Holm's p over all claims
    no_worse_by      lower end at or above −bound; `within`: the whole interval, both ways
    ratio_below      see `lib.analysis.training_claims`
    variance_over    see `lib.analysis.variance`; falls by at least so much

While points may still come nothing is settled but what divergence has. A diverged seed reaches no
bound and has no number: it fails `above`, `below`, `gains` and `no_worse_by` of its setting. On the
other side its absence flatters that side, so that only a pass stands; elsewhere the claim is
undecided. Of several settings the one that validation chooses is compared, never the best by test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from lib.analysis import claim_power, training_claims
from lib.analysis.estimates import Measured
from lib.analysis.evidence import FAMILY, Evidence, Found, of_several
from lib.analysis.tables import StudyTables, columns
from lib.analysis.variance import reduction
from lib.analysis.verdicts import (
    apart,
    by_intervals,
    combine,
    distance,
    intervals_of,
    needed_of,
    shown,
)
from lib.analysis.wording import FAIL, PASS, UNDECIDED, UNKNOWN
from lib.config import tasks
from lib.config.claims import Claim
from lib.config.errors import listed
from lib.config.metrics import Pair
from lib.config.settings import directed, lines, other_side, selected, setting_pairs
from lib.config.study import Study

PAIRED = ("gains", "no_worse_by", "within")


def pairs(study: Study, points: pd.DataFrame) -> list[Pair]:
    """The settings whose difference claims rest on, which `contrasts` has to know.

    points: the points table, by which validation chooses.
    """
    evidence, found = Evidence(study, points), []
    for claim in study.claims.values():
        if claim.kind in PAIRED:
            both, _ = evidence.sides(claim)
            found += [Pair(FAMILY, *one) for one in both]
        if claim.kind == "monotonic":
            for line, _ in directed(study, claim):
                found += [Pair(FAMILY, b, a) for a, b in _neighbours(evidence, line)]
    return list(dict.fromkeys(found))


def decide(
    study: Study, tables: StudyTables, measured: Sequence[Measured], first: Sequence[str] | None
) -> pd.DataFrame:
    """The claims table. first: hashes of the claims when the first array was submitted."""
    evidence = Evidence(study, tables.points, tables.estimates, tables.contrasts, measured)
    rows = []
    for number, claim in study.claims.items():
        found = _decided(evidence, claim)
        changed = first is not None and claim.hash not in first
        rows.append({
            "claim": number,
            "say": claim.say,
            **asdict(found),
            "needed": _needed(found),
            "bound": _bound(claim),
            "mde": claim_power.of_claim(evidence, claim),
            "hash": claim.hash,
            "changed": "yes" if changed else None,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=columns("claims"))


def _decided(evidence: Evidence, claim: Claim) -> Found:
    task, _ = evidence.metric_of(claim)
    if task == "training":
        return training_claims.decided(evidence, claim)
    if task in evidence.study.config.skip or tasks.get(task).analysis is None:
        return Found(UNKNOWN, f"the task {task} is not analysed")
    rules = {"above": _reaches, "below": _reaches, "items": _items, "spans": _spans,
             "monotonic": _monotonic, "variance_over": _varies}  # fmt: skip
    return rules.get(claim.kind, _compared)(evidence, claim)


# -- one setting at a time -------------------------------------------------------------------------


def _reaches(evidence: Evidence, claim: Claim) -> Found:
    labels = list(selected(evidence.settings, claim.of))
    note = ""
    if claim.select:
        chosen, note = evidence.choose(labels)
        if chosen is None:
            return evidence.unmeasured(labels, note)
        labels = [chosen]
    return of_several(claim, [_reach(evidence, claim, label) for label in labels], note)


def _reach(evidence: Evidence, claim: Claim, label: str) -> Found:
    """Whether a setting lies above (below) the bound."""
    row, metric = evidence.estimate(claim, label), evidence.metric(claim)
    if diverged := evidence.names([label], "diverged"):
        return Found(FAIL, f"diverged: {listed(diverged, 3)}")
    if row is None:
        return evidence.unmeasured([label], f"{label} is not measured")
    bound, intervals = getattr(claim, claim.kind), intervals_of(row, evidence.level)
    verdict = by_intervals(claim.kind, bound, intervals)
    needed = needed_of(row, distance(claim.kind, bound, row["value"]), evidence.level)
    found = Found(verdict, f"{shown(row, metric)} ({label})", row["value"], row["low"],
                  row["high"], needed if verdict == UNDECIDED else "")  # fmt: skip
    return evidence.unless_waiting(found, [label])


def _items(evidence: Evidence, claim: Claim) -> Found:
    """Whether the value of every point rests on all items, or on so many."""
    labels = list(selected(evidence.settings, claim.of))
    rows = {name: row for name in evidence.names(labels, "done")
            if (row := evidence.of_point(claim, name))}  # fmt: skip
    if not rows:
        return evidence.unmeasured(labels, "no point is measured")
    wanted = evidence.items(claim) if claim.items == "all" else claim.items
    other = [f"{name} {row['n']:,.0f}" for name, row in rows.items() if row["n"] != wanted]
    number = f"{len(rows) - len(other)} of {len(rows)} points rest on {wanted:,.0f}"
    number += f"; others: {listed(other, 6)}" if other else ""
    if other:  # whatever may still come
        return Found(FAIL, number)
    return evidence.unless_waiting(Found(PASS, number), labels)


def _spans(evidence: Evidence, claim: Claim) -> Found:
    labels = list(selected(evidence.settings, claim.of))
    rows = {one: row for one in labels if (row := evidence.estimate(claim, one))}
    if not rows:
        return evidence.unmeasured(labels, "no setting is measured")
    least, most = (pick(rows, key=lambda one: rows[one]["value"]) for pick in (min, max))
    metric, ends = evidence.metric(claim), []
    for kind, bound, nearest in zip(("at_most", "above"), claim.spans, (least, most), strict=True):
        intervals = [intervals_of(row, evidence.level) for row in rows.values()]
        verdict = combine([by_intervals(kind, bound, one) for one in intervals], "any")
        row, needed = rows[nearest], ""
        if verdict == UNDECIDED:
            needed = needed_of(row, abs(row["value"] - bound), evidence.level)
        ends.append(Found(verdict, f"{shown(row, metric)} ({nearest})", needed=needed))
    verdict = combine([end.verdict for end in ends], "every")
    needed = "; ".join(end.needed for end in ends if end.needed)
    found = Found(verdict, " to ".join(end.number for end in ends), needed=needed)
    return found if verdict == PASS else evidence.unless_waiting(found, labels)


# -- two settings ----------------------------------------------------------------------------------


def _compared(evidence: Evidence, claim: Claim) -> Found:
    both, note = evidence.sides(claim)
    candidates = [label for pair in setting_pairs(evidence.study, claim) for label in pair]
    if not both:
        return evidence.unmeasured(candidates, note)
    found = of_several(claim, [_compare(evidence, claim, *pair) for pair in both], note)
    return evidence.unless_waiting(found, candidates) if claim.select else found


def _compare(evidence: Evidence, claim: Claim, a: str, b: str) -> Found:
    """How setting a stands to b; better is positive, whichever way the metric goes."""
    row, metric, bound = evidence.contrast(claim, a, b), evidence.metric(claim), _bound(claim)
    ours, theirs = evidence.names([a], "diverged"), evidence.names([b], "diverged")
    if ours and claim.kind != "within":
        return Found(FAIL, f"diverged: {listed(ours, 3)}")
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
    found = Found(verdict, number, value, low, high, needed)
    gone = theirs + (ours if claim.kind == "within" else [])
    if gone and not (verdict == PASS and claim.kind != "within"):
        found = replace(found, verdict=UNDECIDED,
                        number=f"{number}; without diverged seeds: {listed(gone, 3)}")  # fmt: skip
    return evidence.unless_waiting(found, [a, b])


def _neighbours(evidence: Evidence, line: dict[Any, str]) -> Iterator[tuple[str, str]]:
    """Neighbouring settings of a line that are measured, the lower level first."""
    there = [label for label in line.values() if evidence.names([label], "done")]
    return zip(there, there[1:], strict=False)


def _monotonic(evidence: Evidence, claim: Claim) -> Found:
    counts = {"in order": 0, "equal": 0, "reversed": 0}
    worst: Found | None = None
    verdicts, labels = [], []
    for line, sign in directed(evidence.study, claim):
        labels += line.values()
        for lower, higher in _neighbours(evidence, line):
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
                worst = Found("", f"{apart(row, evidence.metric(claim), higher, lower)}",
                              value, low, high, needed)  # fmt: skip
    if worst is None:
        return evidence.unmeasured(labels, "no line has two measured levels")
    told = ", ".join(f"{number} {name}" for name, number in counts.items())
    verdict = combine(verdicts, "every")
    if verdict == PASS and not counts["in order"]:
        verdict = FAIL
    number = f"{sum(counts.values())} neighbouring pairs: {told}; least {worst.number}"
    needed = worst.needed if verdict == UNDECIDED else ""
    found = replace(worst, verdict=verdict, number=number, needed=needed)
    return found if verdict == FAIL else evidence.unless_waiting(found, labels)


def _varies(evidence: Evidence, claim: Claim) -> Found:
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
        return Found(UNKNOWN, made["reason"])
    number = f"falls by {100 * value:.0f} %"
    number += "" if low is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    number += f" over {axis} {listed(shared, 6)}" + (
        f"; {made['reason']}" if made["reason"] else ""
    )
    ends = [] if low is None else [(low, high)]
    found = Found(by_intervals("falls_by", claim.falls_by, ends), number, value, low, high)
    left_out = {level for line in (*ours, base) for level in line} - set(shared)
    if gone := evidence.names(labels, "diverged"):
        return replace(found, verdict=UNDECIDED, number=f"{number}; a variance without diverged "
                       f"seeds says too little: {listed(gone, 3)}")  # fmt: skip
    if left_out:
        number += f"; without {axis} {listed(sorted(left_out), 4)}, not measured on every side"
        found = replace(found, verdict=UNDECIDED, number=number)
    return evidence.unless_waiting(found, labels)


def _needed(found: Found) -> str:
    """What would decide a claim that is not decided."""
    if found.verdict in (PASS, FAIL):
        return ""
    points = list(dict.fromkeys(found.waiting))
    named = [f"points {listed(points, 4)}"] if points else []
    return "; ".join([*named, *([found.needed] if found.needed else [])])


def _bound(claim: Claim) -> Any:
    """The number, or numbers, of a claim."""
    if claim.kind == "variance_over":
        return claim.falls_by
    return getattr(claim, claim.kind) if claim.kind != "monotonic" else 0
