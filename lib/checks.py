"""Every check of a study beyond the types of its keys: across keys, points and axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lib import tasks
from lib.effects import effective, unused_because
from lib.errors import BadInput, listed, nearest
from lib.names import Value, point_name
from lib.schema import OBJECTIVE_KIND, Config
from lib.settings import flatten
from lib.unread import check_unread
from lib.walk import varying, walk

if TYPE_CHECKING:
    from lib.study import Study

# Sections that a study has one of; so are those of its further tasks.
SHARED = ("tasks", "skip", "judge", "evaluate", "slurm", "tracking")
# Overrides that turn training off, and so make points alike that differ in training alone.
UNTRAINING = ("train.epochs", "model.adapter")


def check_point(study: Study, values: Mapping[str, Value], config: Config) -> None:
    """Every check across the fields of one point."""
    flat = flatten(config.model_dump())
    for axis, value in values.items():
        reason = unused_because(study.axes[axis], flat) if axis != "variant" else None
        if reason and not _is_neutral(study.axes[axis], value):
            owner = f"variant {values['variant']!r}" if "variant" in values else "this study"
            raise BadInput(
                f"{study.path}: grid: {owner} does not use axis {axis!r} ({reason}), "
                f"so {axis} {value!r} would repeat a point"
            )
    train = config.train
    kind = tasks.part(config.tasks[0], "schema").KIND
    if OBJECTIVE_KIND[train.objective] != kind:
        fitting = [name for name, other in OBJECTIVE_KIND.items() if other == kind]
        raise BadInput(
            f"{study.path}: train.objective: found {train.objective!r}, expected one of "
            f"{listed(fitting)}: those that train on what the task {config.tasks[0]} has ({kind})"
        )
    if train.batch_size % (train.micro_batch * train.processes):
        raise BadInput(
            f"{study.path}: train.batch_size: found {train.batch_size}, expected a multiple "
            f"of train.micro_batch × train.processes = {train.micro_batch} × {train.processes}"
        )
    if train.beta == 0 and train.objective in ("dpo", "discopop"):
        raise BadInput(
            f"{study.path}: train.beta: found 0, expected a number above 0: the loss of "
            f"{train.objective} would be constant"
        )
    if kind != "causal":
        for key, value in (("model.adapter", config.model.adapter), ("train.sweep", train.sweep)):
            if value is not None:
                raise BadInput(
                    f"{study.path}: {key}: found {value!r}, expected null: it is for tasks whose "
                    f"answers are generated, and {config.tasks[0]} trains on {kind}"
                )
    if train.sweep and not hasattr(tasks.part(config.tasks[0], "data"), "correct"):
        raise BadInput(
            f"{study.path}: train.sweep: found {train.sweep}, expected null: the task "
            f"{config.tasks[0]} has no score to choose weights by"
        )
    if train.sweep and train.keep == "best":
        raise BadInput(
            f"{study.path}: train.keep: found 'best', expected 'last': train.sweep chooses the "
            f"weights itself"
        )
    _check_samples(study, config)
    if kind == "classify":
        _check_classification(study, config)
    elif train.tuning == "adalora":
        raise BadInput(
            f"{study.path}: train.tuning: found 'adalora', expected full, lora or qlora: it is for "
            f"tasks that classify, and {config.tasks[0]} trains on {kind}"
        )
    if train.importance.alpha and (reason := unused_because("train.importance.alpha", flat)):
        raise BadInput(
            f"{study.path}: train.importance.alpha: found {train.importance.alpha:g}, expected 0: "
            f"there is nothing to penalise ({reason})"
        )
    _check_judge(study, config)
    _check_shared(study, config)
    if train.fsdp and train.processes == 1:
        raise BadInput(f"{study.path}: train.fsdp: expected train.processes above 1")


def _check_shared(study: Study, config: Config) -> None:
    """What is read once for a whole study has one value at all of its points."""
    for name in (*SHARED, *study.config.tasks[1:]):
        one, own = getattr(study.config, name), getattr(config, name)
        if own != one:
            shared, found = (flatten({name: s.model_dump() if hasattr(s, "model_dump") else s})
                             for s in (one, own))  # fmt: skip
            key = next(k for k in {**shared, **found} if shared.get(k) != found.get(k))
            raise BadInput(
                f"{study.path}: {key}: found {found.get(key)!r} at some points and "
                f"{shared.get(key)!r} at others, expected one value for the study, none of a "
                f"variant or an axis"
            )


def _check_samples(study: Study, config: Config) -> None:
    """Samples are drawn for a task that uses them, at a temperature, and enough for each vote."""
    infer, draws = config.infer, config.evaluate.draws
    if not infer.samples:
        return
    if not any(getattr(tasks.part(task, "schema"), "SAMPLED", False) for task in config.tasks):
        raise BadInput(
            f"{study.path}: infer.samples: found {infer.samples}, expected 0: no task of "
            f"{listed(config.tasks)} uses more than one answer"
        )
    if infer.temperature == 0:
        raise BadInput(
            f"{study.path}: infer.temperature: found 0, expected a number above 0: "
            f"infer.samples={infer.samples} greedy answers would all be the same"
        )
    if max(draws) > infer.samples:
        raise BadInput(
            f"{study.path}: evaluate.draws: found {max(draws)}, expected at most infer.samples = "
            f"{infer.samples}: a vote cannot rest on more samples than are drawn"
        )
    if len(set(draws)) < len(draws):
        raise BadInput(f"{study.path}: evaluate.draws: found {draws}, expected each number once")


def _check_classification(study: Study, config: Config) -> None:
    """What classifiers are trained without."""
    train = config.train
    for key, found, expected in (
        ("train.tuning", train.tuning, "full, lora or adalora" if train.tuning == "qlora" else ""),
        ("train.fsdp", train.fsdp, "null" if train.fsdp else ""),
        ("train.epochs", train.epochs, "a number above 0" if train.epochs == 0 else ""),
    ):
        if expected:
            raise BadInput(
                f"{study.path}: {key}: found {found!r}, expected {expected}: the task "
                f"{config.tasks[0]} trains a classifier"
            )


def _check_judge(study: Study, config: Config) -> None:
    """A judge is of a kind that every task with a judge can use."""
    for task in config.tasks:
        kinds = getattr(tasks.part(task, "schema"), "JUDGES", None)
        if kinds and config.judge.model is not None and config.judge.kind not in kinds:
            raise BadInput(
                f"{study.path}: judge.kind: found {config.judge.kind!r}, expected one of "
                f"{listed(kinds)}, by which the task {task} is judged, or judge.model=null"
            )


def check(study: Study) -> None:
    """Every check of a study, of its points and across them.

    Of each point what its combination of values may break is checked where it is resolved.
    """
    _check_keys(study)
    for corner in study.corners:
        for values, config in corner.configs:
            check_point(study, values, config)
    _check_duplicates(study)
    if study.mode == "full":
        check_unread(study)
    _check_baseline(study)
    _check_models(study)
    if study.search is not None:
        from lib.search.checks import check_search  # which itself checks points

        check_search(study)
    if study.raw.get("selected") is not None:
        from lib.search.selected import check_selected

        check_selected(study)
    for variant in study.config.evaluate.thresholds:
        if variant not in study.variants:
            raise BadInput(
                f"{study.path}: evaluate.thresholds: unknown variant {variant!r}, expected one of "
                f"{listed(study.variants)}{nearest(variant, study.variants)}"
            )


def _check_keys(study: Study) -> None:
    """Axes land on keys that there are; variants out of use and `trial` are right as well."""
    known = flatten(study.config.model_dump())
    for axis, key in study.axes.items():
        if key not in known:
            raise BadInput(
                f"{study.path}: axes.{axis}: found {key!r}, expected a key such as train.seed"
                f"{nearest(key, known)}"
            )
    for variant in study.variants:
        study.resolve({"variant": variant})
    replace(study, mode="trial").resolve({})


def _check_duplicates(study: Study) -> None:
    """No two points compute the same, whatever their axes say.

    Of the study in full, which a trial may cut or override until points are alike, and so may
    overrides that turn training off.
    """
    kept = {
        key: value
        for key, value in study.overrides.items()
        if study.mode == "full" and key not in UNTRAINING
    }
    full = replace(study, mode="full", overrides=kept)
    if (full.mode, full.overrides) == (study.mode, study.overrides):
        full = study
    else:
        try:
            full.corners  # noqa: B018
        except BadInput:  # of something that this trial does not use
            return
    keys, seen = varying(full), {}
    for index, (values, flat) in enumerate(walk(full)):
        computed = tuple(map(repr, effective(flat, keys).values()))
        if (first := seen.setdefault(computed, (index, values, flat)))[0] != index:
            one, other = (
                point_name(full.named_values(v, f)) for v, f in (first[1:], (values, flat))
            )
            idle = [key for key in keys if flat.get(key) != first[2].get(key)]
            why = f"; they differ in {listed(idle)}, which changes no result there" if idle else ""
            raise BadInput(
                f"{study.path}: grid: duplicate point {other}: points {first[0]} ({one}) and "
                f"{index} ({other}) are one run{why}"
            )


def _check_baseline(study: Study) -> None:
    if unknown := set(study.config.evaluate.baseline) - set(study.axes) - {"variant"}:
        axis = sorted(unknown)[0]
        raise BadInput(
            f"{study.path}: evaluate.baseline: unknown axis {axis!r}, expected one "
            f"of {listed(['variant', *study.axes])}"
            f"{nearest(axis, ['variant', *study.axes])}"
        )
    study.baseline()


def _check_models(study: Study) -> None:
    """A task that encodes its own rows has one tokenizer: which rows it keeps hangs on that."""
    task, models = study.config.tasks[0], study.model_sections()
    if len(models) > 1 and hasattr(tasks.part(task, "data"), "encode"):
        keys = [
            key
            for key in type(models[0]).model_fields
            if len({str(getattr(model, key)) for model in models}) > 1
        ]
        found = listed(repr(getattr(model, keys[0])) for model in models)
        raise BadInput(
            f"{study.path}: model.{keys[0]}: found {found} among the points, expected one value: "
            f"which rows the task {task} keeps hangs on it"
        )


def _is_neutral(key: str, value: Value) -> bool:
    """Whether an unused key may be listed with this value, so that a grid reads well."""
    return (key, value) in (("train.gamma", 1), ("infer.samples", 0)) or value is None
