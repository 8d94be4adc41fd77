"""A study's config validated by the schema, with one line for the first error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError, create_model

from lib.config import tasks
from lib.config.errors import BadInput, listed, nearest
from lib.config.schema import RENAMED, Config

MOST_SHOWN = 300  # characters of a wrong value in an error line


def validate(raw: dict[str, Any], path: str, origin: Mapping[str, str]) -> Config:
    """The typed config of nested values; origin: dotted key → where its value was given.

    Raises BadInput with that place, the key, and what was found and expected.
    """
    try:
        kind = config_type(tuple(raw["tasks"])) if _is_words(raw.get("tasks")) else Config
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise first_error(error, kind, path, origin) from None


@cache
def config_type(names: tuple[str, ...]) -> type[Config]:
    """Config with the sections of tasks: `data` of the first, of others the section of their name.

    Raises BadInput for a task that does not exist.
    """
    tasks.check(names)
    first, *others = names
    kinds = {"data": tasks.get(first).schema}
    kinds |= {name: tasks.get(name).schema for name in others}
    # A missing section is validated as an empty one: it may have required keys.
    fields = {
        name: (kind, ... if name == "data" else Field(default={}, validate_default=True))
        for name, kind in kinds.items()
    }
    return create_model("Config", __base__=Config, **fields)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(w, str) for w in value)


def first_error(
    error: ValidationError,
    schema: type[BaseModel],
    path: str,
    origin: Mapping[str, str],
) -> BadInput:
    """The first of a schema's errors as one line, see `validate`."""
    first, *others = error.errors()
    loc = [str(part) for part in first["loc"]]
    unknown = loc.pop() if first["type"] == "extra_forbidden" else None
    # pydantic adds the members of a union to the location, such as list[str].
    loc = [part for part in loc if "[" not in part] + ([unknown] if unknown else [])
    key = ".".join(loc)
    # Name what was given, which may be above or below the wrong key.
    related = (w for k, w in origin.items() if f"{key}.".startswith(f"{k}."))
    around = (w for k, w in origin.items() if k.startswith(f"{key}."))
    where = next(related, None) or next(around, None) or f"{path}: "
    more = f" (and {len(others)} more)" if others else ""
    if key in RENAMED:
        return BadInput(f"{where}{key}: renamed, expected {RENAMED[key]}{more}")
    if unknown:
        known = _known_keys(schema, loc[:-1])
        return BadInput(
            f"{where}{key}: unknown key, expected one of {listed(known, 24)}"
            f"{nearest(loc[-1], known)}{more}"
        )
    if first["type"] == "missing":
        return BadInput(f"{where}{key}: missing{more}")
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = re.sub(r"a valid dictionary( or instance of \w+)?", "key: value pairs", expected)
    hint = ""
    if first["type"] == "literal_error":
        hint = nearest(first["input"], re.findall(r"'([^']*)'", first["msg"]))
    if first["type"] == "string_type" and isinstance(first["input"], (int, float)):
        hint = _quoted(key, first["input"], where.startswith("command line"))
    value = repr(first["input"])
    value = value if len(value) <= MOST_SHOWN else f"{value[:MOST_SHOWN]}…"
    return BadInput(f"{where}{key}: found {value}, expected {expected}{hint}{more}")


def _quoted(key: str, value: float | bool, in_shell: bool) -> str:
    """A hint to quote a text that YAML reads as a number or a bool.

    The spelling of a float is unknown: 58899e0 is 58899.0.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = "…" if isinstance(value, float) else text
    if key.rpartition(".")[2].isdecimal():  # an item of a list
        return f'; quote it: "{text}"'
    return f"; quote it: {key}='\"{text}\"'" if in_shell else f'; quote it: {key}: "{text}"'


def _known_keys(schema: type[BaseModel], loc: Sequence[str]) -> list[str]:
    for part in loc:
        if part not in schema.model_fields:
            return []
        annotation = schema.model_fields[part].annotation
        nested = [
            t
            for t in (annotation, *get_args(annotation))
            if isinstance(t, type) and issubclass(t, BaseModel)
        ]
        if not nested:
            return []
        schema = nested[0]
    return list(schema.model_fields)


def dotted_keys(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """`train: {gamma: 2}` → `train.gamma: 2`, so that a partial section keeps its other keys."""
    flat: dict[str, Any] = {}
    for key, value in bundle.items():
        section = key == "data" or key in tasks.names() or _known_keys(Config, key.split("."))
        if isinstance(value, dict) and section:
            flat |= dotted_keys({f"{key}.{inner}": v for inner, v in value.items()})
        else:
            flat[key] = value
    return flat
