"""How a task is analysed: its outcomes and metrics, declared once. No numpy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that the items of a test set give.

    Most are the mean of one outcome: of all items that have it or, where `among` names another
    outcome, of those where that one is 1 (precision: the mean of `label` among `accepted`). What is
    no mean has a function.

    fn: (columns, weights) → the value. columns: outcome → array (n,), the items of one point that
    have all that the metric needs; weights None: a float, or None where the metric is undefined;
    weights (R, n) row multiplicities: an array (R,), nan where undefined.
    interval: (value, resampled (R,), columns, level) → (low, high) or None, where resamples of the
    metric are biased and their percentiles no interval.
    """

    name: str
    label: str  # on axes and in tables, with a capital
    needs: tuple[str, ...]  # outcomes that it reads; of a mean the one
    # "rate": a mean of outcomes in [0, 1]; "mean": of any; "statistic": what fn gives; "exact": a
    # mean that no other items would change. `lib.analysis.estimates` says what interval each gets.
    kind: str = "rate"
    among: str | None = None
    fn: Callable[..., Any] | None = None
    interval: Callable[..., Any] | None = None
    unit: str = "share"  # share (shown as %), points (of a rating), nats, seconds, …
    higher_is_better: bool | None = True
    bounds: tuple[float | None, float | None] = (0.0, 1.0)  # of its values; None: there is none
    step: float | None = 1.0  # values of an item are whole multiples of it; None: of nothing
    secondary: bool = False  # in no slice, and in no contrast but those that claims ask for

    @property
    def span(self) -> float | None:
        """The most by which two values of one item can differ."""
        low, high = self.bounds
        return None if low is None or high is None else high - low


class Pair(NamedTuple):
    """Two settings to be compared: labels, and the family of tests that Holm adjusts together."""

    family: str
    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """How a task's predictions become items and numbers.

    metrics: (eval_config) → the metrics, the headline first.
    outcomes: (rows of the test set, graded predictions of one point, eval_config) → columns `set`,
    `item`, `cluster`, and one an outcome (floats; nan or None where unknown) or a slice (texts;
    None where the item is in none), each one value an item.
    pairs: (study, points table) → comparisons beside those with the baseline, which every
    setting is compared with.
    tables: what only this task has: name of a further table → column → what it means, the unit in
    parentheses at the end; `<column>_low`, `<column>_high`: the interval of a column.
    by_point: those of them with one row a point, or a point and test set (`point`, `set`), whose
    columns claims name like metrics: `theory.delta`.
    extras: (`lib.analysis.engine.Answers`) → name of a further table → its rows, or a frame.
    point_extras: (rows, predictions, eval_config) → what metrics.json has beside the estimates.
    files: (Answers) → further files of a comparison, see `lib.config.tasks.Comparison`.
    axes: key of a study that is an axis → its label on figures, the unit in parentheses.
    figures: specs drawn where a study names none, as `lib.config.figure_specs` reads them; what is
    drawn over an axis that a study lacks is left out. findings: name of the Jinja2 template.
    """

    outcomes: Callable[..., dict[str, Sequence[Any]]]
    metrics: Callable[[Any], tuple[Metric, ...]]
    slices: tuple[str, ...] = ()  # columns of items whose values make slices
    mean_of: tuple[str, ...] = ()  # sets that the set `mean` averages; none: there is no such set
    # Name of the set that pools all others, which are then resampled together: clusters that they
    # share are drawn once. None: there is no such set, and each has a draw of its own.
    pooled: str | None = None
    pairs: Callable[..., list[Pair]] | None = None
    point_extras: Callable[..., dict[str, Any]] | None = None
    files: Callable[..., dict[str, Any]] | None = None
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    by_point: tuple[str, ...] = ()
    extras: Callable[..., dict[str, Any]] | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[dict[str, Any], ...] = ()
    findings: str = "findings.md.jinja"


# What training itself used or reached: metrics of the task `training`, one value a point.
TRAINING = tuple(
    Metric(name=name, label=label, needs=(), kind="exact", unit=unit, higher_is_better=better,
           bounds=(0.0, 1.0 if unit == "share" else None), step=None)
    for name, label, unit, better in (
        ("trained", "Trained to the end", "share", True),
        ("complete", "Trained, every prediction valid and there", "share", True),
        ("steps", "Optimizer steps", "steps", None),
        ("seconds", "Training time", "seconds", False),
        ("gpu_hours", "GPU-hours of training", "hours", False),
        ("peak_memory_gb", "Peak memory", "GB", False),
        ("trainable_parameters", "Trainable parameters", "parameters", False),
        ("calibration_share", "Share of training time for calibration", "share", False),
        ("validation_accuracy", "Accuracy on validation rows", "share", True),
    )
)  # fmt: skip


def of_columns(columns: Mapping[str, str]) -> tuple[Metric, ...]:
    """The columns of a further table as metrics, one value a point. columns: name → meaning."""
    metrics = []
    for name, text in columns.items():
        stem, _, end = name.rpartition("_")
        if name not in ("point", "set") and not (end in ("low", "high") and stem in columns):
            label, _, unit = text.removesuffix(")").partition(" (")
            metrics.append(Metric(name=name, label=label, needs=(), kind="exact", unit=unit,
                                  step=None, bounds=(None, None),
                                  higher_is_better=None))  # fmt: skip
    return tuple(metrics)
