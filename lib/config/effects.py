"""Which keys affect a point's results, and which its objective or its other keys make irrelevant.

Everything here reads a flat config, dotted key → value, such as `flatten(config.model_dump())`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.schema import RUNTIME_KEYS, Config, Evaluate, Infer, Judge, Train
from lib.config.yaml import flatten
from lib.losses import OBJECTIVES, Rule

Flat = Mapping[str, Any]

TUNING_OF = {
    "importance": "lora",
    "adalora": "adalora",
}  # section of `train` → the tuning that reads it
# Keys of `data` that only affect training rows, in every task.
TRAINING_DATA = ("data.ratio", "data.train_on", "data.train_rows")
# What a point without training still depends on: how the base model is loaded and saved.
UNTRAINED = ("train.epochs", "train.precision", "train.tuning")
CALIBRATION = ("normalise", "batches", "batch_size", "warmup_learning_rate")

# Rules on keys and sections, for all objectives; those of one objective are in its `Objective`.
# Keys that nothing reads. Unlike `unused_because`, they stay in names and identities.
UNREAD: tuple[Rule, ...] = (
    (("train.lora",), "train.tuning is full", lambda c: c["train.tuning"] == "full"),
    (("train.lora.r",), "train.tuning is adalora", lambda c: c["train.tuning"] == "adalora"),
    (("train.adalora",), "train.tuning is not adalora", lambda c: c["train.tuning"] != "adalora"),
    (("train.importance.warmup_learning_rate",),
     "train.importance.freeze_lora_during_warmup is true",
     lambda c: c["train.importance.freeze_lora_during_warmup"]),
    (("train.diverge_steps",), "train.diverge_norm is null",
     lambda c: c["train.diverge_norm"] is None),
    (("train.warmup",), "train.schedule is constant", lambda c: c["train.schedule"] == "constant"),
    (("evaluate.draws",), "infer.samples is 0", lambda c: c["infer.samples"] == 0),
)  # fmt: skip

# Keys that are read and change no result.
NEUTRAL: tuple[Rule, ...] = (
    (("train.importance",), "train.importance.alpha is 0",
     lambda c: c["train.importance.alpha"] == 0),
    (tuple(f"train.importance.{key}" for key in CALIBRATION), "train.importance.beta is 0",
     lambda c: c["train.importance.beta"] == 0
     and c["train.importance.freeze_lora_during_warmup"]),
    (("train.keep",), "the last step is the only one to keep",
     lambda c: c["train.keep"] == "last"
     or (c["train.eval_steps"] is None and c["train.validations"] in (None, 1))),
    (("train.eval_steps", "train.validations"), "train.keep is last",
     lambda c: c["train.keep"] == "last"),
    (("train", *TRAINING_DATA), "model.adapter is evaluated as it is",
     lambda c: c["model.adapter"] is not None),
)  # fmt: skip


def unused_because(key: str, flat: Flat) -> str | None:
    """Why a point with this config ignores `key`, None if it does not."""
    section, _, rest = key.partition(".")
    name, _, inner = rest.partition(".")
    if key == "infer.samples" and not flat["infer.samples"]:
        return "no answer is drawn"
    if section != "train" or not any(one.reads(name) for one in OBJECTIVES.values()):
        return None
    objective = OBJECTIVES[flat["train.objective"]]
    if not objective.reads(name):
        return f"train.objective is {flat['train.objective']}"
    if reason := _reason(key, flat, objective.unused):
        return reason
    if flat["train.tuning"] != TUNING_OF.get(name, flat["train.tuning"]):
        return f"train.tuning is {flat['train.tuning']}"
    if name == "importance" and inner != "alpha" and flat["train.importance.alpha"] == 0:
        return "train.importance.alpha is 0"
    return None


def unread_because(key: str, flat: Flat) -> str | None:
    """Why nothing reads `key` at a point with this config, None if something does."""
    return unused_because(key, flat) or _reason(key, flat, UNREAD)


def effective(flat: Flat, keys: Iterable[str]) -> dict[str, Any]:
    """The values of `keys` in canonical form, None where a key does not affect the result.

    Points that differ only in `keys` compute the same if these are equal.
    """
    return {key: None if _is_idle(key, flat) else _spelled(key, flat) for key in keys}


def _is_idle(key: str, flat: Flat) -> bool:
    if key in RUNTIME_KEYS or unread_because(key, flat) or _reason(key, flat, NEUTRAL):
        return True
    if _reason(key, flat, OBJECTIVES[flat["train.objective"]].neutral):
        return True
    trains = key.startswith("train.") or key in TRAINING_DATA
    return flat["train.epochs"] == 0 and trains and key not in UNTRAINED


def _reason(key: str, flat: Flat, rules: tuple[Rule, ...]) -> str | None:
    """The reason of the first rule that applies to a key."""
    return next((reason for _, reason, holds in _about(key, rules) if holds(flat)), None)


@cache
def _about(key: str, rules: tuple[Rule, ...]) -> list[Rule]:
    return [rule for rule in rules if any(f"{key}.".startswith(f"{k}.") for k in rule[0])]


def _spelled(key: str, flat: Flat) -> Any:
    value = flat.get(key)
    if key == "train.importance.batch_size" and value is None:
        return flat["train.batch_size"]
    if key in ("train.lora.target_modules", "train.lora.layers") and isinstance(value, list):
        return sorted(set(value))
    return value


if TYPE_CHECKING:
    from lib.config.study import Study

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
