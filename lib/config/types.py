"""Building blocks of the schema: a strict section, and types of numbers and paths."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lib.config.errors import listed, nearest

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Strict(BaseModel):
    """A section of a study: immutable, without unknown keys or type conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def known_columns(value: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    """Check that the keys of a task's `columns` (our name → the source's) are among `names`."""
    for name in value:
        if name not in names:
            raise ValueError(f"names among {listed(names)}, each with the source's column"
                             f"{nearest(name, names)}")  # fmt: skip
    return value


NAME_MAX, PATH_MAX = 255, 4096  # bytes of one name and of a whole path. Source: Linux limits.h
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def expand(text: str) -> str:
    """A path with `~`, `~user`, `$VAR` and `${VAR}` replaced; hub ids stay as they are.

    Raises ValueError, worded for "expected …", for an unknown variable or user, or an invalid path.
    """
    if not text.strip():
        raise ValueError("a path or a name, and it is empty")
    for bare, braced in _VARIABLE.findall(text):
        if not os.environ.get(bare or braced):
            raise ValueError(
                f"a path: the environment variable {bare or braced} is not set (or is empty)"
            )
    # In one pass, so that values are not expanded again.
    path = _VARIABLE.sub(lambda match: os.environ[match[1] or match[2]], text)
    if path.startswith("~"):
        home = os.path.expanduser(path)
        if home == path:
            raise ValueError(f"a path: there is no user {path[1:].partition('/')[0]!r}")
        path = home
    if unprintable := re.search(r"[\x00-\x1f\x7f]", path):
        raise ValueError(f"a path without the control character {unprintable[0]!r}")
    check_length(path)
    return path


def check_length(path: str | Path, more: int = 0) -> None:
    """Raise ValueError for a path that is too long; more: bytes that files below it add."""
    text = os.fspath(path)  # no Path is made: a study checks four a point
    for name in text.split(os.sep):
        if (size := len(os.fsencode(name))) > NAME_MAX:
            raise ValueError(f"names of at most {NAME_MAX} bytes, and {name[:24]}… has {size}")
    if (size := len(os.fsencode(os.path.join(os.getcwd(), text)))) + more > PATH_MAX:
        raise ValueError(f"a path of at most {PATH_MAX - more} bytes, and it has {size}")


PathText = Annotated[str, AfterValidator(expand)]  # a file, a directory, or a hub id


def check_url(url: str) -> str:
    """The http address of a server. Raises ValueError for one with user, query or fragment."""
    try:
        parts = urlsplit(url)
        place = parts.hostname and parts.port != 0  # a port above 65535 raises
        more = parts.username is not None or parts.query or parts.fragment or re.search(r"\s", url)
        usable = parts.scheme in ("http", "https") and place and not more
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("a URL such as http://localhost:8000/v1, without a key")
    return url


Url = Annotated[str, AfterValidator(check_url)]
