"""The structure of a study file: sections, axes, variants, overrides and the limits of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.errors import BadInput, listed, nearest
from lib.config.grid import NAME_BYTES, Grid, is_axis, is_name, normal
from lib.config.schema import Config
from lib.config.types import expand
from lib.config.validation import dotted_keys
from lib.config.yaml import get_attribute, has_attribute, read_yaml, with_attribute

SECTIONS = (*Config.model_fields, *tasks.names())  # an additional task's section has its name


def read_file(path: str) -> dict[str, Any]:
    """The sections of a study file. Raises BadInput where it is missing or not key: value pairs."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        studies = sorted(str(p) for p in Path("configs").glob("*.yaml"))
        raise BadInput(
            f"{path}: no such study file, expected one of {listed(studies)}{nearest(path, studies)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None
    raw = read_yaml(text, path)
    if not isinstance(raw, dict):
        raise BadInput(f"{path}: found {type(raw).__name__}, expected key: value sections")
    return raw


def expect(raw: Mapping[str, Any], key: str, kind: type, path: str) -> Any:
    """A non-empty section of this type. Raises BadInput for any other."""
    value = raw.get(key)
    if not isinstance(value, kind) or not value:
        noun = {list: "a list of blocks", dict: "key: value pairs"}[kind]
        raise BadInput(f"{path}: {key}: found {value!r}, expected {noun}")
    return value


def name_keys(raw: dict[str, Any], path: str) -> None:
    """Turn dotted keys of the grid into axes: `train.seed` becomes the axis `seed`.

    Raises BadInput where that axis is another key.
    """
    blocks, axes = raw.get("grid"), raw.get("axes") or {}
    if not isinstance(blocks, list) or not isinstance(axes, dict):
        return  # refused later
    axes, named = dict(axes), {key: axis for axis, key in axes.items() if isinstance(key, str)}
    for block in (block for block in blocks if isinstance(block, dict)):
        for key in (key for key in block if isinstance(key, str) and "." in key):
            axis = key.rpartition(".")[2]
            if key not in named and axis in axes:
                raise BadInput(f"{path}: grid: {key}: the axis {axis!r} already is {axes[axis]}; "
                               f"name {key} under axes")  # fmt: skip
            axes.setdefault(named.setdefault(key, axis), key)
            if named[key] in block:
                raise BadInput(f"{path}: grid: {key} and {named[key]} are one axis, found both")
    known = [{named.get(k, k): v for k, v in b.items()} if isinstance(b, dict) else b
             for b in blocks]  # fmt: skip
    raw |= {"axes": axes, "grid": known}


def axes_and_variants(raw: dict[str, Any], path: str) -> tuple[dict[str, str], dict[str, dict]]:
    """Axis → key, and variant → overrides. Raises BadInput for invalid ones."""
    axes = expect(raw, "axes", dict, path) if raw.get("axes") else {}
    for axis, key in axes.items():
        if axis == "variant" or not isinstance(axis, str) or not is_axis(axis):
            raise BadInput(f"{path}: axes: {axis!r} cannot name an axis, expected small letters "
                           f"and '_', such as seed")  # fmt: skip
        if not isinstance(key, str) or key.split(".")[0] not in SECTIONS:
            raise BadInput(f"{path}: axes.{axis}: found {key!r}, expected a key such as train.seed")
        if (first := next(other for other in axes if axes[other] == key)) != axis:
            raise BadInput(f"{path}: axes.{axis}: {key} is already swept by the axis {first!r}")
    variants = expect(raw, "variants", dict, path) if raw.get("variants") else {}
    for variant in variants:
        if not isinstance(variant, str) or not variant.isprintable() or not variant.strip():
            raise BadInput(f"{path}: variants: found {variant!r}, expected a name (or quote it)")
    return axes, {v: bundle(given, f"{path}: variants.{v}") for v, given in variants.items()}


def bundle(given: Any, where: str) -> dict[str, Any]:
    """A variant's overrides, or the trial's, under dotted keys."""
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise BadInput(f"{where}: found {given!r}, expected key: value pairs as in train.gamma: 2")
    return dotted_keys(given)


def refuse_swept(
    given: Mapping[str, Any], axes: Mapping[str, str], variants: Mapping[str, dict], grid: Grid
) -> None:
    """Raise BadInput for an override of a key that the grid sets: points would become the same."""
    for axis, key in axes.items():
        if key in given and grid.axis_values(axis):
            raise BadInput(
                f"command line: {key} is swept by the grid's axis {axis!r}; "
                f"change the grid, or pick points with --index"
            )
    for variant in grid.axis_values("variant"):
        for key in given:
            if key in variants[variant]:
                raise BadInput(f"command line: {key} is set by the grid's variant {variant!r}")


def check_tasks(value: Any, where: str) -> list[str]:
    """The tasks of a study. Raises BadInput for duplicates, and for a first one without training.

    Everything else is left to the schema, with an empty list.
    """
    if not isinstance(value, list) or not all(isinstance(task, str) for task in value) or not value:
        return []
    if twice := [task for task in value if value.count(task) > 1]:
        raise BadInput(f"{where}: tasks: found {twice[0]!r} twice, expected each task once")
    if value[0] in tasks.names() and tasks.get(value[0]).batch is None:
        trained = [task for task in tasks.names() if tasks.get(task).batch]
        raise BadInput(f"{where}: tasks: found {value[0]!r} first, expected one of "
                       f"{listed(trained)}: the first task is trained on")  # fmt: skip
    return value


def drop_sections(
    raw: dict[str, Any], variants: Mapping[str, dict], given: Mapping[str, Any], path: str
) -> None:
    """Remove the sections of tasks that the override of `tasks` leaves out.

    given: the overrides. Raises BadInput for a section of a task that the file's `tasks` lack.
    """
    where = "command line" if "tasks" in given else path
    chosen = check_tasks(given.get("tasks", raw.get("tasks")), where)
    others = [task for task in tasks.names() if chosen and task not in chosen]
    for task in others:
        if "tasks" not in given and task in raw:
            raise BadInput(f"{path}: {task}: the section of a task that is not in tasks "
                           f"({listed(chosen)}); add the task, or remove the section")  # fmt: skip
        raw.pop(task, None)
        for bundled in (raw["trial"], *variants.values()):
            for key in [key for key in bundled if key.partition(".")[0] == task]:
                del bundled[key]


def checked_name(name: Any, path: str) -> str:
    """The name of a study. Raises BadInput for an unusable name of a directory."""
    if not isinstance(name, str):
        hint = "" if name is None else f'; quote it: name: "{name}"'
        raise BadInput(f"{path}: name: found {name!r}, expected letters, digits, '_', '-' or '.'"
                       f"{hint}")  # fmt: skip
    name = normal(name)
    if not is_name(name):
        raise BadInput(f"{path}: name: found {name!r}, expected letters, digits, '_', '-' or '.', "
                       f"the first a letter or digit")  # fmt: skip
    if (size := len(name.encode())) > NAME_BYTES:
        raise BadInput(f"{path}: name: found {size} bytes, expected at most {NAME_BYTES}")
    return name


def results_path(given: Any, path: str) -> Path:
    """The directory of all results. Raises BadInput for an invalid path."""
    if not isinstance(given, str) or not given.strip():
        raise BadInput(f"{path}: results_dir: found {given!r}, expected a directory")
    try:
        return Path(expand(given))
    except ValueError as error:
        raise BadInput(f"{path}: results_dir: found {given!r}, expected {error}") from None


# What a trial has at the most, whatever the file says; keys that its tasks lack are left out.
LIMITS = {  # null asks for all there is: then the limit stands as well
    "train.epochs": 1.0,
    "train.max_steps": 2,
    "train.batch_size": 4,
    "train.importance.batches": 2,
    "model.max_length": 2048,
    "data.validation_rows": 8,
    "data.test_rows": 8,
    "infer.max_new_tokens": 16,
}
# By what training is fed (`Task.batch`): rows that are truncated and as many as there are. Of every
# pair a reference is scored.
LIMITS_OF = {
    "pairs": {"model.max_length": 512, "data.train_rows": 16},
    "classes": {"model.max_length": 256, "data.train_rows": 64, "train.batch_size": 8},
}
LIMITS_OF_FURTHER_TASKS = {"limit": 8, "max_new_tokens": 16}  # of their own sections
NULL_IS_NONE = {"train.eval_steps": 1, "train.importance.batch_size": 8}  # limits of what is given
FIXED = {"tracking": "none", "train.processes": 1, "train.fsdp": None}


def shrink(config: Config) -> Config:
    """A point's config within the limits of a trial."""
    first, *further = config.tasks
    limits = LIMITS | LIMITS_OF.get(tasks.get(first).batch, {})
    limits |= {f"{task}.{k}": v for task in further for k, v in LIMITS_OF_FURTHER_TASKS.items()}
    changes: dict[str, Any] = dict(FIXED)
    for key, limit in limits.items():
        if has_attribute(config, key):
            value = get_attribute(config, key)
            changes[key] = limit if value is None else min(value, limit)
    for key, limit in NULL_IS_NONE.items():
        value = get_attribute(config, key)
        changes[key] = value and min(value, limit)
    for key in ("train.precision", "infer.precision"):
        if get_attribute(config, key) == "bf16":
            changes[key] = "auto"
    for key, value in changes.items():
        config = with_attribute(config, key, value)
    return config


def without_model(variant: Mapping[str, Any], trial: Mapping[str, Any]) -> dict[str, Any]:
    """A variant without the keys of `model` that the trial sets."""
    return {k: v for k, v in variant.items() if not (k in trial and k.startswith("model."))}
