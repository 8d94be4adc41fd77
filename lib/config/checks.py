"""Every check of a study beyond the types of its keys: across keys, points and axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lib.config import tasks
from lib.config.effects import effective, unused_because
from lib.config.errors import BadInput, listed, nearest
from lib.config.grid import Value, point_name
from lib.config.schema import Config
from lib.config.settings import baseline, selected
from lib.config.study import Point, Study
from lib.config.unread import check_unread
from lib.config.yaml import flatten
from lib.losses import OBJECTIVES

# Sections that all points share, like those of additional tasks.
SHARED = ("tasks", "skip", "judge", "evaluate", "slurm", "tracking")
# Overrides that turn training off, so that points may become equal.
UNTRAINING = ("train.epochs", "model.adapter")


def check_point(
    study: Study, values: Mapping[str, Value], config: Config, flat: Mapping[str, Any]
) -> None:
    """Raise BadInput for the first conflict between keys of a point; flat: its dotted keys."""
    faults = itertools.chain(
        _unused_axes(study.axes, values, flat),
        _training(config, flat),
        _samples(config),
        _four_bits(config),
        _classification(config),
        _judge(config),
        _shared(study.config, config),
    )
    if (fault := next(faults, None)) is not None:
        raise BadInput(f"{study.path}: {fault}")


def _unused_axes(
    axes: Mapping[str, str], values: Mapping[str, Value], flat: Mapping[str, Any]
) -> Iterator[str]:
    """Axes that the point's objective does not use."""
    for axis, value in values.items():
        reason = unused_because(axes[axis], flat) if axis != "variant" else None
        if reason and not _is_neutral(axes[axis], value):
            owner = f"variant {values['variant']!r}" if "variant" in values else "this study"
            yield (f"grid: {owner} does not use axis {axis!r} ({reason}), so {axis} {value!r} "
                   f"would repeat a point")  # fmt: skip


def _training(config: Config, flat: Mapping[str, Any]) -> Iterator[str]:
    """Objective, tuning, batch size and checkpoint selection fit the task."""
    train, task = config.train, config.tasks[0]
    kind = tasks.get(task).batch
    objective = OBJECTIVES[train.objective]
    if objective.batch != kind:
        usable = [name for name, other in OBJECTIVES.items() if other.batch == kind]
        yield (f"train.objective: found {train.objective!r}, expected one of {listed(usable)}: "
               f"those for {kind}, on which the task {task} trains")  # fmt: skip
    if train.batch_size % train.processes:
        yield (f"train.batch_size: found {train.batch_size}, expected a multiple of "
               f"train.processes={train.processes}")  # fmt: skip
    if (at_once := config.slurm.train.parallel) > 1 and (train.processes > 1 or train.fsdp):
        yield (f"slurm.train.parallel: found {at_once}, expected 1: a point with train.processes="
               f"{train.processes}, train.fsdp={train.fsdp} takes all devices of its task"
               )  # fmt: skip
    for key in objective.positive:
        if (value := getattr(train, key)) <= 0:
            yield (f"train.{key}: found {value:g}, expected a number above 0 for the objective "
                   f"{train.objective}")  # fmt: skip
    if train.eval_steps is not None and train.validations is not None:
        yield "train: expected one of eval_steps and validations, found both"
    if (
        train.tuning != "full"
        and train.lora.layers is not None
        and train.lora.target_modules == "all-linear"
    ):
        yield (f"train.lora.layers: found {train.lora.layers}, expected null, or names of modules "
               f"such as [q_proj, v_proj] as train.lora.target_modules, found all-linear"
               )  # fmt: skip
    candidates = train.checkpoint_candidates
    if kind != "answers":
        adapter = config.model.adapter
        for key, value in (("model.adapter", adapter), ("train.checkpoint_candidates", candidates)):
            if value is not None:
                yield (f"{key}: found {value!r}, expected null: it is for tasks whose answers are "
                       f"generated, and {task} trains on {kind}")  # fmt: skip
    if candidates and not tasks.get(task).selects:
        yield (f"train.checkpoint_candidates: found {candidates}, expected null: the task {task} "
               f"has no score to select a checkpoint by")  # fmt: skip
    if candidates and train.keep == "best":
        yield ("train.keep: found 'best', expected 'last': with train.checkpoint_candidates stage "
               "3 selects the weights")  # fmt: skip
    if train.tuning == "adalora" and kind != "classes":
        yield (f"train.tuning: found 'adalora', expected full, lora or qlora: it is for tasks that "
               f"classify, and {task} trains on {kind}")  # fmt: skip
    if train.importance.alpha and (reason := unused_because("train.importance.alpha", flat)):
        yield (f"train.importance.alpha: found {train.importance.alpha:g}, expected 0: there is "
               f"nothing to penalise ({reason})")  # fmt: skip


def _samples(config: Config) -> Iterator[str]:
    """Samples have a task that uses them, a temperature, and suffice for each vote."""
    infer, draws = config.infer, config.evaluate.draws
    if not infer.samples:
        return
    if not any(tasks.get(task).sampled for task in config.tasks):
        yield (f"infer.samples: found {infer.samples}, expected 0: no task of "
               f"{listed(config.tasks)} uses more than one answer")  # fmt: skip
    if infer.temperature == 0:
        yield (f"infer.temperature: found 0, expected a number above 0: infer.samples="
               f"{infer.samples} greedy answers would all be the same")  # fmt: skip
    if max(draws) > infer.samples:
        yield (f"evaluate.draws: found {max(draws)}, expected at most infer.samples = "
               f"{infer.samples}: a vote cannot rest on more samples than are drawn")  # fmt: skip
    if len(set(draws)) < len(draws):
        yield f"evaluate.draws: found {draws}, expected each number once"


def _four_bits(config: Config) -> Iterator[str]:
    """Answers over an NF4 base are transformers', with adapters beside it."""
    infer, train = config.infer, config.train
    if infer.base != "nf4":
        return
    if infer.engine == "vllm":
        yield "infer.engine: found 'vllm', expected auto or hf, as infer.base is nf4"
    if infer.adapters == "merge":
        yield "infer.adapters: found 'merge', expected auto or serve, as infer.base is nf4"
    if train.tuning == "full" and train.epochs and config.model.adapter is None:
        yield "infer.base: found 'nf4', expected full, as train.tuning is full"


def _classification(config: Config) -> Iterator[str]:
    """Options that classifiers do not support."""
    train, task = config.train, config.tasks[0]
    if tasks.get(task).batch != "classes":
        return
    for key, value, wrong, expected in (
        ("train.tuning", train.tuning, train.tuning == "qlora", "full, lora or adalora"),
        ("train.fsdp", train.fsdp, train.fsdp, "null"),
        ("train.epochs", train.epochs, train.epochs == 0, "a number above 0"),
    ):
        if wrong:
            yield (f"{key}: found {value!r}, expected {expected}: the task {task} trains a "
                   f"classifier")  # fmt: skip


def _judge(config: Config) -> Iterator[str]:
    """Every judged task supports the kind of judge."""
    for task in config.tasks:
        kinds = tasks.get(task).judges
        if kinds and config.judge.model is not None and config.judge.kind not in kinds:
            yield (f"judge.kind: found {config.judge.kind!r}, expected one of {listed(kinds)}, by "
                   f"which the task {task} is judged, or judge.model=null")  # fmt: skip


def _shared(study: Config, config: Config) -> Iterator[str]:
    """Shared sections have one value at all points."""
    for name in (*SHARED, *study.tasks[1:]):
        if getattr(config, name) == getattr(study, name):
            continue
        ours, theirs = (flatten(c.model_dump(include={name})) for c in (config, study))
        key = next(k for k in {**theirs, **ours} if theirs.get(k) != ours.get(k))
        yield (f"{key}: found {ours.get(key)!r} at some points and {theirs.get(key)!r} at others, "
               f"expected one value for the study, not set by a variant or an axis")  # fmt: skip


def check_axes(study: Study, axes: Iterable[str], where: str) -> None:
    """Raise BadInput for an axis that the study does not declare."""
    known = [*(["variant"] if study.variants else []), *study.axes]
    for axis in axes:
        if axis not in known:
            raise BadInput(f"{study.path}: {where}: unknown axis {axis!r}, expected one of "
                           f"{listed(known)}{nearest(axis, known)}")  # fmt: skip


def check(study: Study) -> None:
    """Every check of a study, of its points and across them. Raises BadInput."""
    _check_keys(study)
    for point in study.points():
        check_point(study, point.values, point.config, point.flat)
    _check_duplicates(study)
    if study.mode == "full":
        check_unread(study)
    _check_baseline(study)
    _check_models(study)


def _check_keys(study: Study) -> None:
    """Axes set existing keys; unused variants and `trial` are valid too."""
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
    """No two points compute the same.

    In full mode and without overrides that turn training off, since those may make points equal.
    """
    kept = {
        key: value
        for key, value in study.overrides.items()
        if study.mode == "full" and key not in UNTRAINING
    }
    try:
        full = replace(study, mode="full", overrides=kept)
        points = (study if full == study else full).points()
    except BadInput:  # in something that this trial does not use
        return
    first = points[0].flat
    swept = [*full.axes.values(), *(key for given in full.variants.values() for key in given)]
    keys = sorted(
        key
        for key in set().union(*(point.flat for point in points))
        if any(f"{key}.".startswith(f"{one}.") for one in swept)
        and any(point.flat.get(key) != first.get(key) for point in points)
    )
    seen: dict[tuple[str, ...], Point] = {}
    for point in points:
        computed = tuple(map(repr, effective(point.flat, keys).values()))
        if (other := seen.setdefault(computed, point)) is point:
            continue
        one, two = (point_name(full.named_values(p.values, p.flat)) for p in (other, point))
        idle = [key for key in keys if point.flat.get(key) != other.flat.get(key)]
        why = f"; they differ in {listed(idle)}, which changes no result there" if idle else ""
        raise BadInput(
            f"{study.path}: grid: duplicate point {two}: points {other.index} ({one}) and "
            f"{point.index} ({two}) are one run{why}"
        )


def _check_baseline(study: Study) -> None:
    """`evaluate.baseline` names one setting: a seed in it plays no part."""
    wanted = study.config.evaluate.baseline
    check_axes(study, wanted, "evaluate.baseline")
    fits = selected(study.settings, baseline(study))
    if len(fits) != 1:
        raise BadInput(
            f"{study.path}: evaluate.baseline: {wanted} matches {len(fits)} settings of the grid"
            f"{f' ({listed(fits, 4)})' if fits else ''}, expected exactly one"
        )


def _check_models(study: Study) -> None:
    """A task that encodes its own rows needs one tokenizer, which decides what rows it keeps."""
    task, models = study.config.tasks[0], study.model_sections()
    if len(models) > 1 and tasks.get(task).encode:
        keys = [
            key
            for key in type(models[0]).model_fields
            if len({str(getattr(model, key)) for model in models}) > 1
        ]
        values = listed(repr(getattr(model, keys[0])) for model in models)
        raise BadInput(
            f"{study.path}: model.{keys[0]}: found {values} among the points, expected one value: "
            f"which rows the task {task} keeps depends on it"
        )


def _is_neutral(key: str, value: Value) -> bool:
    """Whether a grid may list an unused axis with this value, for readability."""
    return (key, value) in (("train.gamma", 1), ("infer.samples", 0)) or value is None
