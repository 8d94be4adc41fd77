"""What the sections of a study file are made of: a strict section, and the types of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lib.errors import listed, nearest

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
