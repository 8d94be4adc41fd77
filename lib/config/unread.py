"""Keys that a study sets and nothing reads, and what its sections may well not mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lib.config import tasks
from lib.config.effects import unread_because
from lib.config.errors import BadInput, listed
from lib.config.schema import Config, Evaluate, Infer, Judge, Train
from lib.config.study import Study
from lib.config.yaml import flatten

SECTIONS = {"train": Train, "infer": Infer, "judge": Judge, "evaluate": Evaluate}
# Keys that only some tasks read (`Task.reads`), listed so that a study loads without importing all
# tasks.
READ_BY_SOME = ("evaluate.bins", "evaluate.full_test")


def check_unread(study: Study) -> None:
    """Raise BadInput for a key that the file, a variant or the command line sets and nothing reads.

    The file is checked without overrides, which may turn off what some of its keys refer to. Keys
    with their default or null are fine, and so is `trial`, a template for all variants.
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
    defaults: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        for key, field in section.model_fields.items():
            value = field.get_default(call_default_factory=True)
            defaults |= flatten({name: {key: value.model_dump() if hasattr(value, "model_dump")
                                     else value}})  # fmt: skip
    return defaults


def _by_tasks(key: str, config: Config) -> str | None:
    """Why no task of the study reads a key, None if one does or all tasks do."""
    own, names = [tasks.get(task) for task in config.tasks], listed(config.tasks)
    if key.startswith("judge.") and not any(task.judges for task in own):
        return f"no task of {names} is judged by a model"
    if key == "evaluate.draws" and not any(task.sampled for task in own):
        return f"no task of {names} uses more than one answer"
    if key not in READ_BY_SOME or any(key in task.reads for task in own):
        return None
    return f"no task of {names} does"


def _by_points(key: str, study: Study, variant: Any) -> str | None:
    """Why no point (of a variant, if given) reads the key, None if one does."""
    reason = None
    for point in study.points() if key.partition(".")[0] != "judge" else ():
        if variant is not None and point.values.get("variant") != variant:
            continue
        if (reason := unread_because(key, point.flat)) is None:
            return None
    return reason


def warnings(study: Study) -> Iterator[str]:
    """Likely mistakes in the study's data sections, a line each."""
    check = tasks.get(study.config.tasks[0]).warnings
    yield from dict.fromkeys(line for section in study.data_sections() for line in check(section))
