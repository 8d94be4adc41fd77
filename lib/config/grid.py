"""The grid of a study: blocks of axis values, decoding of indices, and names of points.

A block is an ordered product of axes, the last one varying fastest. A grid is a list of blocks,
concatenated. An index is decoded by mixed radix, in constant time.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, prod
from typing import Any

from lib.config.errors import BadInput, listed, nearest

Value = str | int | float | bool | None
Block = Mapping[str, tuple[Value, ...]]
MOST_POINTS = 100_000  # loading a study resolves every point


@dataclass(frozen=True)
class Grid:
    """Blocks of axis values, concatenated.

    blocks: axis → values; the order of axes is that of decoding.
    """

    blocks: tuple[Block, ...]

    def __len__(self) -> int:
        return sum(map(_size, self.blocks))

    def __iter__(self) -> Iterator[dict[str, Value]]:
        return map(self.values, range(len(self)))

    def values(self, index: int) -> dict[str, Value]:
        """Axis values of point `index`, in O(axes). Raises BadInput outside 0 … size − 1."""
        if not 0 <= index < len(self):
            raise BadInput(f"index {index} is outside the grid; valid are 0 to {len(self) - 1}")
        for block in self.blocks:
            if index < _size(block):
                break
            index -= _size(block)
        values: dict[str, Value] = {}
        for axis, options in reversed(block.items()):
            index, digit = divmod(index, len(options))
            values[axis] = options[digit]
        return {axis: values[axis] for axis in block}

    def axis_values(self, axis: str) -> list[Value]:
        """The distinct values of `axis` in all blocks, in the order of the file."""
        values = (value for block in self.blocks for value in block.get(axis, ()))
        return list(dict.fromkeys(values))


def _size(block: Block) -> int:
    return prod(map(len, block.values()))


def parse_grid(blocks: Sequence[Mapping[str, Any]], axes: Sequence[str]) -> Grid:
    """A Grid from the `grid:` list of a study; a scalar stands for a list of one.

    Raises BadInput for an unknown axis, an empty or nested list, a number that is not finite, a
    value given twice in a block, and more points than MOST_POINTS.
    """
    parsed = []
    for number, block in enumerate(blocks, 1):
        where = f"grid: block {number}"
        if not isinstance(block, Mapping) or not block:
            raise BadInput(f"{where}: found {block!r}, expected axis: value pairs")
        options: dict[str, tuple[Value, ...]] = {}
        for axis, value in block.items():
            if axis not in axes:
                known = f"expected one of {listed(axes)}{nearest(axis, axes)}"
                raise BadInput(f"{where}: unknown axis {axis!r}; {known}")
            values = tuple(value) if isinstance(value, list) else (value,)
            if not values:
                raise BadInput(f"{where}: axis {axis} has an empty list of values")
            if bad := [v for v in values if isinstance(v, (list, dict))]:
                raise BadInput(f"{where}: axis {axis}: found {bad[0]!r}, expected plain values")
            if bad := [v for v in values if isinstance(v, float) and not isfinite(v)]:
                raise BadInput(f"{where}: axis {axis}: found {bad[0]!r}, expected a finite number")
            (_, value), times = Counter(map(kind_and_value, values)).most_common(1)[0]
            if times > 1:
                raise BadInput(
                    f"{where}: duplicate point: axis {axis} has a value twice: {value!r}"
                )
            options[axis] = values
        parsed.append(options)
    grid = Grid(tuple(parsed))
    if len(grid) > MOST_POINTS:
        raise BadInput(f"grid: found {len(grid):,} points, expected at most {MOST_POINTS:,}")
    return grid


def parse_indices(text: str, size: int, what: str = "--index", whole: str = "grid") -> list[int]:
    """`0`, `0-18` or `0,3,5-7` → sorted indices. Raises BadInput when malformed or out of range."""
    valid = f"valid are 0 to {size - 1}"
    indices: set[int] = set()
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*(\d{1,12})(?:\s*-\s*(\d{1,12}))?\s*", part)
        if not match:
            raise BadInput(f"{what}: found {text!r}, expected a number or a range; {valid}")
        first, last = int(match[1]), int(match[2] or match[1])
        if max(first, last) >= size or last < first:
            raise BadInput(f"{what}: {part.strip()} is outside the {whole}; {valid}")
        indices.update(range(first, last + 1))
    return sorted(indices)


def format_indices(indices: Sequence[int]) -> str:
    """The inverse of `parse_indices`: [0, 1, 2, 5] → `0-2,5`, as SLURM's --array takes it."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def digest(content: Any) -> str:
    """12 hex digits of the SHA-256 of JSON-able content, independent of the order of keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length as a table of aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


# Files are named after points: `.{point}_{topic}.png.{random}.tmp` has to fit in 255 bytes.
NAME_BYTES = 150


def normal(text: str) -> str:
    """Text in Unicode's NFC, in which names are compared and written."""
    return unicodedata.normalize("NFC", text)


def is_name(text: str) -> bool:
    """Whether this can name a study: letters and digits of any script, `_`, `.`, `+` and `-`."""
    return bool(text) and not _separators(text) and text[0] not in "_.+-"


def is_axis(text: str) -> bool:
    """Whether this can name an axis: small letters and `_`.

    No digits, since in names of points a value follows the axis.
    """
    return text.isidentifier() and text == text.lower() and not re.search(r"^_|\d", text)


def kind_and_value(value: Value) -> tuple[str, Value]:
    """Key for equality of axis values: 2 equals 2.0, but neither "2" nor true."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "number" if number else type(value).__name__, value


@lru_cache(maxsize=1 << 16, typed=True)
def slug(value: Value) -> str:
    """A value in a directory name: `1:2` → `1-2`, `2.0` → `2`, None → `none`."""
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
    # A variant keeps its underscores.
    parts = []
    if "variant" in values:
        parts = ["_".join(slug(part) for part in str(values["variant"]).split("_"))]
    parts += [axis + slug(value) for axis, value in values.items() if axis != "variant"]
    return "_".join(parts)


def unique_names(named: Iterable[Mapping[str, Value]], taken: Iterable[str]) -> list[str]:
    """A name for each point, not `taken` and unique even without case.

    A name that an earlier point has, or that is too long, ends in a hash of its values, so that
    points added later do not change it.
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
    """Characters of a text that are neither letters, marks, digits nor in `keep`."""
    return {c for c in set(text) if c not in keep and unicodedata.category(c)[0] not in "LMN"}
