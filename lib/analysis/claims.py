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

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from lib.analysis import pair_claims, setting_claims, training_claims
from lib.analysis.claim_power import of_claim
from lib.analysis.estimates import Measured
from lib.analysis.evidence import FAMILY, Evidence
from lib.analysis.tables import StudyTables, columns
from lib.analysis.verdicts import ClaimResult
from lib.analysis.wording import FAIL, PASS, UNKNOWN
from lib.config.claims import Claim
from lib.config.errors import listed
from lib.config.metric_names import metric_of, tables_of
from lib.config.metrics import Pair
from lib.config.study import Study

RULES = {
    "above": setting_claims.reaches,
    "below": setting_claims.reaches,
    "items": setting_claims.items,
    "spans": setting_claims.spans,
    "monotonic": pair_claims.monotonic,
    "variance_over": pair_claims.varies,
}


def pairs(study: Study, points: pd.DataFrame) -> list[Pair]:
    """The settings whose difference claims rest on, which `contrasts` has to know.

    points: the points table, by which validation chooses.
    """
    evidence = Evidence(study, points)
    both = [
        Pair(FAMILY, *pair)
        for claim in study.claims.values()
        if claim.kind != "ratio_below"
        for pair in pair_claims.pairs_of(evidence, claim)
    ]
    return list(dict.fromkeys(both))


def decide(
    study: Study, tables: StudyTables, measured: Sequence[Measured], first: Sequence[str] | None
) -> pd.DataFrame:
    """The claims table. first: hashes of the claims when the first array was submitted."""
    evidence = Evidence(
        study, tables.points, tables.estimates, tables.contrasts, measured, tables.extras
    )
    rows = []
    for number, claim in study.claims.items():
        found = _decided(evidence, claim)
        plan = of_claim(evidence, claim, found)
        needed = _needed(found)
        if plan.effect is None and not needed and found.verdict != UNKNOWN:
            needed = f"no minimal detectable effect: {plan.assumes}"
        changed = first is not None and claim.hash not in first
        rows.append({
            "claim": number,
            "say": claim.say,
            **asdict(found),
            "needed": needed,
            "bound": claim.bound,
            "mde": plan.effect,
            "hash": claim.hash,
            "changed": "yes" if changed else None,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=columns("claims"))


def _decided(evidence: Evidence, claim: Claim) -> ClaimResult:
    place, _ = metric_of(evidence.study, claim.metric)
    task = tables_of(evidence.study).get(place, place)
    if task in evidence.study.config.skip:
        return ClaimResult(UNKNOWN, f"the task {task} is not analysed")
    if task == "training" and claim.kind not in ("spans", "monotonic"):
        return training_claims.decided(evidence, claim)
    return RULES.get(claim.kind, pair_claims.compared)(evidence, claim)


def _needed(found: ClaimResult) -> str:
    """What would decide a claim that is not decided."""
    if found.verdict in (PASS, FAIL):
        return ""
    points = list(dict.fromkeys(found.waiting))
    named = [f"points {listed(points, 4)}"] if points else []
    return "; ".join([*named, *([found.needed] if found.needed else [])])
