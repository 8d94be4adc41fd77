"""What the tables of a study say about its claims: rows by name, statuses, the chosen setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.estimates import Measured
from lib.analysis.records import records
from lib.analysis.seeds import student
from lib.analysis.variance import Mean
from lib.analysis.verdicts import ClaimResult
from lib.analysis.wording import FINAL, UNDECIDED, UNKNOWN
from lib.config import tasks
from lib.config.claims import Claim
from lib.config.metric_names import metric_of, metrics_of, sets_of, tables_of
from lib.config.metrics import Metric
from lib.config.settings import setting_pairs
from lib.config.study import Point, Study

Row = dict[str, Any]
FAMILY = "claims"  # of contrasts that claims ask for


class Evidence:
    """The tables of a study, looked up by settings as `lib.config.claims` labels them."""

    def __init__(
        self,
        study: Study,
        points: pd.DataFrame,
        estimates: pd.DataFrame | None = None,
        contrasts: pd.DataFrame | None = None,
        measured: Iterable[Measured] = (),
        extras: Mapping[str, pd.DataFrame] | None = None,
    ) -> None:
        self.study, self.measured = study, measured
        self.level = study.config.evaluate.level
        self.settings = study.settings
        self.points = {row["point"]: row for row in records(points)}
        self.estimates: dict[tuple[str, ...], Row] = {}
        if estimates is not None:
            whole = estimates[estimates["slice"].fillna("") == ""]
            columns = ("of", "name", "task", "set", "metric")
            self.estimates = {tuple(row[c] or "" for c in columns): row for row in records(whole)}
        for table in tables_of(study):
            if extras and table in extras:
                self.estimates |= dict(self._of_table(table, extras[table]))
        self.contrasts: dict[tuple[str, ...], Row] = {}
        for row in records(contrasts) if contrasts is not None else ():
            key = tuple(row[column] for column in ("a", "b", "task", "set", "metric"))
            if key not in self.contrasts or row["family"] == FAMILY:
                self.contrasts[key] = row
        self.sets: dict[str, dict[str, None]] = {}  # task or table → its test sets, in order
        for _, _, task, part, _ in (*self.estimates, *self.contrasts):
            self.sets.setdefault(task, {})[part] = None

    def _of_table(self, name: str, table: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], Row]]:
        """The numbers of a further table, as estimates of points."""
        columns = [metric.name for metric in metrics_of(self.study, name)]
        for row in records(table):
            for column in columns:
                key = ("point", row["point"], name, row.get("set") or "", column)
                value = None if isinstance(row[column], str) else row[column]
                yield key, {"value": value, "low": row.get(f"{column}_low"),
                            "high": row.get(f"{column}_high")}  # fmt: skip

    # -- metrics and sets --

    def metric(self, claim: Claim) -> Metric:
        """The metric that a claim is about."""
        return metric_of(self.study, claim.metric)[1]

    def key(self, claim: Claim) -> tuple[str, str, str]:
        """(task, set, metric) of a claim: the set that it names, else the main or only one."""
        task, metric = metric_of(self.study, claim.metric)
        there = self.sets.get(task, {})
        wanted = (*sets_of(self.study, task)[:1], *there)
        return task, claim.set or next((s for s in wanted if s in there), ""), metric.name

    def has_items(self, claim: Claim) -> bool:
        """Whether the metric is of test items, not of training or of a further table."""
        return self.key(claim)[0] in self.study.config.tasks

    # -- rows --

    def estimate(self, claim: Claim, setting: str) -> Row | None:
        """The estimate of a setting; of what has no items the mean over its seeds.

        Of one seed a further table may have an interval.
        """
        if self.has_items(claim):
            return known(self.estimates.get(("setting", setting, *self.key(claim))), "value")
        row = self.over_seeds(list(self.by_seed(claim, setting).values()), "value")
        if row and len(self.members(setting)) == 1:
            row |= self.of_point(claim, self.members(setting)[0].name) or {}
        return row

    def of_point(self, claim: Claim, point: str) -> Row | None:
        """The estimate of a point."""
        return known(self.estimates.get(("point", point, *self.key(claim))), "value")

    def contrast(self, claim: Claim, a: str, b: str) -> Row | None:
        """The difference of two settings, as a − b whichever way round it stands.

        Of what has no items the mean over the seeds that both have.
        """
        key = self.key(claim)
        if not self.has_items(claim):
            return self.over_seeds(self.differences(claim, a, b), "difference")
        if row := known(self.contrasts.get((a, b, *key)), "difference"):
            return row
        row = known(self.contrasts.get((b, a, *key)), "difference")
        return row and turned(row)

    def differences(self, claim: Claim, a: str, b: str) -> list[float]:
        """a − b of each seed that both settings have, of what has no items."""
        ours, theirs = (self.by_seed(claim, one) for one in (a, b))
        return [ours[seed] - theirs[seed] for seed in ours if seed in theirs]

    def by_seed(self, claim: Claim, setting: str) -> dict[int, float]:
        """Seed → the number of a setting, of what has no items.

        Of seeds that have it for every test set that the setting trains for: the mean, of
        `calibration_share` weighted by the time of each training.
        """
        task, _, name = self.key(claim)
        places = {self.place(point) for point in self.members(setting)}
        seeds: dict[int, dict[tuple, tuple[float, float]]] = {}
        for point in self.members(setting):
            row = self.points.get(point.name, {})
            value = row.get(name)
            if task != "training":
                value = (self.of_point(claim, point.name) or {}).get("value")
            if row.get("status") == "done" and value is not None:
                weight = row.get("seconds") if name == "calibration_share" else 1.0
                of_seed = seeds.setdefault(point.config.train.seed, {})
                of_seed[self.place(point)] = (value, weight or 0.0)
        return {
            seed: sum(value * weight for value, weight in parts.values())
            / sum(weight for _, weight in parts.values())
            for seed, parts in seeds.items()
            if set(parts) == places
        }

    def place(self, point: Point) -> tuple:
        """What chooses the test set of a point."""
        return tuple(point.flat[key] for key in tasks.get(self.study.config.tasks[0]).data_axes)

    def over_seeds(self, values: Sequence[float], column: str) -> Row | None:
        """A row as of estimates or contrasts: the mean over seeds with Student's interval."""
        if not values:
            return None
        low, high = student(values, self.level) or (None, None)
        ends = {"low": low, "high": high, "low_seeds": low, "high_seeds": high}
        sd = stdev(values) if len(values) > 1 else None
        return {column: fmean(values), **ends, "sd": sd, "units": 0, "seeds": len(values),
                "p_holm": None}  # fmt: skip

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

    def unless_waiting(self, found: ClaimResult, settings: Iterable[str]) -> ClaimResult:
        """Undecided where points of these settings may still come, else as it was found."""
        waiting = self.waiting(settings)
        return replace(found, verdict=UNDECIDED, waiting=waiting) if waiting else found

    def unmeasured(self, settings: Iterable[str], why: str) -> ClaimResult:
        """Not measurable, with the points that may still come."""
        return ClaimResult(UNKNOWN, why, waiting=self.waiting(settings))

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
