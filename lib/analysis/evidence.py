"""What the tables of a study say about its claims: rows by name, statuses, the chosen setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.estimates import Measured
from lib.analysis.variance import Mean
from lib.analysis.verdicts import combine
from lib.analysis.wording import FINAL, PASS, UNDECIDED, UNKNOWN
from lib.config import tasks
from lib.config.claims import Claim
from lib.config.errors import listed
from lib.config.metric_names import resolve_metric
from lib.config.metrics import TRAINING, Metric
from lib.config.settings import setting_pairs, settings_of
from lib.config.study import Point, Study

Row = dict[str, Any]
FAMILY = "claims"  # of contrasts that claims ask for


@dataclass(frozen=True)
class Found:
    """What a claim comes to: at one setting, at one pair of settings, or as a whole."""

    verdict: str
    number: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    needed: str = ""
    waiting: tuple[str, ...] = ()  # points that may still come


class Evidence:
    """The tables of a study, looked up by settings as `lib.config.claims` labels them."""

    def __init__(
        self,
        study: Study,
        points: pd.DataFrame,
        estimates: pd.DataFrame | None = None,
        contrasts: pd.DataFrame | None = None,
        measured: Iterable[Measured] = (),
    ) -> None:
        self.study, self.measured = study, measured
        self.level = study.config.evaluate.level
        self.settings = settings_of(study)
        self.points = {row["point"]: row for row in rows_of(points)}
        self.estimates: dict[tuple[str, ...], Row] = {}
        if estimates is not None:
            whole = estimates[estimates["slice"].fillna("") == ""]
            columns = ("of", "name", "task", "set", "metric")
            self.estimates = {tuple(row[c] or "" for c in columns): row for row in rows_of(whole)}
        self.contrasts: dict[tuple[str, ...], Row] = {}
        for row in rows_of(contrasts) if contrasts is not None else ():
            key = tuple(row[column] for column in ("a", "b", "task", "set", "metric"))
            if key not in self.contrasts or row["family"] == FAMILY:
                self.contrasts[key] = row

    # -- metrics and sets --

    def metric_of(self, claim: Claim) -> tuple[str, str]:
        """(task, name) of the metric that a claim is about."""
        return resolve_metric(self.study, claim.metric)

    def metric(self, claim: Claim) -> Metric:
        """That metric as its task declares it."""
        task, name = self.metric_of(claim)
        declared = TRAINING
        if task != "training":
            declared = tasks.get(task).analysis.metrics(self.study.config.evaluate)
        return next(one for one in declared if one.name == name)

    def key(self, claim: Claim) -> tuple[str, str, str]:
        """(task, set, metric) of a claim: the set that it names, else the main or only one."""
        task, name = self.metric_of(claim)
        every = (*self.estimates, *self.contrasts)
        there = dict.fromkeys(key[3] for key in every if key[2] == task)
        main = tasks.get(task).sets[:1] if task != "training" else ()
        return task, claim.set or next((s for s in (*main, *there) if s in there), ""), name

    # -- rows --

    def estimate(self, claim: Claim, setting: str) -> Row | None:
        """The estimate of a setting."""
        return known(self.estimates.get(("setting", setting, *self.key(claim))), "value")

    def of_point(self, claim: Claim, point: str) -> Row | None:
        """The estimate of a point."""
        return known(self.estimates.get(("point", point, *self.key(claim))), "value")

    def contrast(self, claim: Claim, a: str, b: str) -> Row | None:
        """The difference of two settings, as a − b whichever way round it stands."""
        key = self.key(claim)
        if row := known(self.contrasts.get((a, b, *key)), "difference"):
            return row
        row = known(self.contrasts.get((b, a, *key)), "difference")
        return row and turned(row)

    def items(self, claim: Claim) -> int:
        """How many items the set has that a claim is about, known of a point or not."""
        return next(len(one.tests.items) for one in self.measured
                    if one.tests and (one.task, one.set) == self.key(claim)[:2])  # fmt: skip

    def means(self, claim: Claim) -> dict[str, Mean]:
        """Setting → mean over its seeds, and the same of every resample of the items (R,)."""
        key = (*self.key(claim), "")
        runs = next((one.settings for one in self.measured
                     if (one.task, one.set, one.metric.name, one.slice) == key), {})  # fmt: skip
        return {
            setting: (
                float(np.mean([run.value for run in seeds.values()])),
                np.mean([run.resampled for run in seeds.values()], axis=0),
            )
            for setting, seeds in runs.items()
        }

    # -- points --

    def members(self, setting: str) -> list[Point]:
        """The points of a setting."""
        return self.settings[setting][1]

    def seeds(self, setting: str) -> int:
        """How many seeds the grid has of a setting."""
        return len({point.config.train.seed for point in self.members(setting)})

    def status(self, point: str) -> str:
        """Status of a point; one that the tables lack is missing."""
        return self.points[point]["status"] if point in self.points else "missing"

    def names(self, settings: Iterable[str], *statuses: str) -> list[str]:
        """Points of these settings that have one of the statuses, each once."""
        found = (p.name for setting in dict.fromkeys(settings) for p in self.members(setting))
        return [name for name in found if self.status(name) in statuses]

    def waiting(self, settings: Iterable[str]) -> tuple[str, ...]:
        """Points of these settings that may still come."""
        found = (p.name for setting in dict.fromkeys(settings) for p in self.members(setting))
        return tuple(name for name in found if self.status(name) not in FINAL)

    def unless_waiting(self, found: Found, settings: Iterable[str]) -> Found:
        """Undecided where points of these settings may still come, else as it was found."""
        waiting = self.waiting(settings)
        return replace(found, verdict=UNDECIDED, waiting=waiting) if waiting else found

    def unmeasured(self, settings: Iterable[str], why: str) -> Found:
        """Not measurable, with the points that may still come."""
        return Found(UNKNOWN, why, waiting=self.waiting(settings))

    # -- selection --

    def choose(self, settings: Sequence[str]) -> tuple[str | None, str]:
        """(the setting that validation chooses, how, in words); (None, why) where it cannot.

        By the mean over the measured points of each; of equals the first. Test scores play no part.
        """
        if len(settings) == 1:
            return settings[0], ""
        values = {one: self._validated(one) for one in settings}
        there = {one: value for one, value in values.items() if value is not None}
        if not there:
            return None, f"none of {len(settings)} settings has a validation accuracy to choose by"
        text = f"chosen among {len(settings)} on validation rows"
        if len(there) < len(settings):
            text += f", {len(settings) - len(there)} of them without validation accuracy"
        return max(there, key=there.__getitem__), text

    def sides(self, claim: Claim) -> tuple[list[tuple[str, str]], str]:
        """Pairs of settings to compare, and how they were chosen; none, and why it cannot be."""
        both = setting_pairs(self.study, claim)
        if not claim.select:
            return both, ""
        chosen, notes = [], []
        for side in zip(*both, strict=True):
            one, note = self.choose(list(dict.fromkeys(side)))
            if one is None:
                return [], note
            chosen.append(one)
            notes += [f"{one} {note}"] if note else []
        return [(chosen[0], chosen[1])], "; ".join(notes)

    def _validated(self, setting: str) -> float | None:
        values = [self.points[n]["validation_accuracy"] for n in self.names([setting], "done")]
        return fmean(values) if values and None not in values else None


def of_several(claim: Claim, found: Sequence[Found], note: str = "") -> Found:
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


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """Rows of a table as dicts; an empty cell is None."""
    return [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def known(row: Row | None, column: str) -> Row | None:
    """A row that has its number, else None."""
    return row if row and row[column] is not None else None


def turned(row: Mapping[str, Any]) -> Row:
    """A contrast a − b as b − a."""
    found = dict(row) | {"a": row["b"], "b": row["a"], "difference": -row["difference"]}
    for ends in ("", "_items", "_seeds"):
        low, high = row[f"low{ends}"], row[f"high{ends}"]
        found[f"low{ends}"] = None if high is None else -high
        found[f"high{ends}"] = None if low is None else -low
    return found
