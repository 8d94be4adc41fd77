"""The section `figures` of a study: what is drawn of its tables, checked when the study is loaded.

    figures:                          # in place of the figures that the study's task brings
      - {lines: acceptance_rate, x: gamma, panel: variant, color: ratio}
      - {heatmap: [accuracy, f1], x: gamma, y: ratio, panel: variant}
      - {points: [recall, precision], color: variant, label: gamma}
      - {forest: accuracy, against: baseline}
    figures: {add: [{bars: accuracy, x: variant}]}        # beside those of the task

The first key is the kind, its value a metric or several. A metric is one of the study's task, of
another task as in `mt_bench.score`, of training as in `training.seconds`, or a column of a further
table of the task as in `theory.delta`; of `curves` a column of train.jsonl, or one of a further
table. An axis is one of the study, by its name or its key (`gamma`, `train.gamma`), or `point`,
`setting`, `set`, a slice of the task such as `year`, or a column of the further table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lib.config import tasks
from lib.config.metric_names import metric_names
from lib.config.study import Study
from lib.losses import OBJECTIVES

# Kind → what it draws, and the keys that say how: those that it needs, and those that it may have.
KINDS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "lines": (
        "a metric over an axis, one line a colour",
        ("x",),
        ("panel", "color", "shared", "level"),
    ),
    "points": (
        "one metric over another, one mark a setting",
        (),
        ("panel", "color", "marker", "label", "identity", "curve"),
    ),
    "heatmap": ("a metric by two axes, as coloured cells", ("x", "y"), ("panel", "shared")),
    "forest": ("differences of a metric, with intervals", (), ("against",)),
    "bars": ("a metric by group, one bar a colour", ("x",), ("panel", "color", "level")),
    "curves": (
        "a column of the training log over steps, one line a point",
        (),
        ("x", "panel", "color", "label"),
    ),
    "reliability": ("observed shares over predicted probabilities, of a further table", (), ()),
}
EVERYWHERE = ("of", "set", "title", "name", "each")
AXES = ("x", "y", "panel", "color", "marker", "label")
PLACES = ("point", "setting", "set", "metric")  # axes that every study has
# Column of train.jsonl that can be drawn over steps → its label and unit; `lib.runs.train_log` says
# what they are.
LOG = {
    "loss": ("Training loss", "nats"),
    "margin_loss": ("Loss of the margin", "nats"),
    "penalty": ("Penalty of importance-weighted adapters", "nats"),
    "orthogonality": ("AdaLoRA's orthogonality term", "nats"),
    "grad_norm": ("Norm of the gradient", ""),
    "learning_rate": ("Learning rate", ""),
    "train_accuracy": ("Accuracy on training rows", "share"),
    "validation_accuracy": ("Accuracy on validation rows", "share"),
    "validation_loss": ("Loss on validation rows", "nats"),
    **{
        name: (f"Part of the loss: {text}", "nats")
        for objective in OBJECTIVES.values()
        for name, text in objective.terms.items()
    },
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure, its axes by the names that the study has for them; `kind` is one of KINDS."""

    kind: str
    metrics: tuple[str, ...]
    x: str | None = None
    y: str | None = None
    panel: str | None = None
    color: str | None = None
    marker: str | None = None
    label: str | None = None  # axis whose value is written beside a mark
    against: str | Mapping[str, Any] = "baseline"
    shared: str | Mapping[str, Any] | None = None  # settings that are drawn in every panel
    level: float | None = None  # a horizontal line
    identity: bool = False  # the line y = x
    curve: str | None = None  # further table that is drawn as a line behind the points
    of: Mapping[str, Any] = field(default_factory=dict)  # axis values of what is drawn
    set: str | None = None
    each: str | None = None  # "point": a figure of each, in its directory
    title: str | None = None
    name: str = ""  # what its file is called after `comparison_`
    default: bool = False  # of the task, not asked for: not drawn where it would be empty


def analyses(study: Study) -> dict[str, Any]:
    """Task → its `lib.config.metrics.Analysis`, of the study's tasks."""
    return {task: tasks.get(task).analysis for task in study.config.tasks}


def drawable_metrics(study: Study) -> list[str]:
    """Every name of a metric that figures of this study can use, those of its first task bare."""
    columns = [f"{t}.{column}" for t, found in tables_of(study).items() for column in found]
    return list(dict.fromkeys([*metric_names(study), *columns]))


def tables_of(study: Study) -> dict[str, Mapping[str, str]]:
    """Further table of the study's tasks → its columns."""
    return {t: cs for analysis in analyses(study).values() for t, cs in analysis.tables.items()}


def axes_of(study: Study) -> list[str]:
    """The names that axes of a figure can have, but for columns of a further table."""
    slices = [name for analysis in analyses(study).values() for name in analysis.slices]
    own = ["variant", *study.axes] if study.variants else list(study.axes)
    return [*own, *slices, *PLACES]
