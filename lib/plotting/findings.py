"""What a study found, in plain sentences: a Jinja2 template over its tables, as Markdown.

A template gets the functions below. It leads with the share of answers that could be parsed: what
rests on answers of which more than UNPARSED could not be parsed is not interpreted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lib.config.errors import listed
from lib.plotting import captions
from lib.plotting.view import View, main_set

TEMPLATES = Path(__file__).parent / "templates"
UNPARSED = 0.20
PARSED = ("parsed", "judged")  # metrics that say how many answers could be read


@dataclass(frozen=True)
class Numbers:
    """The numbers that templates put into sentences; `task`: whose metrics have bare names."""

    view: View
    task: str

    def of(self, task: str) -> Numbers:
        """The same of another task."""
        return Numbers(self.view, task)

    def of_settings(
        self, metric: str | None, every: bool = False, part: str | None = None
    ) -> pd.DataFrame:
        """One row a setting that has the metric: name, value, low, high, n, seeds, sd.

        Of the test set `part`, else of the main one. every: also of settings whose answers are not
        interpretable, for what rests on no answers.
        """
        estimates = self.view.tables["estimates"]
        kept = estimates[
            (estimates["of"] == "setting")
            & (estimates.task == self.task)
            & (estimates.metric == metric)
            & (estimates.slice.fillna("") == "")
        ].dropna(subset="value")
        kept = main_set(kept, part)
        return kept if every else kept[~kept.name.isin(self.unreadable)]

    @cached_property
    def parsed(self) -> str | None:
        """The metric that says how many answers could be read, None where the task has none."""
        metrics = set(self.view.tables["estimates"].query("task == @self.task").metric)
        return next((metric for metric in PARSED if metric in metrics), None)

    @cached_property
    def unreadable(self) -> list[str]:
        """Settings of whose answers more than UNPARSED could not be parsed."""
        parsed = self.of_settings(self.parsed, every=True)
        return list(parsed[parsed.value < 1 - UNPARSED].name)

    @cached_property
    def headline(self) -> str | None:
        """The first metric of the task that is not the parse rate and that some setting has."""
        estimates = self.view.tables["estimates"]
        metrics = estimates[(estimates.task == self.task) & (estimates["of"] == "setting")].metric
        return next((metric for metric in dict.fromkeys(metrics) if metric != self.parsed), None)

    def contrasts(self, metric: str, family: str = "baseline") -> pd.DataFrame:
        """Contrasts of a metric within a family, both sides interpretable."""
        kept = self.view.tables["contrasts"]
        kept = kept[(kept.task == self.task) & (kept.metric == metric) & (kept.family == family)]
        kept = main_set(kept)
        readable = ~(kept.a.isin(self.unreadable) | kept.b.isin(self.unreadable))
        return kept[readable].dropna(subset="difference")

    def table(self, name: str) -> pd.DataFrame:
        """A further table, or an empty one; of points all but the baseline's, `called`."""
        frame = self.view.tables.get(name, pd.DataFrame())
        if "point" not in frame:
            return frame
        kept = frame[~frame.point.isin(self.view.baseline.point)]
        return kept.assign(called=kept.point.map(self.view.words))

    def clear(self, contrasts: pd.DataFrame, sign: int) -> list[str]:
        """Settings that differ one way after Holm's adjustment."""
        kept = contrasts[contrasts.p_holm < 1 - self.view.level]
        return list(kept[sign * kept.difference > 0].a)

    def ends(self, metric: str) -> str:
        """`Accuracy runs from …  to …` over settings, with intervals."""
        name = metric if self.task == self.view.first else f"{self.task}.{metric}"
        frame = self.of_settings(metric).reset_index()
        return captions.extremes(self.view, name, frame.assign(place=frame["name"]))

    @property
    def verdicts(self) -> dict[str, int]:
        """Verdict → claims that have it."""
        return self.view.tables["claims"].verdict.value_counts(sort=False).to_dict()

    @property
    def missing(self) -> str:
        """`missing: a, b; diverged: c`, empty where every point is done."""
        points = self.view.points[self.view.points.status != "done"]
        groups = points.groupby("status", sort=True)["point"]
        return "; ".join(f"{len(some)} {status}: {listed(map(self.view.words, some), 3)}"
                         for status, some in groups)  # fmt: skip


def findings(view: View, task: str, template: str = "findings.md.jinja") -> str:
    """The findings of one task of a study as a Markdown list."""
    found = environment(autoescape=False).get_template(template)
    return found.render(task=task, first=task == view.first, view=view, numbers=Numbers(view, task))


def environment(autoescape: bool) -> Environment:
    """Jinja2 with the wording of numbers as filters and functions."""
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=autoescape, trim_blocks=True,
                       lstrip_blocks=True, undefined=StrictUndefined)  # fmt: skip
    made.filters |= {"number": captions.number, "difference": captions.difference,
                     "size": captions.size, "listed": listed, "percent": _percent,
                     "inside": captions.inside}  # fmt: skip
    made.globals |= {"interval": captions.interval, "ended": captions.ended, "len_": len}
    return made


def _percent(share: Any) -> str:
    return captions.number(float(share), "share")
