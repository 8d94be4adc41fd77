"""Nested values: read from YAML, addressed by dotted keys, overridden on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from lib.config.errors import BadInput


class _Loader(yaml.CSafeLoader):
    """Scalars of YAML 1.2 (`1:2` and `no` are texts, `1e-5` a number) with 1.1's merge key `<<`."""

    yaml_implicit_resolvers: dict = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise _fault(node.value[position][0], f"key {key!r} is given twice")
        for key, _ in node.value:
            if (key.tag, key.value) == (_TEXT, "<<") and not key.style:
                key.tag = "tag:yaml.org,2002:merge"
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > MOST_DIGITS:
            raise _fault(node, f"a whole number of {len(node.value)} digits, expected at most "
                               f"{MOST_DIGITS} (or quote it, if it is a text)")  # fmt: skip
        return int(self.construct_scalar(node))  # PyYAML would read 010 as 8, and fail at 08

    def construct_yaml_str(self, node: yaml.ScalarNode) -> str:
        if bad := _UNWRITABLE.search(text := self.construct_scalar(node)):
            raise _fault(node, f"the character {bad[0]!r}, which no text file can contain")
        return text


MOST_DIGITS = 300  # the range of a float
_TEXT = "tag:yaml.org,2002:str"
_UNWRITABLE = re.compile("[\\x00\ud800-\udfff]")  # NUL and lone surrogates


def _fault(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor(_TEXT, _Loader.construct_yaml_str)

for _tag, _pattern, _first in (
    ("bool", r"true|false|True|False", "tfTF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def read_yaml(text: str, where: str) -> Any:
    """Safely parsed YAML. Raises BadInput with `where` and the line."""
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
        json.dumps(content, default=str)  # fails for an anchor that contains itself
        return content
    except RecursionError:
        raise BadInput(f"{where}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a scalar that does not fit its tag
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise BadInput(f"{where}: {line}{problem}") from None


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def copy_sections(value: Any) -> Any:
    """A copy of nested dicts that shares all other values, for `put`."""
    if not isinstance(value, dict):
        return value
    return {key: copy_sections(inner) for key, inner in value.items()}


def put(nested: dict[str, Any], dotted: str, value: Any, where: str) -> None:
    """Set `a.b.c` in nested dicts. Raises BadInput where `a` or `a.b` is not a section."""
    *sections, last = dotted.split(".")
    for section in sections:
        if nested.get(section) is None:
            nested[section] = {}
        nested = nested[section]
        if not isinstance(nested, dict):
            raise BadInput(f"{where}: {section!r} is not a section but {nested!r}")
    nested[last] = value


def get_attribute(config: Any, dotted: str) -> Any:
    """The value at `a.b.c` of a typed config, which may have mappings inside."""
    for part in dotted.split("."):
        config = config[part] if isinstance(config, Mapping) else getattr(config, part)
    return config


def has_attribute(config: Any, dotted: str) -> bool:
    """Whether a typed config has a key `a.b.c`."""
    *sections, last = dotted.split(".")
    for section in sections:
        config = getattr(config, section, None)
    return hasattr(config, last)


def with_attribute(config: Any, dotted: str, value: Any) -> Any:
    """A copy of a typed config with another value at `a.b.c`, which is not validated."""
    section, _, rest = dotted.partition(".")
    inner = with_attribute(getattr(config, section), rest, value) if rest else value
    return config.model_copy(update={section: inner})


def parse_override(text: str) -> tuple[str, Any]:
    """`train.epochs=2` → ("train.epochs", 2); the value is read as YAML."""
    key, sign, value = text.partition("=")
    if not sign or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise BadInput(f"command line: found {text!r}, expected key=value, as in train.epochs=2")
    return key, read_yaml(value, f"command line: {key}")
