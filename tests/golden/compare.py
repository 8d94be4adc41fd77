"""What differs between two trees of numbers, each difference by its path.

Counts, truth values, words and nulls have to be equal; floats to RELATIVE, or within a tolerance of
TOLERANCES, each with its reason. What was changed on purpose stands in `changes.py`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
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
SHORT = 160  # characters of JSON below which a part that repeats another is written out
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
    """Path → what differs there, of two flat trees; single numbers before sums over them."""
    made = {}
    paths = dict.fromkeys((*expected, *found))
    for path in sorted(paths, key=lambda path: path.endswith("/sum_by_place")):
        one, other = found.get(path, ABSENT), expected.get(path, ABSENT)
        same, tolerance = matches(path, one, other)
        if not same:
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


def with_renames(
    frozen: Mapping[str, Any], renames: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """Frozen values at their paths of today; those that have one path now would hide each other.

    renames: regular expression → (replacement, reason). Raises ValueError where two paths meet.
    """
    now: dict[str, Any] = {}
    for path, value in frozen.items():
        for pattern, (new, _) in renames.items():
            path = re.sub(pattern, new, path)
        if path in now:
            raise ValueError(f"RENAMES: two frozen values are at {path} now")
        now[path] = value
    return now


def invalid_renames(renames: Mapping[str, tuple[str, str]], paths: Iterable[str]) -> list[str]:
    """What is wrong with the renames: without a reason, or of no frozen path."""
    known = list(paths)
    faults = [f"changes.py: {p!r}: no reason" for p, (_, reason) in renames.items() if not reason]
    unused = [p for p in renames if not any(re.search(p, path) for path in known)]
    return faults + [f"changes.py: {p!r}: no such path" for p in unused]


def with_changes(frozen: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """The frozen values with those that were changed on purpose; ABSENT ones are gone."""
    return {path: value for path, value in {**frozen, **changed}.items() if value != ABSENT}


def reason_of(study: str, path: str, changes: Mapping[str, str]) -> str | None:
    """The pattern of `changes` that a path of a study falls under."""
    return next((p for p in changes if fnmatchcase(f"{study}: {path}", p)), None)


def invalid_changes(
    changes: Mapping[str, str],
    changed: Mapping[str, Mapping[str, Any]],
    frozen: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """What is wrong with the exceptions: without a reason, unused, or of no difference at all.

    changed, frozen: study → path → value.
    """
    used, faults = set(), []
    for study, values in changed.items():
        for path, value in values.items():
            pattern = reason_of(study, path, changes)
            used.add(pattern)
            if pattern is None:
                faults.append(f"changed.json: {study}: {path}: no pattern of changes.py names it")
            if matches(path, value, frozen[study].get(path, ABSENT))[0]:
                faults.append(f"changed.json: {study}: {path}: {value!r} is what was frozen")
    faults += [f"changes.py: {p!r}: no reason" for p, reason in changes.items() if not reason]
    return faults + [f"changes.py: {p!r}: nothing changed there" for p in changes if p not in used]
