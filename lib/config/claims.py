"""Claims: the sentences that a study sets out to decide, written in its file before anything runs.

    claims:
      - say: τ = 0.5 brings β = 0.01 up to the best-tuned DPO    what the reader sees
        metric: preference.accuracy        of the first task without its name; training.seconds
        set: new_templates                 test set, where a task has several; else the main one
        of: {variant: td_dpo, beta: 0.01, tau: 0.5}     settings; a list: any of its values
        against: {variant: dpo}            settings to compare with; left out: evaluate.baseline
        select: validation_accuracy        of several settings on a side, the best by this counts
        at: most                           of the settings of `of`: every (default), most or any
        no_worse_by: 0.01                  one of KINDS

An axis that `against` does not name has the value that it has in `of`, so that methods are compared
β by β. `lib.analysis.claims` says how each kind is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from lib.config import tasks
from lib.config.errors import BadInput, listed, nearest
from lib.config.grid import digest, kind_and_value, point_name
from lib.config.points import SEED, matches
from lib.config.tasks import SHARE, Range
from lib.config.types import Strict
from lib.config.validation import first_error

if TYPE_CHECKING:
    from lib.config.study import Point, Study

Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# Kind → keys that it may have beside say, metric, set and of.
KINDS: dict[str, tuple[str, ...]] = {
    "above": ("at", "select"),  # at least so much
    "below": ("at", "select"),
    "items": ("at",),  # each value rests on so many items of the test set; `all`: on every one
    "spans": (),  # values reach from one number to the other
    "monotonic": (),  # {over: AXIS, VARIANT: up | down, …}; `every` in place of a variant: all
    "gains": ("at", "select", "against"),  # better than `against` by more than so much
    "no_worse_by": ("at", "select", "against"),
    "within": ("at", "select", "against"),  # as good as `against`, to so much
    "ratio_below": ("at", "select", "against"),  # of `of` to `against`, seed by seed
    "variance_over": ("against", "falls_by"),  # variance of the means over an axis falls by a share
}
TRAINING: dict[str, Range] = {  # metrics of the task `training`: `training.seconds`
    "trained": SHARE,
    "complete": SHARE,  # 1: trained, and every prediction valid and there
    "steps": (0, None),
    "seconds": (0, None),
    "gpu_hours": (0, None),
    "peak_memory_gb": (0, None),
    "trainable_parameters": (0, None),
    "calibration_share": SHARE,
    "validation_accuracy": SHARE,
}
RATIOS = ("steps", "seconds", "gpu_hours", "peak_memory_gb", "trainable_parameters")

Coordinates = dict[str, Any]  # axis → value, of a setting
Settings = dict[str, tuple[Coordinates, list["Point"]]]  # label → where it stands, and its points


class Claim(Strict):
    """One claim; exactly one of KINDS is given."""

    say: Annotated[str, Field(min_length=1)]
    metric: str
    set: str | None = None
    of: dict[str, Any] = {}
    against: dict[str, Any] | None = None
    select: Literal["validation_accuracy"] | None = None
    at: Literal["every", "most", "any"] = "every"
    above: Number | None = None
    below: Number | None = None
    items: Annotated[int, Field(ge=1)] | Literal["all"] | None = None
    spans: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    monotonic: dict[str, str] | None = None
    gains: NotNegative | None = None
    no_worse_by: NotNegative | None = None
    within: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    ratio_below: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    variance_over: str | None = None
    falls_by: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def hash(self) -> str:
        """Identifies what is claimed, however it is put in words."""
        return digest(self.model_dump(exclude={"say"}, exclude_none=True))


def parse_claims(study: Study) -> dict[int, Claim]:
    """Place in the file, from 1 → claim.

    One of a task that the command line takes out of `tasks` is left out. Raises BadInput for what
    has another form.
    """
    given = study.raw.get("claims") or []
    if not isinstance(given, list):
        raise BadInput(f"{study.path}: claims: found {given!r}, expected a list of claims, each "
                       f"with say, metric and one of {listed(KINDS)}")  # fmt: skip
    found = {}
    for number, one in enumerate(given, 1):
        where = f"{study.path}: claims: {number}"
        if not isinstance(one, dict) or not all(isinstance(key, str) for key in one):
            raise BadInput(f"{where}: found {one!r}, expected key: value pairs")
        try:
            claim = Claim.model_validate(one)
        except ValidationError as error:
            raise first_error(error, Claim, where, {}) from None
        if fault := _form(claim):
            raise BadInput(f"{where}: {fault}")
        task = claim.metric.partition(".")[0]
        dropped = "tasks" in study.overrides and task in tasks.names()
        if not (dropped and task not in study.config.tasks):
            found[number] = claim
    return found


def _form(claim: Claim) -> str | None:
    """What is wrong with the keys of a claim taken together."""
    kinds = [kind for kind in KINDS if getattr(claim, kind) is not None]
    if len(kinds) != 1:
        return f"found {listed(kinds) or 'no bound'}, expected exactly one of {listed(KINDS)}"
    (kind,) = kinds
    for key in ("against", "select", "at", "falls_by"):
        if key in claim.model_fields_set and key not in KINDS[kind]:
            having = [k for k, keys in KINDS.items() if key in keys]
            return f"{key}: is for {listed(having)}, found it with {kind}"
    if kind == "variance_over" and claim.falls_by is None:
        return "falls_by: missing: the share by which the variance falls, such as 0.4"
    if kind == "spans" and claim.spans[0] >= claim.spans[1]:
        return f"spans: found {claim.spans}, expected the lower number first"
    return None


def resolve_metric(study: Study, text: str) -> tuple[str, str]:
    """(task, name) of a metric as a claim names it. Raises ValueError with what is known."""
    first = study.config.tasks[0]
    task, dot, name = text.partition(".")
    if not dot:
        task, name = first, text
    if name in metric_ranges(study, task):
        return task, name
    named = [(t, n) for t in (*study.config.tasks, "training") for n in metric_ranges(study, t)]
    known = [n if t == first else f"{t}.{n}" for t, n in named]
    raise ValueError(f"unknown metric {text!r}, expected one of {listed(known, 40)}"
                     f"{nearest(text, [*known, *(f'{t}.{n}' for t, n in named)])}")  # fmt: skip


def metric_ranges(study: Study, task: str) -> dict[str, Range]:
    """Metrics of a task of the study, or of `training`, each with its range; {} for other tasks."""
    if task == "training":
        return TRAINING
    if task not in study.config.tasks:
        return {}
    metrics = tasks.get(task).analysis.metrics(study.config.evaluate)
    return {one.name: one.bounds for one in metrics}


def settings_of(study: Study) -> Settings:
    """The settings of a study: its points without their seeds and without what they are tested on.

    An axis that a point does not list, and uses, has the value of its config.
    """
    leave_out = (SEED, *tasks.get(study.config.tasks[0]).data_axes)
    found: Settings = {}
    for point in study.points():
        values = study.named_values(point.values, point.flat)
        place = {a: v for a, v in values.items() if study.axes.get(a) not in leave_out}
        found.setdefault(point_name(place), (place, []))[1].append(point)
    return found


def selected(settings: Settings, wanted: Mapping[str, Any]) -> Settings:
    """The settings that have these axis values; a list stands for any of its values."""
    return {
        label: (place, points)
        for label, (place, points) in settings.items()
        if all(axis in place and has_value(place[axis], value) for axis, value in wanted.items())
    }


def pairs(study: Study, claim: Claim) -> list[tuple[str, str]]:
    """(setting of `of`, setting that it is compared with), by label: see the module's docstring.

    Raises ValueError where that is not one.
    """
    settings = settings_of(study)
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
    settings = settings_of(study)
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
    fits = selected(settings_of(study), wanted).values()
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
