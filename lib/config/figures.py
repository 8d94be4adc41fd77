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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lib.config import tasks
from lib.config.checks import check_axes
from lib.config.errors import BadInput, listed, nearest
from lib.config.metric_names import metric_names
from lib.config.points import matches
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


def figures_of(study: Study) -> list[Figure]:
    """The figures of a study, those of its tasks and its own. Raises BadInput for a wrong one."""
    given = study.raw.get("figures")
    where = f"{study.path}: figures"
    adds = isinstance(given, Mapping)
    if adds and (unknown := [key for key in given if key != "add"]):
        raise BadInput(
            f"{where}: unknown key {unknown[0]!r}, expected add, or a list of figures"
            f"{nearest(unknown[0], ['add'])}"
        )
    own = given["add"] if adds else given
    if own is not None and not isinstance(own, list):
        raise BadInput(
            f"{where}: found {own!r}, expected a list such as [{{lines: accuracy, x: seed}}]"
        )
    found = []
    if own is None or adds:
        for analysis in analyses(study).values():
            found += _defaults(study, analysis)
    for number, spec in enumerate(own or (), 1):
        found += _figures(study, spec, f"{where}: figure {number}")
    return _named(found)


def drawable_metrics(study: Study) -> list[str]:
    """Every name of a metric that figures of this study can use, those of its first task bare."""
    columns = [f"{table}.{column}" for analysis in analyses(study).values()
               for table, columns in analysis.tables.items() for column in columns]  # fmt: skip
    return list(dict.fromkeys([*metric_names(study), *columns]))


def axes_of(study: Study) -> list[str]:
    """The names that axes of a figure can have, but for columns of a further table."""
    slices = [name for analysis in analyses(study).values() for name in analysis.slices]
    own = ["variant", *study.axes] if study.variants else list(study.axes)
    return [*own, *slices, *PLACES]


def _figures(study: Study, spec: Any, where: str) -> list[Figure]:
    """The figures of one spec: of several metrics one each, unless an axis of it is `metric`.

    Raises BadInput that names what is wrong and what was expected.
    """
    if not isinstance(spec, Mapping) or not all(isinstance(key, str) for key in spec):
        raise BadInput(
            f"{where}: found {spec!r}, expected keys such as {{lines: accuracy, x: seed}}"
        )
    kinds = [key for key in spec if key in KINDS]
    if len(kinds) != 1:
        first = next(iter(spec), "")
        raise BadInput(
            f"{where}: found {listed(kinds) or first!r}, expected one of "
            f"{listed(KINDS)}{'' if kinds else nearest(first, KINDS)}"
        )
    (kind,) = kinds
    _, needed, optional = KINDS[kind]
    known = [*needed, *optional, *EVERYWHERE]
    for key in spec:
        if key not in (kind, *known):
            raise BadInput(
                f"{where}: {kind}: unknown key {key!r}, expected one of "
                f"{listed(known)}{nearest(key, known)}"
            )
    for key in needed:
        if key not in spec:
            raise BadInput(f"{where}: {kind}: no {key}, expected an axis as in {key}: seed")
    metrics = _metrics(study, kind, spec[kind], f"{where}: {kind}")
    axes = {key: _axis(study, spec[key], metrics, f"{where}: {key}") for key in AXES if key in spec}
    rest = {key: value for key, value in spec.items() if key not in (kind, *AXES)}
    for key in ("of", "against", "shared"):
        if key in rest:
            rest[key] = _selection(study, key, rest[key], f"{where}: {key}")
    _check_rest(study, rest, where)
    whole = Figure(kind=kind, metrics=metrics, **axes, **rest)
    if kind == "points" or len(metrics) == 1 or "metric" in axes.values():
        return [whole]
    stem = f"{whole.name}_" if whole.name else ""
    return [
        replace(whole, metrics=(metric,), name=stem and stem + metric.rpartition(".")[2])
        for metric in metrics
    ]


def _metrics(study: Study, kind: str, given: Any, where: str) -> tuple[str, ...]:
    names = tuple(given) if isinstance(given, list) else (given,)
    if kind == "points" and len(names) != 2:
        raise BadInput(f"{where}: found {given!r}, expected two metrics, that of x and that of y")
    tables = [table for analysis in analyses(study).values() for table in analysis.tables]
    known: Iterable[str] = drawable_metrics(study)
    if kind == "curves":
        known = [*LOG, *(name for name in known if name.partition(".")[0] in tables)]
    elif kind == "reliability":
        known = tables
    for name in names:
        if name not in known:
            raise BadInput(
                f"{where}: found {name!r}, expected one of {listed(known, 20)}"
                f"{nearest(name, known)}"
            )
    return names


def _axis(study: Study, given: Any, metrics: tuple[str, ...], where: str) -> str:
    """The study's name of an axis that is given by name, key or column."""
    known = axes_of(study)
    split = [name.partition(".") for name in drawable_metrics(study)]
    columns = [column for table, dot, column in split if table == metrics[0].partition(".")[0]]
    by_key = {key: axis for axis, key in study.axes.items()}
    if given in known or given in columns:
        return str(given)
    if given in by_key:
        return by_key[given]
    known = [*known, *columns]
    raise BadInput(
        f"{where}: found {given!r}, expected an axis: {listed(known, 20)}{nearest(given, known)}"
    )


def _selection(study: Study, key: str, given: Any, where: str) -> Any:
    """Axis values that some point has, a list for any of its values; or `baseline`."""
    if given == "baseline" and key != "of":
        return given
    if not isinstance(given, Mapping):
        wanted = "axis values such as {seed: 1}" + " or baseline" * (key != "of")
        raise BadInput(f"{where}: found {given!r}, expected {wanted}")
    check_axes(study, given, where.removeprefix(f"{study.path}: "))
    for axis, value in given.items():
        known = list(dict.fromkeys(p.values[axis] for p in study.points() if axis in p.values))
        for one in value if isinstance(value, list) else [value]:
            if one not in known:
                raise BadInput(f"{where}: {axis}: no point has {one!r}, expected one of "
                               f"{listed(known)}{nearest(one, known)}")  # fmt: skip
    return dict(given)


def _check_rest(study: Study, rest: Mapping[str, Any], where: str) -> None:
    """The keys that are neither metrics nor axes nor selections."""
    words = {
        "set": str,
        "title": str,
        "name": str,
        "each": str,
        "curve": str,
        "identity": bool,
        "level": (int, float),
    }
    for key, kinds in words.items():
        if key in rest and not isinstance(rest[key], kinds):
            wanted = {bool: "true or false", str: "text"}.get(kinds, "a number")
            raise BadInput(f"{where}: {key}: found {rest[key]!r}, expected {wanted}")
    if rest.get("each", "point") != "point":
        raise BadInput(f"{where}: each: found {rest['each']!r}, expected point")
    if not str(rest.get("name", "a")).replace("_", "").replace("-", "").isalnum():
        raise BadInput(f"{where}: name: found {rest['name']!r}, expected letters, digits, '_', '-'")
    tables = [table for analysis in analyses(study).values() for table in analysis.tables]
    if "curve" in rest and rest["curve"] not in tables:
        raise BadInput(
            f"{where}: curve: found {rest['curve']!r}, expected one of "
            f"{listed(tables)}{nearest(rest['curve'], tables)}"
        )


def _defaults(study: Study, analysis: Any) -> list[Figure]:
    """The figures of a task, but those of a metric or over an axis that the study does not have."""
    axes, measured = [*axes_of(study), *study.axes.values()], drawable_metrics(study)
    found = []
    for spec in analysis.figures:
        kind = next(key for key in spec if key in KINDS)
        names = spec[kind] if isinstance(spec[kind], list) else [spec[kind]]
        if kind not in ("curves", "reliability") and not set(names) <= set(measured):
            continue
        if not any(matches(point.values, spec.get("of", {})) for point in study.points()):
            continue
        columns = analysis.tables.get(names[0].partition(".")[0], ())
        absent = [k for k in AXES if k in spec and spec[k] not in axes and spec[k] not in columns]
        if not set(absent) & {"x", "y"}:
            kept = {key: value for key, value in spec.items() if key not in absent}
            made = _figures(study, kept, "figures of the task")
            found += [replace(one, default=True) for one in made]
    return found


def _named(figures: list[Figure]) -> list[Figure]:
    """Each with a name of its own: of lines and bars the metric, of others the kind before it."""
    taken: dict[str, int] = {}
    named = []
    for figure in figures:
        stem = "_".join(name.replace(".", "_") for name in figure.metrics)
        stem = figure.name or (stem if figure.kind == "lines" else f"{figure.kind}_{stem}")
        count = taken[stem] = taken.get(stem, 0) + 1
        named.append(replace(figure, name=stem if count == 1 else f"{stem}_{count}"))
    return named
