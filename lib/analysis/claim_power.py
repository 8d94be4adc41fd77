"""The smallest effect that a study could detect, claim by claim.

Before a run, `planned` takes the sizes of the study and these assumptions: two settings differ on
`DISCORDANCE` of the items of a rate, ratings of one question by `RATING_SD`, training times by
`TIME_SD` over seeds; seeds add no variance of their own. With results, `of_claim` takes the
variances that were seen. Both plan at α/m, m the comparisons that claims make of one metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from lib.analysis import power
from lib.analysis.evidence import Evidence
from lib.analysis.pair_claims import pairs_of
from lib.analysis.training_claims import FACTS, log_ratios
from lib.analysis.verdicts import ClaimResult
from lib.config import tasks
from lib.config.claims import KINDS, Claim
from lib.config.metric_names import metric_of
from lib.config.settings import directed, selected, setting_pairs
from lib.config.study import Study

DISCORDANCE = 0.15  # share of items that only one of two settings has right
RATING_SD = 2.0  # of the difference of two ratings of a question; its mean over 80: ± 0.22
TIME_SD = 0.02  # of the logarithm of a training time over seeds
Sizes = Mapping[tuple[str, str], int]  # (task, test set) → items; set "" is the only one


class Plan(NamedTuple):
    """Minimal detectable effect in units of the metric, None where it is unknown; on what terms."""

    effect: float | None
    assumes: str


def planned(study: Study, claim: Claim, sizes: Sizes) -> Plan:
    """What a claim could detect before anything has run."""
    task, metric = metric_of(study, claim.metric)
    alpha = (1 - study.config.evaluate.level) / comparisons(study, claim)
    if task == "training":
        if claim.kind != "ratio_below":
            return Plan(None, "no test items: decided by the runs themselves")
        if (seeds := seeds_of(study, claim)) < 2:
            return Plan(None, "one seed has no interval")
        terms = f"{seeds} seeds, {100 * TIME_SD:.0f} % sd over seeds, α {alpha:.3g}"
        return Plan(detectable(study, claim, 0, seeds, alpha), terms)
    if task not in study.config.tasks:
        return Plan(None, "of a further table: needs first results")
    if claim.kind == "items":
        return Plan(None, "a count, decided without chance")
    if claim.kind == "variance_over":
        return Plan(None, "depends on how much the methods vary: needs first results")
    n = items_of(study, claim, sizes)
    if n is None:
        return Plan(None, "no test set yet: run stage 1")
    low, high = metric.bounds
    terms = (
        f"{n:,.0f} items, no variance over seeds, α {alpha:.3g}, power {100 * power.POWER:.0f} %"
    )
    if (low, high) == (0.0, 1.0):
        if claim.kind not in ("above", "below", "spans"):
            terms += f", {100 * DISCORDANCE:.0f} % of items with different outcomes"
    elif low is None or high is None:
        return Plan(None, "no assumption about the variance of this metric: needs first results")
    else:
        terms += f", sd {_item_sd(high):.2g} of an item"
    return Plan(detectable(study, claim, n, 1, alpha), terms)


def detectable(study: Study, claim: Claim, items: float, seeds: int, alpha: float) -> float | None:
    """The smallest effect that a claim could detect with so many items and seeds.

    Of a ratio of times its logarithm, by the seeds alone; of a metric with a range, by the items.
    """
    task, metric = metric_of(study, claim.metric)
    if task == "training":
        return power.seeds_effect(TIME_SD * 2**0.5, seeds, alpha)
    low, high = metric.bounds
    if (low, high) != (0.0, 1.0):
        shape = power.equivalence_margin if claim.kind == "within" else power.effect
        return shape(_item_sd(high) ** 2 / items, alpha)
    if claim.kind in ("above", "below", "spans"):
        bound = claim.spans[0] if claim.spans else getattr(claim, claim.kind)
        return power.rate_effect(items, bound, alpha)
    if claim.kind == "within":
        return power.equivalence_margin(DISCORDANCE / items, alpha)
    return power.binary_effect(items, DISCORDANCE, alpha)


def _item_sd(high: float) -> float:
    return RATING_SD if high > 1 else DISCORDANCE**0.5


def seeds_of(study: Study, claim: Claim) -> int:
    """The fewest seeds that a setting of a claim has."""
    if "against" in KINDS[claim.kind] and claim.kind != "variance_over":
        labels = {label for pair in setting_pairs(study, claim) for label in pair}
    else:
        labels = set(selected(study.settings, claim.of))
    settings = study.settings
    return min(len({p.config.train.seed for p in settings[label][1]}) for label in labels)


def items_of(study: Study, claim: Claim, sizes: Sizes) -> float | None:
    """Items of the set of a claim; of a mean over sets the number that has its variance."""
    task, _ = metric_of(study, claim.metric)
    there = {place: n for (of, place), n in sizes.items() if of == task}
    named = claim.set or next(iter(tasks.get(task).sets), "")
    if named in there:
        return there[named]
    analysis = tasks.get(task).analysis
    parts = [there[one] for one in analysis.mean_of if one in there]
    if named == "mean" and parts:
        return len(parts) ** 2 / sum(1 / n for n in parts)
    return sum(there.values()) or None


def comparisons(study: Study, claim: Claim) -> int:
    """How many comparisons the claims of a study make of this claim's metric; at least one."""
    (place, metric), total = metric_of(study, claim.metric), 0
    for one in study.claims.values():
        other_place, other = metric_of(study, one.metric)
        if (other_place, other.name) != (place, metric.name):
            continue
        if one.kind == "monotonic":
            total += sum(max(len(line) - 1, 0) for line, _ in directed(study, one))
        elif "against" in KINDS[one.kind] and one.kind != "variance_over":
            total += 1 if one.select else len(setting_pairs(study, one))
    return max(total, 1)


def of_claim(evidence: Evidence, claim: Claim, found: ClaimResult) -> Plan:
    """Minimal detectable effect with the variances that were seen, the largest of the claim's.

    found: what the claim comes to. Of a ratio the effect is on its logarithm.
    """
    task, _, name = evidence.key(claim)
    if claim.kind == "items" or (task == "training" and name in FACTS):
        return Plan(None, "a count, decided without chance")
    if not evidence.has_items(claim) and claim.kind == "within":
        return Plan(None, "no formula for a margin over seeds alone")
    both = pairs_of(evidence, claim)
    if claim.kind == "variance_over":
        rows = [asdict(found) | {"sd": None}]
    elif claim.kind == "ratio_below":
        ratios = [log_ratios(evidence, claim, *pair)[0] for pair in both]
        rows = [evidence.over_seeds(values, "value") for values in ratios]
    elif both:
        rows = [evidence.contrast(claim, *pair) for pair in both]
    else:
        rows = [evidence.estimate(claim, label) for label in selected(evidence.settings, claim.of)]
    alpha = (1 - evidence.level) / comparisons(evidence.study, claim)
    effects = [_effect(row, claim, evidence.level, alpha) for row in rows if row]
    seen = [one for one in effects if one]
    return Plan(max(seen, default=None), "" if seen else "one seed, or nothing varies here")


def _effect(row: Mapping[str, Any], claim: Claim, level: float, alpha: float) -> float | None:
    """Of an estimate or contrast: by its interval, of what has no items by its sd over seeds."""
    if row.get("units") == 0 and row["sd"]:
        return power.seeds_effect(row["sd"], row["seeds"], alpha)
    if row["low"] is None:
        return None
    shape = power.equivalence_margin if claim.kind == "within" else power.effect
    return shape(power.interval_variance(row["low"], row["high"], level), alpha)
