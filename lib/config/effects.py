"""Which keys affect a point's results, and which its objective or its other keys make irrelevant.

Everything here reads a flat config, dotted key → value, such as `flatten(config.model_dump())`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from lib.config.schema import RUNTIME_KEYS
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
