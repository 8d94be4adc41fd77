"""Rows of a table as plain Python values."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

Json = dict[str, Any]


def plain(value: Any) -> Any:
    """A cell as JSON has it: None where it is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def records(table: pd.DataFrame) -> list[Json]:
    """Rows of a table, an empty cell as None."""
    columns = [[plain(value) for value in table[name].tolist()] for name in table]
    return [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True)]
