"""What a study can decide: each claim's minimal detectable effect beside the margin it names.

With tables of stage 4 the variances are those that were seen: σ²_items·n₀/n + σ²_seeds·S₀/S. Before
that they are assumed, see `lib.analysis.claim_power`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from lib.analysis import claim_power, power
from lib.config import tasks
from lib.config.claims import KINDS, Claim
from lib.config.metric_names import metric_of
from lib.config.settings import setting_pairs
from lib.config.study import Study
from lib.planning.work import Data

MOST_SEEDS = 20
TIMES_ITEMS = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


class Seen(NamedTuple):
    """Variances of a difference of two settings: over items, and over seeds beside that."""

    items: float
    seeds: float


class Design(NamedTuple):
    """Seeds and items that resolve a claim, and the hours that this takes in all."""

    seeds: int
    items: int | None
    hours: float | None


@dataclass
class Decision:
    """A claim, what it needs and what the design could detect; None: unknown, or no such thing."""

    claim: int
    say: str
    margin: float | None
    effect: float | None
    basis: str  # assumed, or measured
    assumes: str
    seeds: int
    items: float | None
    cheapest: Design | None = None

    @property
    def is_short(self) -> bool:
        """Whether the claim names a margin that the design could not detect."""
        return None not in (self.margin, self.effect) and self.effect > self.margin

    def described(self) -> dict[str, Any]:
        """For JSON."""
        cheapest = self.cheapest and self.cheapest._asdict()
        return {**vars(self), "cheapest": cheapest, "too_small": self.is_short}


def margin_of(claim: Claim) -> float | None:
    """The difference that a claim is about; of a ratio its logarithm; None where it names none."""
    if claim.ratio_below is not None:
        return abs(math.log(claim.ratio_below)) or None
    return claim.gains or claim.no_worse_by or claim.within


def decisions(
    study: Study, data: Data, hours: Callable[[float, float], float | None]
) -> list[Decision]:
    """Each claim in the study's order. hours: (times the seeds, times the items) → hours in all."""
    sizes, rows = data.sizes(), _contrasts(study)
    found = []
    for number, claim in study.claims.items():
        plan = claim_power.planned(study, claim, sizes)
        seeds, items = claim_power.seeds_of(study, claim), None
        if metric_of(study, claim.metric)[0] in study.config.tasks:
            items = claim_power.items_of(study, claim, sizes)
        one = Decision(number, claim.say, margin_of(claim), plan.effect, "assumed", plan.assumes,
                       seeds, items)  # fmt: skip
        alpha = (1 - study.config.evaluate.level) / claim_power.comparisons(study, claim)
        if seen := _seen(study, claim, rows):
            one.effect = max(_shape(claim)(v.items + v.seeds, alpha) for v in seen)
            one.basis, one.assumes = "measured", f"variances seen so far, α {alpha:.3g}"
        if one.is_short or (claim.ratio_below and seeds < 2):
            one.cheapest = _cheapest(study, claim, one, seen, hours, alpha)
        found.append(one)
    return found


def _shape(claim: Claim) -> Callable[[float, float], float]:
    return power.equivalence_margin if claim.kind == "within" else power.effect


def _cheapest(
    study: Study,
    claim: Claim,
    now: Decision,
    seen: list[Seen],
    hours: Callable[[float, float], float | None],
    alpha: float,
) -> Design | None:
    """The cheapest design of a small lattice that resolves a claim; None where none of it does."""
    designs = []
    for seeds in range(now.seeds, max(MOST_SEEDS, now.seeds) + 1):
        more = seeds / now.seeds
        for times in TIMES_ITEMS if now.items else (1,):
            if seen:
                variances = (v.items / times + v.seeds / more for v in seen)
                effect = max(_shape(claim)(variance, alpha) for variance in variances)
            else:
                items = (now.items or 0) * times
                effect = claim_power.detectable(study, claim, items, seeds, alpha)
            if effect is not None and effect <= now.margin:
                items = None if now.items is None else math.ceil(now.items * times)
                designs.append(Design(seeds, items, hours(more, times)))
                break
        if designs and not seen and now.items:  # where seeds have no variance more are of no use
            break
    known = [one for one in designs if one.hours is not None]
    return min(known, key=lambda one: one.hours) if known else next(iter(designs), None)


def _contrasts(study: Study) -> list[dict[str, str]]:
    """Rows of the contrasts that stage 4 wrote, none before it has."""
    path = study.directory / "tables" / "contrasts.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _seen(study: Study, claim: Claim, rows: list[dict[str, str]]) -> list[Seen]:
    """What the contrasts of a claim have varied by; none where a claim compares nothing."""
    if not rows or "against" not in KINDS[claim.kind] or claim.kind == "variance_over":
        return []
    task, metric = metric_of(study, claim.metric)
    if task not in study.config.tasks:  # no test items
        return []
    place = claim.set or next(iter(tasks.get(task).sets), None)
    wanted = set(setting_pairs(study, claim))
    return list(_variances(study, rows, task, metric.name, place, wanted))


def _variances(
    study: Study,
    rows: list[dict[str, str]],
    task: str,
    metric: str,
    place: str | None,
    wanted: set[tuple[str, str]],
) -> Iterator[Seen]:
    level = study.config.evaluate.level
    seen = set()
    for row in rows:
        pair = (row["a"], row["b"])
        if (row["task"], row["metric"]) != (task, metric) or place not in (None, row["set"]):
            continue
        if not ({pair, pair[::-1]} & wanted) or not row["low"] or not row["low_items"]:
            continue
        if frozenset(pair) in seen:  # of another family
            continue
        seen.add(frozenset(pair))
        whole, items = (
            power.interval_variance(float(row[f"low{part}"]), float(row[f"high{part}"]), level)
            for part in ("", "_items")
        )
        yield Seen(items, max(whole - items, 0.0))
