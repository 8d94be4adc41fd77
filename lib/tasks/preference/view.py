"""What the figures of a comparison share: settings by line, styles, places and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from lib.analysis.wording import absent
from lib.config.tasks import PointResult
from lib.plotting.shapes import DASHES, MARKERS, Style, category, ordinal
from lib.tasks.preference.cells import cells


class View:
    """The settings of a study, and the styles that its figures share."""

    def __init__(self, points: Sequence[PointResult], tables: Mapping[str, Any]) -> None:
        self.points = points
        self.tables = tables
        self.cells = cells(points)
        self.level = f"{100 * tables['level']:g} %"
        self.seeds = max((len(one["points"]) for one in tables["settings"]), default=1)
        self.betas = sorted({s["beta"] for s in tables["settings"]})
        self.lines = {
            label: sorted((s for s in tables["settings"] if s["line"] == label), key=_beta)
            for label in tables["lines"]
        }
        self.taus = sorted({s["tau"] for s in tables["settings"] if s["tau"] is not None})

    def style(self, label: str) -> Style:
        """Methods with a τ go dark to light by τ, with filled markers; the others differ in hue."""
        place, tau = list(self.lines).index(label), self.lines[label][0]["tau"]
        if tau is None:
            color, filled = category(2 * place).color, False
        else:
            color, filled = ordinal(self.taus.index(tau), len(self.taus)).color, True
        return Style(color, MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)], filled)

    def place(self, beta: float) -> float:
        """Where a β stands on a log axis; 0 stands one wide step left of the others."""
        positive = [b for b in self.betas if b > 0] or [1.0]
        return beta or positive[0] / 8

    @property
    def gap(self) -> float:
        """Octaves between the closest two β."""
        places = [math.log2(self.place(beta)) for beta in self.betas]
        return min((b - a for a, b in pairwise(places)), default=2.0)

    def has(self, metric: str) -> bool:
        """Whether the points have this number, and it may be compared between them."""
        known = any(s["metrics"][metric]["mean"] is not None for s in self.tables["settings"])
        return known and (metric != "mt_bench" or self.tables["mt_bench"]["reason"] is None)

    def note(self, metric: str, *parts: str) -> str:
        """What the numbers are, and which points have none."""
        rated = self.tables["mt_bench"]
        what = f"{self.tables['rows']:,} test pairs"
        if metric == "mt_bench":
            what = f"judge: {rated['judge']}, {rated['judged']:,} ratings, "
            what += f"{rated['parse_failures']} judgements without one"
            what += f", {rated['unjudged']:,} turns never judged" if rated["unjudged"] else ""
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else "one seed"
        text = "; ".join(part for part in (what, *parts, seeds) if part) + "."
        rest = absent(self.tables)
        return f"{text}\nNo value: {rest}." if rest else text


def _beta(setting: Mapping[str, Any]) -> float:
    return setting["beta"]
