"""How a task is analysed: its outcomes and metrics, declared once. No numpy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that the items of a test set give.

    fn: (columns, weights) → the value. columns: outcome column → array (n,), the items of one point
    and set that have it; weights None: a float, or None where the metric is undefined; weights
    (R, n) row multiplicities: an array (R,), nan where undefined.
    """

    name: str
    label: str  # on axes and in tables, with a capital
    fn: Callable[..., Any]
    needs: tuple[str, ...]  # outcome columns that fn reads
    # "rate": a mean of outcomes in [0, 1]; "mean": of any; "statistic": no mean of items, resampled
    # as a whole; "none": no interval. See `lib.analysis.estimates` for what each gets.
    kind: str = "rate"
    unit: str = "share"  # share (shown as %), points (of a rating), nats, seconds, …
    higher_is_better: bool | None = True
    span: float | None = 1.0  # the most by which two values of one item can differ; None: no bound


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """How a task's predictions become items and numbers.

    outcomes: (rows of the test set, graded predictions of one point, eval_config) → columns `set`,
    `item`, `cluster`, and one an outcome or a slice, each a list of one value an item.
    tables: what only this task has: name of a further table → column → what it means, the unit in
    parentheses at the end. A table with a column `point` has one row a point, and its columns are
    drawn and claimed like metrics (`theory.delta`); `<column>_low`, `<column>_high`: the interval.
    extras: (StudyTables) → name of a further table → its frame.
    point_extras: (rows, predictions, eval_config) → what metrics.json has beside the estimates.
    figures: specs drawn where a study names none. findings: name of the Jinja2 template.
    """

    outcomes: Callable[..., dict[str, Sequence[Any]]]
    metrics: tuple[Metric, ...]
    headline: str  # metric that tables and findings lead with
    slices: tuple[str, ...] = ()  # columns of items whose values make slices
    data_axes: tuple[str, ...] = ()  # keys of axes that choose the test set, not the setting
    point_extras: Callable[..., dict[str, Any]] | None = None
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    extras: Callable[..., dict[str, Any]] | None = None
    figures: tuple[dict[str, Any], ...] = ()
    findings: str = "findings.md.jinja"
