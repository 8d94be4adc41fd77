"""What the sections of a study file are made of: a strict section, and the types of its numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lib.config.errors import listed, nearest

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Strict(BaseModel):
    """A section of a study: unknown keys and other types are refused; nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def known_columns(value: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    """A task's `columns`, our name → the source's, whose names must be among these."""
    for name in value:
        if name not in names:
            raise ValueError(f"names among {listed(names)}, each with the source's column"
                             f"{nearest(name, names)}")  # fmt: skip
    return value


NAME_MAX, PATH_MAX = 255, 4096  # bytes of one name and of a whole path. Source: Linux limits.h
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def expand(text: str) -> str:
    """A path with `~`, `~user`, `$VAR` and `${VAR}` replaced; any other text stays as it is.

    So hub ids and words such as `synthetic` pass unchanged. Raises ValueError, worded for
    "expected …", where a variable or user does not exist, or where no file could have that path.
    """
    if not text.strip():
        raise ValueError("a path or a name, and it is empty")
    for bare, braced in _VARIABLE.findall(text):
        if not os.environ.get(bare or braced):
            raise ValueError(
                f"a path: the environment variable {bare or braced} is not set (or is empty)"
            )
    # One pass: what a variable holds is not expanded again.
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
    """Raise ValueError where no file system takes this path.

    more: bytes that what lies below it adds to the whole.
    """
    for name in Path(path).parts:
        if (size := len(os.fsencode(name))) > NAME_MAX:
            raise ValueError(f"names of at most {NAME_MAX} bytes, and {name[:24]}… has {size}")
    if (size := len(os.fsencode(Path(path).absolute()))) + more > PATH_MAX:
        raise ValueError(f"a path of at most {PATH_MAX - more} bytes, and it has {size}")


PathText = Annotated[str, AfterValidator(expand)]  # a file, a directory, or a hub id
