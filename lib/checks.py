"""Every check of a study beyond the types of its keys: across keys, points and axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lib import tasks
from lib.errors import BadInput, listed, nearest
from lib.grid import Value, overlap, point_name
from lib.schema import OBJECTIVE_KEYS, OBJECTIVE_KIND, Config
from lib.settings import flatten

if TYPE_CHECKING:
    from lib.study import Study

TUNING_OF = {
    "importance": "lora",
    "adalora": "adalora",
}  # section of `train` → the one that it is of


def check_point(study: Study, values: Mapping[str, Value], config: Config) -> None:
    """Every check across the fields of one point."""
    for axis, value in values.items():
        reason = unused_because(study.axes[axis], config) if axis != "variant" else None
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
    if train.importance.alpha and (reason := unused_because("train.importance.alpha", config)):
        raise BadInput(
            f"{study.path}: train.importance.alpha: found {train.importance.alpha:g}, expected 0: "
            f"there is nothing to penalise ({reason})"
        )
    _check_judge(study, config)
    if config.skip != study.config.skip:
        raise BadInput(f"{study.path}: skip: expected one list for the study, none of a variant")
    if train.fsdp and train.processes == 1:
        raise BadInput(f"{study.path}: train.fsdp: expected train.processes above 1")


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
    """Every check of a study, of its points and across them, without walking the grid."""
    _check_keys(study)
    for values in study.representatives():
        check_point(study, values, study.resolve(values))
    _check_duplicates(study)
    _check_baseline(study)
    _check_models(study)
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
    named = []
    for block in study.grid.blocks:
        for variant in block.get("variant", (None,)):
            one = {**block, "variant": (variant,)} if variant is not None else dict(block)
            first = {a: options[0] for a, options in one.items()}
            config = study.resolve(first)
            # What a point names though it ignores it tells no two runs apart.
            filled = {
                axis: value
                for axis, value in study.named_values(first, config).items()
                if axis == "variant" or unused_because(study.axes[axis], config) is None
            }
            named.append({a: one.get(a, (v,)) for a, v in filled.items()})
    for i, one in enumerate(named):
        for other in named[:i]:
            if shared := overlap(one, other):
                raise BadInput(f"{study.path}: grid: duplicate point {point_name(shared)}")


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


def unused_because(key: str, config: Config) -> str | None:
    """Why a point with this config ignores `key` of its config, or None where it does not."""
    section, _, rest = key.partition(".")
    name, _, inner = rest.partition(".")
    train = config.train
    if key == "infer.samples" and not config.infer.samples:
        return "no answer is drawn"
    owners = [o for o, keys in OBJECTIVE_KEYS.items() if name in keys]
    if section != "train" or not owners:
        return None
    if train.objective not in owners:
        return f"train.objective is {train.objective}"
    if name in ("gamma", "weighting") and train.weighted_class is None:
        return "train.weighted_class is null"
    if name == "beta" and train.objective == "td_dpo" and train.regulariser == "none":
        return "train.regulariser is none"
    if train.tuning != TUNING_OF.get(name, train.tuning):
        return f"train.tuning is {train.tuning}"
    if name == "importance" and inner != "alpha" and train.importance.alpha == 0:
        return "train.importance.alpha is 0"
    return None


def _is_neutral(key: str, value: Value) -> bool:
    """Whether an unused key may be listed with this value, so that a grid reads well."""
    return (key, value) in (("train.gamma", 1), ("infer.samples", 0)) or value is None
