"""Which keys change what a point computes: what its objective ignores, and what cancels out.

Everything here reads a flat config, dotted key → value, such as `flatten(config.model_dump())`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from lib.schema import INCIDENTAL, OBJECTIVE_KEYS

Flat = Mapping[str, Any]

TUNING_OF = {
    "importance": "lora",
    "adalora": "adalora",
}  # section of `train` → the one that it is of
# Keys of `data` that name or shape training rows alone, whatever the task.
TRAINING_DATA = ("data.ratio", "data.train_on", "data.train_rows")
# What a point that takes no step still depends on: how the base model is loaded and stored.
UNTRAINED = ("train.epochs", "train.precision", "train.tuning")
CALIBRATION = ("normalise", "batches", "batch_size", "warmup_learning_rate")

_OWNERS = {
    key: [objective for objective, keys in OBJECTIVE_KEYS.items() if key in keys]
    for key in frozenset().union(*OBJECTIVE_KEYS.values())
}  # key of `train` → the objectives that use it, where not all do

Rule = tuple[tuple[str, ...], str, Callable[[Flat], bool]]  # keys or sections, why, where

# What nothing reads. Unlike `unused_because`, this is no matter of names and identities.
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

# What is read, and changes no result where it stands.
NEUTRAL: tuple[Rule, ...] = (
    (("train.gamma", "train.weighted_class", "train.weighting"), "train.gamma is 1",
     lambda c: c["train.gamma"] == 1),
    (("train.beta", "train.regulariser"), "there is no regulariser",
     lambda c: c["train.objective"] == "td_dpo"
     and (c["train.beta"] == 0 or c["train.regulariser"] == "none")),
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
    """Why a point with this config ignores `key` of its config, or None where it does not."""
    section, _, rest = key.partition(".")
    name, _, inner = rest.partition(".")
    if key == "infer.samples" and not flat["infer.samples"]:
        return "no answer is drawn"
    owners = _OWNERS.get(name) if section == "train" else None
    if not owners:
        return None
    if flat["train.objective"] not in owners:
        return f"train.objective is {flat['train.objective']}"
    if name in ("gamma", "weighting") and flat["train.weighted_class"] is None:
        return "train.weighted_class is null"
    regulariser = flat["train.regulariser"]
    if name == "beta" and flat["train.objective"] == "td_dpo" and regulariser == "none":
        return "train.regulariser is none"
    if flat["train.tuning"] != TUNING_OF.get(name, flat["train.tuning"]):
        return f"train.tuning is {flat['train.tuning']}"
    if name == "importance" and inner != "alpha" and flat["train.importance.alpha"] == 0:
        return "train.importance.alpha is 0"
    return None


def unread_because(key: str, flat: Flat) -> str | None:
    """Why nothing reads `key` at a point with this config, None where something does."""
    return unused_because(key, flat) or _first(_about(key)[0], flat)


def effective(flat: Flat, keys: Iterable[str]) -> dict[str, Any]:
    """Those of `keys` that change a result, null where they do not, in one spelling.

    Two points that differ in `keys` alone are one run under two names where these are equal.
    """
    return {key: None if _is_idle(key, flat) else _spelled(key, flat) for key in keys}


def _is_idle(key: str, flat: Flat) -> bool:
    if key in INCIDENTAL or unread_because(key, flat) or _first(_about(key)[1], flat):
        return True
    trains = key.startswith("train.") or key in TRAINING_DATA
    return flat["train.epochs"] == 0 and trains and key not in UNTRAINED


@cache
def _about(key: str) -> tuple[list[Rule], list[Rule]]:
    """The rules of UNREAD and of NEUTRAL that are about a key."""
    unread, neutral = (
        [rule for rule in rules if any(f"{key}.".startswith(f"{k}.") for k in rule[0])]
        for rules in (UNREAD, NEUTRAL)
    )
    return unread, neutral


def _first(rules: Iterable[Rule], flat: Flat) -> str | None:
    return next((reason for _, reason, holds in rules if holds(flat)), None)


def _spelled(key: str, flat: Flat) -> Any:
    value = flat.get(key)
    if key == "train.importance.batch_size" and value is None:
        return flat["train.batch_size"]
    if key in ("train.lora.target_modules", "train.lora.layers") and isinstance(value, list):
        return sorted(set(value))
    return value
