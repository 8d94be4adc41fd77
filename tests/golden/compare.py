"""What differs between two trees of numbers, each difference by its path.

Counts, truth values, words and nulls have to be equal; floats to RELATIVE, or within a tolerance of
TOLERANCES, each with its reason. What was changed on purpose stands in `changes/`.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple

RELATIVE, ABSOLUTE = 1e-9, 1e-12
FLOAT32 = (1e-6, "sums over resamples are float32 products, in the order of this machine's BLAS")
# Pattern of paths → (tolerance, of numbers above 1 relative to them, reason). Among OpenBLAS's
# kernels (OPENBLAS_CORETYPE) the ends of intervals differ by up to 1e-7, and nothing else.
TOLERANCES: dict[str, tuple[float, str]] = {
    "*low": FLOAT32,
    "*high": FLOAT32,
    "*standard_error": FLOAT32,
    "*low/sum_by_place": FLOAT32,
    "*high/sum_by_place": FLOAT32,
}
ABSENT = "(absent)"
EMPTY = (None, [], {})  # where one of these was, nothing says the same
SHORT = 160  # characters of JSON below which a part that repeats another is written out
REST = "rest"  # of a share: 1 − it
AS = "= "  # begins the path of the part that is repeated


class Difference(NamedTuple):
    """One number that is not as it was frozen."""

    found: Any
    expected: Any
    tolerance: str

    def named(self, path: str) -> str:
        """The line that a test shows."""
        return f"{path}: found {self.found!r}, expected {self.expected!r} ({self.tolerance})"


def flatten(tree: Any, path: str = "") -> dict[str, Any]:
    """Path → value of everything that holds nothing else; tables by row and column."""
    if isinstance(tree, dict) and set(tree) == {"columns", "rows"}:
        named = {
            label: dict(zip(tree["columns"], cells, strict=True))
            for label, cells in tree["rows"].items()
        }
        return flatten(named, path)
    if not isinstance(tree, dict | list) or not tree:
        return {path: tree}
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = {}
    for key, value in inside:
        found |= flatten(value, f"{path}/{key}" if path else str(key))
    return found


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Difference]:
    """Path → what differs there, of two flat trees."""
    made = {}
    for path in dict.fromkeys((*expected, *found)):
        one, other = found.get(path, ABSENT), expected.get(path, ABSENT)
        same, tolerance = matches(path, one, other)
        if not same and not (other in EMPTY and one in (ABSENT, *EMPTY)):
            made[path] = Difference(one, other, tolerance)
    return made


def matches(path: str, found: Any, expected: Any) -> tuple[bool, str]:
    """Whether two values are the same, and how close they have to be."""
    both = (found, expected)
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in both):
        return type(found) is type(expected) and found == expected, "exact"
    if all(isinstance(v, int) for v in both):
        return found == expected, "exact"
    for pattern, (bound, reason) in TOLERANCES.items():
        if fnmatchcase(path, pattern):
            close = abs(found - expected) <= bound * max(1, abs(expected))
            return close, f"within {bound:g}: {reason}"
    bound = max(ABSOLUTE, RELATIVE * abs(expected))
    return abs(found - expected) <= bound, f"within {RELATIVE:g} of it"


def compress(tree: Any, path: str = "", seen: dict[str, str] | None = None) -> Any:
    """A tree in which what repeats an earlier part is the path of that part: files stay small."""
    seen = {} if seen is None else seen
    if not isinstance(tree, dict | list) or len(key := json.dumps(tree)) < SHORT:
        return tree
    if key in seen:
        return AS + seen[key]
    seen[key] = path
    if isinstance(tree, list):
        return [compress(one, f"{path}/{n}", seen) for n, one in enumerate(tree)]
    return {name: compress(tree[name], f"{path}/{name}", seen) for name in sorted(tree)}


def expand(tree: Any, whole: Any = None) -> Any:
    """The tree that was compressed."""
    whole = tree if whole is None else whole
    if isinstance(tree, str) and tree.startswith(AS):
        part = whole
        for name in tree.removeprefix(f"{AS}/").split("/"):
            part = part[int(name) if isinstance(part, list) else name]
        return expand(part, whole)
    if isinstance(tree, list):
        return [expand(one, whole) for one in tree]
    return {k: expand(v, whole) for k, v in tree.items()} if isinstance(tree, dict) else tree


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Path → value as a tree by the parts of paths: what they share is written once.

    The value of a path that others go on from is at the empty part.
    """
    tree: dict[str, Any] = {}
    for path, value in values.items():
        inner = tree
        for part in path.split("/"):
            inner = inner.setdefault(part, {})
        inner[""] = value
    return _pruned(tree)


def _pruned(tree: dict[str, Any]) -> Any:
    if set(tree) == {""}:
        return tree[""]
    return {part: inner if part == "" else _pruned(inner) for part, inner in tree.items()}


def unnest(tree: Any, path: str = "") -> dict[str, Any]:
    """The paths that `nest` made a tree of. Values are no trees, but may be empty ones."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    found = {}
    for part, inner in tree.items():
        found |= {path: inner} if part == "" else unnest(inner, f"{path}/{part}" if path else part)
    return found


class Moves(NamedTuple):
    """What became of the frozen paths of a study; `tests.golden.changes` explains each table."""

    renames: Mapping[str, tuple[str, str]]
    shares: Mapping[str, tuple[str, str]]
    removed: Mapping[str, str]
    changes: Mapping[str, str]
    new: Mapping[str, str]


def moved(frozen: Mapping[str, Any], moves: Moves) -> dict[str, Any]:
    """Frozen values at their paths of today, without those that are gone.

    Raises ValueError where two values that differ are at one path now.
    """
    now: dict[str, Any] = {}
    for path, value in frozen.items():
        if pattern_of(path, moves.removed):
            continue
        value = as_share(path, value, frozen, moves.shares)
        path = renamed(path, moves.renames)
        if path in now and (value in EMPTY or now[path] in EMPTY):
            value = now[path] if value in EMPTY else value  # what one file lacked
        elif path in now and not matches(path, value, now[path])[0]:
            raise ValueError(f"RENAMES: {value!r} and {now[path]!r} are at {path} now")
        now[path] = value
    return now


def renamed(path: str, renames: Mapping[str, tuple[str, str]]) -> str:
    """The path of today; the first pattern that matches counts."""
    for pattern, (new, _) in renames.items():
        if found := compiled(pattern).search(path):
            return path[: found.start()] + found.expand(new) + path[found.end() :]
    return path


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression; re itself keeps too few."""
    return re.compile(pattern)


def as_share(
    path: str, value: Any, frozen: Mapping[str, Any], shares: Mapping[str, tuple[str, str]]
) -> Any:
    """A count as the share that it is now, or that of the rest; null of none. Others as is."""
    for pattern, (whole, which) in shares.items():
        if value is not None and (found := compiled(pattern).search(path)):
            whole_path = path[: found.start()] + found.expand(whole) + path[found.end() :]
            parts = whole_path.split(" × ")
            of = math.prod(frozen[part] if part in frozen else float(part) for part in parts)
            if not of:
                return None
            return (of - value if which == REST else value) / of
    return value


def unexplained(
    found: Mapping[str, Any], expected: Mapping[str, Any], moves: Moves
) -> dict[str, Difference]:
    """Path → what differs and is not new. expected: of today, changes included."""
    return {
        path: one
        for path, one in differences(found, expected).items()
        if one.expected != ABSENT or not pattern_of(path, moves.new)
    }


def with_changes(expected: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Frozen values at their paths of today, with those that were changed on purpose."""
    return {**expected, **changed}


def pattern_of(path: str, patterns: Iterable[str]) -> str | None:
    """The first pattern that a path falls under."""
    return next((pattern for pattern in patterns if fnmatchcase(path, pattern)), None)


def unused(found: Iterable[str], frozen: Iterable[str], moves: Moves,
           changed: Iterable[str]) -> set[str]:  # fmt: skip
    """Patterns of a study that no path falls under.

    found, frozen: paths of today, and as they were written; changed: paths that were changed.
    """
    kept = [path for path in frozen if not pattern_of(path, moves.removed)]
    used = {pattern_of(path, moves.removed) for path in frozen}
    used |= {pattern_of(path, moves.new) for path in found}
    used |= {pattern_of(path, moves.changes) for path in changed}
    for table in (moves.renames, moves.shares):
        used |= {next((p for p in table if compiled(p).search(path)), None) for path in kept}
    return {pattern for table in moves for pattern in table} - used


def invalid_changes(
    moves: Moves, changed: Mapping[str, Any], expected: Mapping[str, Any]
) -> list[str]:
    """What is wrong with a study's exceptions: no reason, or no difference at all."""
    tables = {**moves.removed, **moves.changes, **moves.new}
    reasons = tables | {pattern: why for pattern, (_, why) in moves.renames.items()}
    faults = [f"{pattern!r}: no reason" for pattern, reason in reasons.items() if not reason]
    for path, value in changed.items():
        if not pattern_of(path, moves.changes):
            faults.append(f"changed.json: {path}: no pattern of CHANGES names it")
        if path not in expected:
            faults.append(f"changed.json: {path}: nothing was frozen there")
        elif matches(path, value, expected[path])[0]:
            faults.append(f"changed.json: {path}: {value!r} is what was frozen")
    return faults
