"""The `search:` section of a study file: type, default and meaning of each key.

search:
  metric: validation_accuracy
  fixed: {variant: iw_lora, seed: 42}
  trials: 30
  space:
    train.learning_rate: {float: [1e-5, 5e-4], log: true}
    train.batch_size: {categorical: [16, 32, 64]}
    train.lora.r: {int: [4, 32], step: 4}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from lib.config.errors import BadInput, listed, nearest
from lib.config.types import Count, Seed, Strict
from lib.config.validation import first_error

Scalar = str | int | float | bool
KINDS = ("float", "int", "categorical")
MOST_LISTED = 64  # an int with at most this many values has all of them checked
SPELLINGS = {"maximise": "maximize", "minimise": "minimize"}


@dataclass(frozen=True)
class Dimension:
    """The search space of a key: `values` of a categorical, else `low` to `high`, both included."""

    kind: str
    values: tuple[Scalar, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: int = 1  # of an int

    def samples(self) -> tuple[Scalar, ...]:
        """Values to check: all if there are few, else the lowest and the highest."""
        if self.kind == "categorical":
            return self.values
        every = range(int(self.low), int(self.high) + 1, self.step)
        few = self.kind == "int" and len(every) <= MOST_LISTED
        return tuple(every) if few else (self.low, self.high)

    def describe(self) -> dict[str, Any]:
        """The dimension as in a study file."""
        if self.kind == "categorical":
            return {self.kind: list(self.values)}
        more = ({"log": True} if self.log else {}) | ({"step": self.step} if self.step > 1 else {})
        return {self.kind: [self.low, self.high], **more}

    def place(self, value: Scalar) -> float:
        """A value's position between low (0) and high (1), on the dimension's scale."""
        scale = math.log if self.log else float
        return (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))

    def distance(self, one: Scalar, other: Scalar) -> float:
        """Distance of two values, from 0 to 1; different values of a categorical are 1 apart."""
        if self.kind == "categorical":
            return float(one != other)
        return abs(self.place(one) - self.place(other))


class Search(Strict):
    """Which settings of training are searched, by which metric, and how."""

    metric: str  # a validation metric in train.jsonl; metrics of the test set are refused
    direction: Literal["maximize", "minimize", "maximise", "minimise"] | None = None  # checked only
    trials: Annotated[int, Field(ge=1, le=1000)] = 30
    workers: Count = 8  # concurrent trials; each uses the results of those before it
    sampler: Literal["tpe", "random"] = "tpe"  # tpe starts with `startup` random trials
    seed: Seed = 0  # of the sampler; the seed of each trial's draw derives from it
    pruner: Literal["none", "median", "halving"] = "none"  # stops poor trials at a validation
    startup: Annotated[int, Field(ge=0)] = 10  # trials before tpe and pruner start
    warmup: Annotated[int, Field(ge=0)] = 1  # validations of a trial before it can be pruned
    # Values of the grid's axes in every trial, including the training seed.
    fixed: dict[str, Scalar | None] = {}
    seeds: Count = 3  # new seeds of the study that is written for the best trial
    space: Annotated[dict[str, Any], Field(min_length=1)]  # key of `train` → its values


class _Study(Strict):
    """Lets errors name `search.metric`, not `metric`."""

    search: Search


def parse(given: Any, path: str) -> tuple[Search, dict[str, Dimension]]:
    """The section and its space. Raises BadInput with the file and the key."""
    try:
        section = _Study.model_validate({"search": given}).search
    except ValidationError as error:
        raise first_error(error, _Study, path, {}) from None
    space = {
        key: dimension(values, f"{path}: search.space.{key}")
        for key, values in section.space.items()
    }
    return section, space


def dimension(given: Any, where: str) -> Dimension:
    """The search space of one key. Raises BadInput, starting with `where`, for an invalid one."""
    example = "such as {float: [1e-5, 1e-3], log: true} or {categorical: [16, 32]}"
    if not isinstance(given, Mapping) or not given:
        raise BadInput(f"{where}: found {given!r}, expected values {example}")
    known = (*KINDS, "log", "step")
    if unknown := [key for key in given if key not in known]:
        raise BadInput(f"{where}: {unknown[0]}: unknown key, expected {listed(known)}"
                       f"{nearest(unknown[0], known)}")  # fmt: skip
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) != 1:
        raise BadInput(f"{where}: found {listed(kinds) or 'none'}, expected one of "
                       f"{listed(KINDS)}, {example}")  # fmt: skip
    kind, values = kinds[0], given[kinds[0]]
    log, step = given.get("log", False), given.get("step", 1)
    if not isinstance(log, bool):
        raise BadInput(f"{where}.log: found {log!r}, expected true or false")
    if kind == "categorical":
        if not isinstance(values, list) or len(values) < 2:
            raise BadInput(f"{where}.categorical: found {values!r}, expected a list of two or more")
        if bad := [v for v in values if not isinstance(v, Scalar)]:
            raise BadInput(f"{where}.categorical: found {bad[0]!r}, expected plain values")
        if twice := [v for i, v in enumerate(values) if v in values[:i]]:
            raise BadInput(f"{where}.categorical: found {twice[0]!r} twice")
        if more := [key for key in ("log", "step") if key in given]:
            raise BadInput(f"{where}.{more[0]}: is for numbers, found beside categorical")
        return Dimension(kind, tuple(values))
    return _interval(kind, values, log, step, where)


def _interval(kind: str, values: Any, log: bool, step: Any, where: str) -> Dimension:
    wanted = (int,) if kind == "int" else (int, float)
    numbers = isinstance(values, list) and all(
        isinstance(v, wanted) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )
    if not numbers or len(values) != 2:
        noun = "whole numbers" if kind == "int" else "numbers"
        raise BadInput(f"{where}.{kind}: found {values!r}, expected two {noun}: [low, high]")
    low, high = values
    if low >= high:
        raise BadInput(f"{where}.{kind}: found low {low:g} and high {high:g}, expected low < high")
    if log and low <= 0:
        raise BadInput(f"{where}: log: found low {low:g}, expected a number above 0 for a "
                       f"logarithmic scale")  # fmt: skip
    whole = isinstance(step, int) and not isinstance(step, bool) and step >= 1
    if not whole or (kind == "float" and step != 1) or (log and step != 1):
        raise BadInput(f"{where}.step: found {step!r}, expected a whole number of 1 or more, of an "
                       f"int without log")  # fmt: skip
    if (high - low) % step and kind == "int":
        raise BadInput(f"{where}.step: found {step}, which does not lead from {low} to {high}")
    if kind == "float":
        low, high = float(low), float(high)
    return Dimension(kind, low=low, high=high, log=log, step=step)
