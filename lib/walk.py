"""Every point of a study, quickly: the settings that it resolves to, without resolving each.

An axis sets one key, so the points of a block and variant differ in the keys of its axes alone.
Each value of each axis is resolved once; any point is then put together from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from lib.names import Value
from lib.schema import Config
from lib.settings import flatten

if TYPE_CHECKING:
    from lib.study import Study


@dataclass(frozen=True)
class Corner:
    """A block with one variant: its first point, and what each value of each axis resolves to."""

    first: dict[str, Value]
    flat: dict[str, Any]  # the first point's config, dotted key → value
    resolved: dict[str, list[Any]]  # axis → what its key holds, in the order of the block
    configs: list[tuple[dict[str, Value], Config]]  # points in which every value occurs


def corners(study: Study) -> list[Corner]:
    """The corners of a grid, block by block. Raises BadInput for what no schema allows."""
    return [
        _corner(study, {**block, "variant": (variant,)} if "variant" in block else block)
        for block in study.grid.blocks
        for variant in block.get("variant", (None,))
    ]


def _corner(study: Study, block: Mapping[str, Sequence[Value]]) -> Corner:
    first = {axis: options[0] for axis, options in block.items()}
    configs = [(first, study.resolve(first))]
    base = flatten(configs[0][1].model_dump())
    resolved = {}
    for axis, options in block.items():
        if axis == "variant":
            continue
        resolved[axis] = [base.get(study.axes[axis])]
        for value in options[1:]:
            config = study.resolve(first | {axis: value})
            configs.append((first | {axis: value}, config))
            resolved[axis].append(flatten(config.model_dump()).get(study.axes[axis]))
    return Corner(first, base, resolved, configs)


def walk(study: Study) -> Iterator[tuple[dict[str, Value], dict[str, Any]]]:
    """(axis values, flat config) of every point, in the order of the grid."""
    made = iter(study.corners)
    for block in study.grid.blocks:
        of_variant = {variant: next(made) for variant in block.get("variant", (None,))}
        for values in product(*map(enumerate, block.values())):
            named = {axis: value for axis, (_, value) in zip(block, values, strict=True)}
            corner = of_variant[named.get("variant")]
            swept = {
                study.axes[axis]: corner.resolved[axis][place]
                for axis, (place, _) in zip(block, values, strict=True)
                if axis != "variant"
            }
            yield named, {**corner.flat, **swept}


def varying(study: Study) -> list[str]:
    """The keys that are not the same at every point."""
    seen: dict[str, Any] = {}
    found = {study.axes[axis] for c in study.corners for axis in c.resolved
             if any(value != c.resolved[axis][0] for value in c.resolved[axis])}  # fmt: skip
    for corner in study.corners:
        for key, value in corner.flat.items():
            if seen.setdefault(key, value) != value:
                found.add(key)
    # A key that one corner lacks, such as a column's name, varies as well.
    found |= {key for c in study.corners for key in seen if key not in c.flat}
    return sorted(found)
