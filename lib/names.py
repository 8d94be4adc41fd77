"""The names of points: what a directory is called, from the values that a point has."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

Value = str | int | float | bool | None

# Files are called by what they are of: `.{point}_{topic}.png.{random}.tmp` has to fit in the 255
# bytes that a file system gives to a name.
NAME_BYTES = 150


def normal(text: str) -> str:
    """Text in the one form in which names are compared and written: Unicode's NFC."""
    return unicodedata.normalize("NFC", text)


def is_name(text: str) -> bool:
    """Whether this can name a study: letters and digits of any script, `_`, `.`, `+` and `-`."""
    return bool(text) and not _separators(text) and text[0] not in "_.+-"


def is_axis(text: str) -> bool:
    """Whether this can name an axis: letters, none of them a capital, and `_` between them.

    No digit, since a value follows the axis in the names of points.
    """
    return text.isidentifier() and text == text.lower() and not re.search(r"^_|\d", text)


def kind_and_value(value: Value) -> tuple[str, Value]:
    """What makes two values of an axis the same: 2 is 2.0, but neither "2" nor true is."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "number" if number else type(value).__name__, value


@lru_cache(maxsize=1 << 16, typed=True)
def slug(value: Value) -> str:
    """A value as it stands in a directory name: `1:2` → `1-2`, `2.0` → `2`, None → `none`."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        value = int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # with its sign
    text = (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
    for character in _separators(text := normal(text), keep=".+-"):
        text = text.replace(character, "\0")
    return re.sub("\0+", "-", text).strip("-.") or "empty"


def point_name(values: Mapping[str, Value]) -> str:
    """`td_dpo_beta0.05_tau1_seed42`: the variant first, then the axes in the order given."""
    # A variant keeps its underscores: td_dpo is found again under the name that the study gives it.
    parts = []
    if "variant" in values:
        parts = ["_".join(slug(part) for part in str(values["variant"]).split("_"))]
    parts += [axis + slug(value) for axis, value in values.items() if axis != "variant"]
    return "_".join(parts)


def unique_names(named: Iterable[Mapping[str, Value]], taken: Iterable[str]) -> list[str]:
    """A name for each point, none of them `taken` and no two alike but for capitals.

    A name that an earlier point has, or that is too long for a file system, ends in a hash of its
    values, so that a point keeps its name when others follow it.
    """
    seen = {name.casefold() for name in taken}
    names = []
    for values in named:
        name = point_name(values)
        if len(name.encode()) > NAME_BYTES or name.casefold() in seen:
            name = _hashed(name, values)
        seen.add(name.casefold())
        names.append(name)
    return names


def _hashed(name: str, values: Mapping[str, Value]) -> str:
    content = json.dumps([[axis, slug(v) if kind_and_value(v)[0] == "number" else v]
                          for axis, v in values.items()])  # fmt: skip
    ending = "-" + hashlib.sha256(content.encode()).hexdigest()[:8]
    return name.encode()[: NAME_BYTES - len(ending)].decode(errors="ignore") + ending


def _separators(text: str, keep: str = "_.+-") -> set[str]:
    """The characters that are no part of a name: neither letter, mark nor digit, nor in `keep`."""
    return {c for c in set(text) if c not in keep and unicodedata.category(c)[0] not in "LMN"}
