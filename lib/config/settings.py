"""The settings of a study, and those that a claim or a figure selects and compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.config import tasks
from lib.config.claims import Claim
from lib.config.errors import listed
from lib.config.grid import kind_and_value, point_name
from lib.config.points import SEED, STUDY, matches
from lib.config.study import Coordinates, Settings, Study


def selected(settings: Settings, wanted: Mapping[str, Any]) -> Settings:
    """The settings that have these axis values; a list stands for any of its values.

    Those of another study only where it is wanted.
    """
    return {
        label: (place, points)
        for label, (place, points) in settings.items()
        if all(axis in place and has_value(place[axis], value) for axis, value in wanted.items())
        and (STUDY in wanted or STUDY not in place)
    }


def setting_pairs(study: Study, claim: Claim) -> list[tuple[str, str]]:
    """(setting of `of`, setting that it is compared with), by label: see the module's docstring.

    Raises ValueError where that is not one.
    """
    settings = study.settings
    ours, theirs = selected(settings, claim.of), selected(settings, other_side(study, claim))
    named = other_side(study, claim)
    found = []
    for label, (place, _) in ours.items():
        fits = list(theirs)
        if len(theirs) > 1 and not claim.select:
            fits = [other for other, (there, _) in theirs.items()
                    if _shares(place, there, {"variant", *named})]  # fmt: skip
            if len(fits) != 1:
                raise ValueError(f"against: {len(fits)} settings fit {label}, expected one: found "
                                 f"{listed(fits or theirs, 4)}; name more axes, or add "
                                 f"select: validation_accuracy")  # fmt: skip
        found += [(label, other) for other in fits if other != label]
    if not found:
        raise ValueError(f"against: {listed(theirs, 4)} is what `of` selects, expected another "
                         f"setting")  # fmt: skip
    return found


def lines(
    study: Study, wanted: Mapping[str, Any], axis: str, start: bool = False
) -> list[dict[Any, str]]:
    """Lines over an axis of the settings that are wanted: value of the axis → label, ascending.

    start: put the baseline into each line whose other axes it shares and that lacks its value.
    """
    settings = study.settings
    found: dict[str, tuple[Coordinates, dict[Any, str]]] = {}
    for label, (place, _) in selected(settings, wanted).items():
        if axis in place:
            rest = {a: v for a, v in place.items() if a != axis}
            found.setdefault(point_name(rest), (rest, {}))[1][place[axis]] = label
    base = selected(settings, baseline(study)) if start else {}
    for label, (place, _) in base.items():
        for rest, levels in found.values():
            if axis in place and _shares(rest, place, {"variant"}) and label not in levels.values():
                levels.setdefault(place[axis], label)
    return [dict(sorted(levels.items(), key=lambda one: in_order(one[0])))
            for _, levels in found.values()]  # fmt: skip


def baseline(study: Study) -> dict[str, Any]:
    """Axis values of the setting that `evaluate.baseline` names.

    A seed plays no part, but where several settings fit and just one has a point of that seed.
    """
    leave_out = (SEED, *tasks.get(study.config.tasks[0]).data_axes)
    given = study.config.evaluate.baseline
    wanted = {axis: v for axis, v in given.items() if study.axes.get(axis) not in leave_out}
    fits = selected(study.settings, wanted).values()
    exact = [place for place, points in fits if any(matches(p.values, given) for p in points)]
    return exact[0] if len(fits) > 1 and len(exact) == 1 else wanted


def directed(study: Study, claim: Claim) -> list[tuple[dict[Any, str], int]]:
    """Lines of a claim `monotonic`, each with 1 for up and −1 for down."""
    given = dict(claim.monotonic or {})
    axis, found = given.pop("over"), []
    for variant, direction in given.items():
        wanted = dict(claim.of)
        if variant != "every":
            if not has_value(variant, wanted.get("variant", variant)):
                continue
            wanted["variant"] = variant
        sign = 1 if direction == "up" else -1
        found += [(line, sign) for line in lines(study, wanted, axis, start=True)]
    return found


def other_side(study: Study, claim: Claim) -> dict[str, Any]:
    """Axis values of what a claim compares with: those of the baseline, where it names none."""
    return baseline(study) if claim.against is None else claim.against


def _shares(one: Coordinates, other: Coordinates, but: set[str]) -> bool:
    """Whether two settings agree on each axis that both have, `but` left out."""
    return all(
        has_value(other[axis], v) for axis, v in one.items() if axis in other and axis not in but
    )


def has_value(value: Any, wanted: Any) -> bool:
    """Whether an axis value is the wanted one, or one of those wanted; 2 is 2.0, and not "2"."""
    return kind_and_value(value) in [kind_and_value(one) for one in options(wanted)]


def options(wanted: Any) -> Sequence[Any]:
    """The values that a claim wants of an axis: one, or those of a list."""
    return wanted if isinstance(wanted, list) else [wanted]


def in_order(value: Any) -> tuple[bool, Any]:
    """Numbers in their order, and before all else."""
    number = kind_and_value(value)[0] == "number"
    return (False, value) if number else (True, str(value))
