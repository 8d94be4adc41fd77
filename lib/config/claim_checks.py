"""Checks of a study's claims against its tasks and its grid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lib.config.claims import Claim
from lib.config.errors import BadInput, listed, nearest
from lib.config.metric_names import metric_of, sets_of
from lib.config.metrics import TRAINING
from lib.config.points import SEED
from lib.config.settings import (
    directed,
    has_value,
    in_order,
    lines,
    options,
    other_side,
    selected,
    setting_pairs,
)
from lib.config.study import Study
from lib.config.tasks import Range

# Metrics of which a ratio has a meaning: amounts of training, not shares.
RATIOS = tuple(one.name for one in TRAINING if one.unit != "share")


def check_claims(study: Study) -> None:
    """Raise BadInput for the first claim that names what there is not, or that nothing can decide.

    One line with the file, the place of the claim, what was found and what was expected.
    """
    for number, claim in study.claims.items():
        try:
            fault = next(_faults(study, claim), None)
        except ValueError as error:
            fault = str(error)
        if fault:
            raise BadInput(f"{study.path}: claims: {number}: {fault}")


def _faults(study: Study, claim: Claim) -> Iterator[str]:
    try:
        task, metric = metric_of(study, claim.metric)
    except ValueError as error:
        yield f"metric: {error}"
        return
    yield from _sets(claim, task, sets_of(study, task))
    for key in ("of", "against"):
        yield from _axes(study, getattr(claim, key) or {}, key)
    yield from _bounds(claim, metric.bounds)
    points = [p for _, members in selected(study.settings, claim.of).values() for p in members]
    calibrates = any(point.config.train.importance.alpha for point in points)
    if metric.name == "calibration_share" and not calibrates:
        yield ("of: no point of it calibrates (train.importance.alpha is 0), so nothing could "
               "decide this claim")  # fmt: skip
    if claim.kind == "ratio_below" and (task != "training" or metric.name not in RATIOS):
        known = [f"training.{one}" for one in RATIOS]
        yield (f"ratio_below: is for {listed(known)}, found {claim.metric}; for a metric of test "
               f"items: gains, no_worse_by or within")  # fmt: skip
    if claim.kind in ("items", "variance_over") and task not in study.config.tasks:
        yield f"{claim.kind}: is for metrics of test items, found {claim.metric}"
    if claim.kind in ("gains", "no_worse_by", "within", "ratio_below"):
        setting_pairs(study, claim)  # raises where there are none
    if claim.kind == "monotonic":
        yield from _monotonic(study, claim)
    if claim.kind == "variance_over":
        yield from _variance(study, claim)


def _sets(claim: Claim, task: str, known: Sequence[str]) -> Iterator[str]:
    if claim.set is not None and claim.set not in known:
        expected = f"expected one of {listed(known)}" if known else f"expected none: {task} has one"
        yield f"set: found {claim.set!r}, {expected}{nearest(claim.set, known)}"


def _axes(study: Study, wanted: Mapping[str, Any], key: str) -> Iterator[str]:
    """Axes and values that the grid does not have, and combinations that no setting has."""
    settings = study.settings
    known = dict.fromkeys(axis for place, _ in settings.values() for axis in place)
    for axis, value in wanted.items():
        if axis not in known and study.axes.get(axis) == SEED:
            yield f"{key}.{axis}: a claim is about settings, with all their seeds; leave it out"
        elif axis not in known and axis in study.axes:
            yield f"{key}.{axis}: chooses the test set, not the setting; give set: instead"
        elif axis not in known:
            yield f"{key}: unknown axis {axis!r}, expected one of {listed(known)}" + nearest(
                axis, known
            )
        values = [place[axis] for place, _ in settings.values() if axis in place]
        for one in options(value):
            if not any(has_value(there, one) for there in values):
                there = list(dict.fromkeys(map(str, values)))
                yield f"{key}.{axis}: found {one!r}, expected one of {listed(there)}" + nearest(
                    one, there
                )
    if wanted and not selected(settings, wanted):
        yield f"{key}: no point of the grid has {_written(wanted)}"


def _bounds(claim: Claim, bounds: Range) -> Iterator[str]:
    """Numbers that a metric cannot reach: nothing could decide the claim one way."""
    least, most = bounds
    given = {"above": [claim.above], "below": [claim.below], "spans": claim.spans or []}
    for value in given.get(claim.kind, ()):
        if (least is not None and value < least) or (most is not None and value > most):
            yield (f"{claim.kind}: found {value:g}, expected a number from {_end(least)} to "
                   f"{_end(most)}, as {claim.metric} is")  # fmt: skip
    width = None if least is None or most is None else most - least
    margin = claim.gains or claim.no_worse_by or claim.within
    if margin and width is not None and margin >= width:
        yield (f"{claim.kind}: found {margin:g}, expected less than {width:g}: no two values of "
               f"{claim.metric} differ by more")  # fmt: skip


def _monotonic(study: Study, claim: Claim) -> Iterator[str]:
    given = dict(claim.monotonic or {})
    axis = given.pop("over", None)
    if axis is None:
        yield "monotonic: over: missing: the axis along which the metric goes one way"
    yield from _swept(study, axis, "monotonic.over")
    known = [*study.grid.axis_values("variant"), "every"]
    if not given:
        yield f"monotonic: found no direction, expected one of {listed(known)}, each up or down"
    for variant, direction in given.items():
        if variant not in known:
            yield (f"monotonic: unknown variant {variant!r}, expected one of {listed(known)}"
                   f"{nearest(variant, known)}")  # fmt: skip
        if direction not in ("up", "down"):
            yield (f"monotonic.{variant}: found {direction!r}, expected up or down"
                   f"{nearest(direction, ('up', 'down'))}")  # fmt: skip
    having = [line for line, _ in directed(study, claim)]
    if any(in_order(level)[0] for line in having for level in line):
        yield f"monotonic.over: found {axis!r}, expected an axis of numbers"
    if not any(len(line) > 1 for line in having):
        yield f"monotonic: no line has two values of {axis}, so nothing could decide this claim"


def _variance(study: Study, claim: Claim) -> Iterator[str]:
    axis = claim.variance_over
    yield from _swept(study, axis, "variance_over")
    ours, theirs = (lines(study, w, axis) for w in (claim.of, other_side(study, claim)))
    if len(theirs) != 1:
        yield f"against: found {len(theirs)} lines over {axis}, expected one; name more axes"
    shared = [set(line) & set(theirs[0]) for line in ours]
    if not ours or any(len(one) < 2 for one in shared):
        yield (f"variance_over: `of` and `against` share fewer than two values of {axis}, so "
               f"nothing could decide this claim")  # fmt: skip


def _swept(study: Study, axis: str | None, key: str) -> Iterator[str]:
    known = dict.fromkeys(a for place, _ in study.settings.values() for a in place)
    if axis not in known:
        yield f"{key}: unknown axis {axis!r}, expected one of {listed(known)}{nearest(axis, known)}"


def _written(wanted: Mapping[str, Any]) -> str:
    return re.sub(r"'(\w+)':", r"\1:", str(dict(wanted)))


def _end(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"
