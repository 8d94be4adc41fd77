"""Checks of a study's `search:` section beyond the types of its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lib.config.checks import check_axes, check_point
from lib.config.effects import unread_because
from lib.config.errors import BadInput, listed, nearest
from lib.config.grid import Value
from lib.config.schema import RUNTIME_KEYS, Config
from lib.config.search_space import SPELLINGS
from lib.config.steps import asks_validation
from lib.config.study import Study
from lib.config.yaml import flatten
from lib.losses import OBJECTIVES

ACCURACY, LOSS = "validation_accuracy", "validation_loss"
DIRECTIONS = {ACCURACY: "maximize", LOSS: "minimize"}
# Kind of batch of an objective → metrics of its validation.
MEASURED = {"pairs": (ACCURACY, LOSS), "classes": (ACCURACY, LOSS), "answers": (LOSS,)}
# Overrides of every trial: trials are not tracked, since they are no results of the study.
UNTRACKED = {"tracking": "none"}


def check_search(study: Study) -> None:
    """Raise BadInput, with the key, for a search that does not fit the study."""
    search, where = study.search, f"{study.path}: search"
    values = base_values(study)
    config = study.resolve(values)
    flat = flatten(config.model_dump())
    for key in study.space:
        _check_key(study, key, flat, f"{where}.space.{key}")
    _check_metric(study, config, f"{where}.metric")
    right = DIRECTIONS[search.metric]
    if (given := SPELLINGS.get(search.direction, search.direction)) not in (None, right):
        good = "high" if right == "maximize" else "low"
        raise BadInput(f"{where}.direction: found {given!r}, expected {right!r}: a good "
                       f"{search.metric} is {good}")  # fmt: skip
    if search.pruner != "none" and not (config.train.eval_steps or config.train.validations):
        raise BadInput(f"{where}.pruner: found {search.pruner!r}, but trials validate only at "
                       f"their end; set train.validations, or pruner: none")  # fmt: skip
    if study.mode == "full":  # trial mode searches nothing
        check_values(study, values)


def base_values(study: Study) -> dict[str, Value]:
    """Axis values of all trials: those of `fixed`, and those with one value in the grid.

    Raises BadInput for an unknown axis or variant, and for an axis of several values that `fixed`
    does not set.
    """
    where = f"{study.path}: search.fixed"
    check_axes(study, study.search.fixed, "search.fixed")
    values: dict[str, Value] = {}
    for axis in ("variant", *study.axes):
        options = study.grid.axis_values(axis)
        if axis in study.search.fixed:
            values[axis] = study.search.fixed[axis]
        elif len(options) > 1:
            raise BadInput(f"{where}: no value for the axis {axis!r}, which the grid sweeps "
                           f"({listed(options, 4)}); every trial needs one")  # fmt: skip
        elif options:
            values[axis] = options[0]
    if (variant := values.get("variant")) is not None and variant not in study.variants:
        raise BadInput(f"{where}: variant {variant!r} does not exist, expected one of "
                       f"{listed(study.variants)}{nearest(variant, study.variants)}")  # fmt: skip
    return values


def trial_study(study: Study, params: Mapping[str, Any]) -> Study:
    """The study with a trial's parameters as overrides."""
    return replace(study, overrides={**study.overrides, **params, **UNTRACKED})


def trial_config(study: Study, params: Mapping[str, Any]) -> Config:
    """The config of a trial. Raises BadInput for an invalid one."""
    values, trial = base_values(study), trial_study(study, params)
    config = trial.resolve(values)
    variant = {axis: value for axis, value in values.items() if axis == "variant"}
    check_point(trial, variant, config, flatten(config.model_dump()))
    return config


def check_values(study: Study, values: Mapping[str, Value]) -> None:
    """Raise BadInput for a value of the space that makes a point invalid."""
    for key, dimension in study.space.items():
        for value in dimension.samples():
            try:
                trial_config(study, {key: value})
            except BadInput as error:
                said = str(error).removeprefix("command line: ").removeprefix(f"{study.path}: ")
                raise BadInput(f"{study.path}: search.space: {key} = {value!r}: {said}") from None


def _check_key(study: Study, key: str, flat: Mapping[str, Any], where: str) -> None:
    """A key of the space exists, is in `train`, affects results, and is set nowhere else."""
    if key not in flat:
        raise BadInput(f"{where}: unknown key, expected one such as train.learning_rate"
                       f"{nearest(key, flat)}")  # fmt: skip
    for axis, swept in study.axes.items():
        if swept == key and study.grid.axis_values(axis):
            raise BadInput(f"{where}: found a key that the grid sweeps (axis {axis!r}), expected "
                           f"it in one of the two")  # fmt: skip
    if key in study.overrides:
        raise BadInput(f"{where}: is searched, and set on the command line: "
                       f"{study.overrides[key]!r}; expected one of the two")  # fmt: skip
    if not key.startswith("train."):
        raise BadInput(f"{where}: found a key of {key.partition('.')[0]}, expected one of train: "
                       f"data and models are prepared once for all trials")  # fmt: skip
    if key in RUNTIME_KEYS or key == "train.seed":
        why = "a seed is not a setting" if key == "train.seed" else "it changes no result"
        raise BadInput(f"{where}: nothing to search: {why}")
    if reason := unread_because(key, flat):
        raise BadInput(f"{where}: nothing reads it at this search's points: {reason}")


def _check_metric(study: Study, config: Config, where: str) -> None:
    """The study's validation measures the metric, which is comparable over trials."""
    metric, objective = study.search.metric, OBJECTIVES[config.train.objective]
    kind = objective.batch
    given = _measured(config, kind)
    if isinstance(given, str):
        raise BadInput(f"{where}: found {metric!r}, but this study validates nothing: {given}")
    if metric not in given:
        bare = metric.removeprefix("test_").removeprefix("eval_")
        if metric.startswith("test") or f"validation_{bare}" in DIRECTIONS:
            raise BadInput(f"{where}: found {metric!r}, which is of the test set, expected one of "
                           f"{listed(given)}: a selection must not use test data")  # fmt: skip
        raise BadInput(f"{where}: found {metric!r}, which no validation of this study measures, "
                       f"expected one of {listed(given)}{nearest(metric, given)}")  # fmt: skip
    of_loss = [k for k in study.space if objective.reads(k.removeprefix("train."))]
    if kind == "pairs" and metric == LOSS and of_loss:
        raise BadInput(f"{where}: found {metric!r}, whose scale {of_loss[0]} changes, expected "
                       f"{ACCURACY}")  # fmt: skip


def _measured(config: Config, kind: str) -> tuple[str, ...] | str:
    """Metrics of the validation, or why there is none."""
    rows = getattr(config.data, "validation", getattr(config.data, "validation_rows", 0))
    if not rows:
        key = next((k for k in ("validation", "validation_rows") if hasattr(config.data, k)), None)
        if key is None:
            return f"the task {config.tasks[0]} has no validation rows"
        return f"data.{key} is {rows}"
    if kind == "answers" and asks_validation(config.train) is None:
        return "set train.validations, train.eval_steps or train.keep: best"
    return MEASURED[kind]
