"""The specs of a study's figures, read and checked when the study is loaded; see `figures`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lib.config.checks import check_axes
from lib.config.errors import BadInput, listed, nearest
from lib.config.figures import (
    AXES,
    EVERYWHERE,
    KINDS,
    LOG,
    Figure,
    analyses,
    axes_of,
    drawable_metrics,
    tables_of,
)
from lib.config.points import matches
from lib.config.study import Study


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
    tables = tables_of(study)
    known: Iterable[str] = drawable_metrics(study)
    if kind == "curves":
        known = [*LOG, *(name for name in known if name.partition(".")[0] in tables)]
    elif kind == "reliability":
        known = tables
    for name in names:
        if name not in known:
            raise unknown(where, name, known)
    return names


def _axis(study: Study, given: Any, metrics: tuple[str, ...], where: str) -> str:
    """The study's name of an axis that is given by name, key or column."""
    known = [*axes_of(study), *tables_of(study).get(metrics[0].partition(".")[0], ())]
    by_key = {key: axis for axis, key in study.axes.items()}
    if given in known:
        return str(given)
    if given in by_key:
        return by_key[given]
    raise unknown(where, given, known, "an axis:")


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
    if "curve" in rest and rest["curve"] not in tables_of(study):
        raise unknown(f"{where}: curve", rest["curve"], tables_of(study))


def unknown(where: str, given: Any, known: Iterable[str], kind: str = "one of") -> BadInput:
    """The error of a name that is none of the known ones."""
    return BadInput(
        f"{where}: found {given!r}, expected {kind} {listed(known, 20)}{nearest(given, known)}"
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
