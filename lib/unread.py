"""Keys that a study sets and nothing reads: refused, since whoever set them expects an effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib import tasks
from lib.effects import unread_because
from lib.errors import BadInput, listed
from lib.schema import Config, Evaluate, Infer, Judge, Train
from lib.settings import flatten

if TYPE_CHECKING:
    from lib.study import Study

SECTIONS = {"train": Train, "infer": Infer, "judge": Judge, "evaluate": Evaluate}
# Keys that only the tasks read which say so (`Task.reads`). Listed here, so that a study is loaded
# without the modules of all tasks.
READ_BY_SOME = ("evaluate.bins", "evaluate.thresholds", "evaluate.full_test")


def check_unread(study: Study) -> None:
    """Raise BadInput for a key that the file, a variant or the command line sets in vain.

    The file is judged by itself: an override may turn off what some of its keys are about. A key
    that is null or has its default asks for nothing, and `trial` is a template for all variants.
    """
    written = replace(study, overrides={}) if study.overrides else study
    sections = {name: written.raw[name] for name in SECTIONS if name in written.raw}
    _check(written, flatten(sections), f"{study.path}: ", None)
    for variant in written.grid.axis_values("variant"):
        _check(written, written.variants[variant], f"{study.path}: variants.{variant}: ", variant)
    _check(study, study.overrides, "command line: ", None)


def _check(study: Study, given: Mapping[str, Any], where: str, variant: Any) -> None:
    default = _defaults()
    for key, value in flatten(given).items():
        if value is None or value == default.get(key):
            continue
        if reason := _by_tasks(key, study.config) or _by_points(key, study, variant):
            raise BadInput(f"{where}{key}: found {value!r}, which nothing reads: {reason}")


def _defaults() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        for key, field in section.model_fields.items():
            value = field.get_default(call_default_factory=True)
            found |= flatten({name: {key: value.model_dump() if hasattr(value, "model_dump")
                                     else value}})  # fmt: skip
    return found


def _by_tasks(key: str, config: Config) -> str | None:
    """Why none of the study's tasks reads a key that only some tasks do."""
    own, names = [tasks.get(task) for task in config.tasks], listed(config.tasks)
    if key.startswith("judge.") and not any(task.judges for task in own):
        return f"no task of {names} is judged by a model"
    if key == "evaluate.draws" and not any(task.sampled for task in own):
        return f"no task of {names} uses more than one answer"
    # `evaluate.thresholds.accept.accuracy` is about `evaluate.thresholds`.
    owned = next((read for read in READ_BY_SOME if f"{key}.".startswith(f"{read}.")), None)
    if owned is None or any(owned in task.reads for task in own):
        return None
    return f"no task of {names} does"


def _by_points(key: str, study: Study, variant: Any) -> str | None:
    """Why no point reads the key, none of a variant where one is given."""
    reason = None
    for point in study.points() if key.partition(".")[0] != "judge" else ():
        if variant is not None and point.values.get("variant") != variant:
            continue
        if (reason := unread_because(key, point.flat)) is None:
            return None
    return reason


def warnings(study: Study) -> Iterator[str]:
    """What a study's data sections may well not mean, a line each."""
    check = tasks.get(study.config.tasks[0]).warnings
    yield from dict.fromkeys(line for section in study.data_sections() for line in check(section))
