"""Claims about settings one at a time: `lib.analysis.claims` says how each is decided."""

from __future__ import annotations

from lib.analysis.evidence import Evidence
from lib.analysis.verdicts import (
    ClaimResult,
    by_intervals,
    combine,
    distance,
    intervals_of,
    needed_of,
    of_several,
    shown,
)
from lib.analysis.wording import FAIL, PASS, UNDECIDED
from lib.config.claims import Claim
from lib.config.errors import listed
from lib.config.settings import selected


def reaches(evidence: Evidence, claim: Claim) -> ClaimResult:
    """Whether settings lie above (below) the bound."""
    labels = list(selected(evidence.settings, claim.of))
    note = ""
    if claim.select:
        chosen, note = evidence.choose(labels)
        if chosen is None:
            return evidence.unmeasured(labels, note)
        labels = [chosen]
    return of_several(claim, [_reach(evidence, claim, label) for label in labels], note)


def _reach(evidence: Evidence, claim: Claim, label: str) -> ClaimResult:
    """Whether a setting lies above (below) the bound."""
    row, metric = evidence.estimate(claim, label), evidence.metric(claim)
    if diverged := evidence.names([label], "diverged"):
        return ClaimResult(FAIL, f"diverged: {listed(diverged, 3)}")
    if row is None:
        return evidence.unmeasured([label], f"{label} is not measured")
    bound, intervals = getattr(claim, claim.kind), intervals_of(row, evidence.level)
    verdict = by_intervals(claim.kind, bound, intervals)
    needed = needed_of(row, distance(claim.kind, bound, row["value"]), evidence.level)
    found = ClaimResult(verdict, f"{shown(row, metric)} ({label})", row["value"], row["low"],
                  row["high"], needed if verdict == UNDECIDED else "")  # fmt: skip
    return evidence.unless_waiting(found, [label])


def items(evidence: Evidence, claim: Claim) -> ClaimResult:
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
        return ClaimResult(FAIL, number)
    return evidence.unless_waiting(ClaimResult(PASS, number), labels)


def spans(evidence: Evidence, claim: Claim) -> ClaimResult:
    """Whether settings reach from one number to the other."""
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
        ends.append(ClaimResult(verdict, f"{shown(row, metric)} ({nearest})", needed=needed))
    verdict = combine([end.verdict for end in ends], "every")
    needed = "; ".join(end.needed for end in ends if end.needed)
    found = ClaimResult(verdict, " to ".join(end.number for end in ends), needed=needed)
    return found if verdict == PASS else evidence.unless_waiting(found, labels)
