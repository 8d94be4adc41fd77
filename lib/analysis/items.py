"""Items: what each point answered to each row of a test set, graded once, and as arrays.

The items table has one row an item of a point. `TestSet` has the same as one matrix (P, n) an
outcome, P points and n items, and draws the resamples: once for all points that have the same
items, so that what they share cancels in every difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.statistics import resample_counts
from lib.config.metrics import Analysis

KEYS = ("task", "point", "set", "item", "cluster")


def items_of(task: str, point: str, columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Rows of the items table; columns: what the task's `Analysis.outcomes` gives."""
    return pd.DataFrame({"task": task, "point": point, **columns})


def items_table(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The items of a study: KEYS as categories, in order of appearance, and then the outcomes."""
    parts = list(parts)
    if not parts:
        return pd.DataFrame(columns=list(KEYS))
    whole = pd.concat(parts, ignore_index=True)
    for key in KEYS:
        codes, names = pd.factorize(whole[key])
        whole[key] = pd.Categorical.from_codes(codes, names)
    return whole


@dataclass
class TestSet:
    """What points answered to the items of one test set, or to a slice of them."""

    __test__ = False  # no test class, whatever pytest takes it for

    task: str
    name: str
    points: list[str]
    items: np.ndarray  # (n,) ids
    clusters: np.ndarray  # (n,) numbers; equal ones are not independent
    answered: np.ndarray  # (P, n) bool: whether a point has the item at all
    outcomes: dict[str, np.ndarray]  # (P, n) floats, nan where unknown
    slices: dict[str, np.ndarray]  # column → (n,) text or None
    draw: Draw
    at: np.ndarray  # (n,) places in `draw`
    drawn: dict[bytes, np.ndarray] = field(default_factory=dict)  # what `counts` has given

    def subset(self, keep: np.ndarray, name: str) -> TestSet:
        """Some of the items, (n,) bool, as a set of this name; resamples are those of the whole."""
        return TestSet(
            self.task, name, self.points, self.items[keep], self.clusters[keep],
            self.answered[:, keep], {k: v[:, keep] for k, v in self.outcomes.items()},
            {k: v[keep] for k, v in self.slices.items()}, self.draw, self.at[keep],
        )  # fmt: skip

    def counts(self, point: int) -> np.ndarray:
        """(R, n) multiplicities of the items of a point, 0 of those that it does not have."""
        key = self.draw.key(self.points[point])
        if key not in self.drawn:
            whole = self.draw.counts(self.points[point])
            self.drawn[key] = whole if len(self.at) == whole.shape[1] else whole[:, self.at]
        return self.drawn[key]

    def units(self, known: np.ndarray) -> int:
        """Independent items or clusters among the known ones, (n,) bool."""
        return int(known.sum()) if self.alone else len(np.unique(self.clusters[known]))

    @cached_property
    def alone(self) -> bool:
        """Whether every item is a unit of its own."""
        return len(np.unique(self.clusters)) == len(self.clusters)

    def groups(self) -> list[np.ndarray]:
        """Places of points, those together whose resamples are one draw."""
        keys = [self.draw.key(name) for name in self.points]
        return [np.flatnonzero([key == one for key in keys]) for one in dict.fromkeys(keys)]


class Draw:
    """Resamples of the items of a task: one draw for all points that have the same items.

    clusters: (n,) numbers; answered: point → (n,) bool.
    """

    def __init__(
        self,
        clusters: np.ndarray,
        answered: Mapping[str, np.ndarray],
        resamples: int,
        seed: int | Sequence[int],
    ) -> None:
        self.clusters, self.resamples, self.seed = clusters, resamples, seed
        self.answered = answered
        self.keys = {name: has.tobytes() for name, has in answered.items()}
        self.drawn: dict[bytes, np.ndarray] = {}

    def key(self, point: str) -> bytes:
        """Equal of two points that have the same items."""
        return self.keys[point]

    def counts(self, point: str) -> np.ndarray:
        """(R, n) multiplicities, 0 of items that it lacks; R is 0 for less than two units."""
        key = self.keys[point]
        if key not in self.drawn:
            self.drawn[key] = self._draw(self.answered[point])
        return self.drawn[key]

    def _draw(self, has: np.ndarray) -> np.ndarray:
        own = self.clusters[has]
        alone = len(np.unique(own)) == len(own)
        drawn = resample_counts(len(own), self.resamples, self.seed, None if alone else own)
        counts = np.zeros((len(drawn), len(has)), dtype=np.float32)
        counts[:, has] = drawn
        counts.flags.writeable = False  # shared by points
        return counts


def test_sets(items: pd.DataFrame, analysis: Analysis, eval_config: Any) -> list[TestSet]:
    """The test sets of one task, from its rows of the items table, in order of appearance."""
    names = list(dict.fromkeys(items["set"]))
    if analysis.pooled:
        whole = _test_set(items, analysis, analysis.pooled, eval_config, eval_config.seed)
        of_item = items.drop_duplicates("item").set_index("item")["set"].reindex(whole.items)
        return [*(whole.subset((of_item == name).to_numpy(), name) for name in names), whole]
    # Draws of their own, so that means over sets do not vary together.
    seeds = {name: [eval_config.seed, *name.encode()] for name in names}
    if len(names) == 1:
        seeds = dict.fromkeys(names, eval_config.seed)
    return [
        _test_set(items[items["set"] == name], analysis, name, eval_config, seed)
        for name, seed in seeds.items()
    ]


def _test_set(
    part: pd.DataFrame, analysis: Analysis, name: str, eval_config: Any, seed: int | Sequence[int]
) -> TestSet:
    row, points = pd.factorize(part["point"])
    column, items = pd.factorize(part["item"])
    shape = (len(points), len(items))
    answered = np.zeros(shape, dtype=bool)
    answered[row, column] = True
    first = np.empty(len(items), dtype=int)
    first[column[::-1]] = np.arange(len(part))[::-1]  # of each item the first row that has it
    outcomes = {}
    for key in part.columns.drop([*KEYS, *analysis.slices]):
        outcomes[key] = np.full(shape, np.nan)
        outcomes[key][row, column] = part[key].to_numpy(dtype=float, na_value=np.nan)
    slices = {
        key: np.array([None if pd.isna(v) else str(v) for v in part[key].iloc[first]], object)
        for key in analysis.slices
    }
    # By label, so that a draw does not depend on the order of rows: categories are in that order.
    clusters = np.unique(part["cluster"].iloc[first].to_numpy(str), return_inverse=True)[1]
    points = [str(point) for point in points]
    draw = Draw(clusters, dict(zip(points, answered, strict=True)), eval_config.resamples, seed)
    return TestSet(
        str(part["task"].iloc[0]), name, points, np.asarray(items, dtype=object), clusters,
        answered, outcomes, slices, draw, np.arange(len(items)),
    )  # fmt: skip
