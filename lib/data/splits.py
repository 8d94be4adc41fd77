"""How the rows of a data set are divided: keys that points share, limits, draws, shares."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeVar

from lib.config.errors import BadInput, listed
from lib.config.grid import digest

T = TypeVar("T")
DEBUG_ROWS = 100  # at most, of each split


def shared_sections(data: Any, wanted: Sequence[Any], swept: Sequence[str] = ()) -> list[Any]:
    """The `data` sections that points need, `data` itself where there are none.

    Raises BadInput where they differ in another key than those in `swept`.
    """
    sections = list(wanted) or [data]
    for key in type(data).model_fields:
        if key not in swept and any(getattr(s, key) != getattr(sections[0], key) for s in sections):
            may = f"only data.{listed(swept)} may be swept" if swept else "no key of data may be"
            raise BadInput(
                f"data.{key}: found different values among the points, expected one: they share "
                f"their test set; {may}"
            )
    return sections


def least(*limits: int | None) -> int | None:
    """The smallest of some limits, None where there is none."""
    return min((limit for limit in limits if limit is not None), default=None)


def unique(rows: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
    """The first of the rows of each key, in order."""
    first: dict[Hashable, T] = {}
    for row in rows:
        first.setdefault(key(row), row)
    return list(first.values())


def leave_out(
    rows: Iterable[T], key: Callable[[T], Hashable], reasons: Mapping[str, Collection[Hashable]]
) -> tuple[list[T], dict[str, int]]:
    """The rows whose key is in none of some collections, and how many each of these leaves out.

    reasons: the count's name in the report → the keys, such as those of the test set.
    """
    rows = list(rows)
    counts = {name: sum(key(row) in keys for row in rows) for name, keys in reasons.items()}
    kept = [row for row in rows if not any(key(row) in keys for keys in reasons.values())]
    return kept, counts


def shuffled(rows: Iterable[T], content: Callable[[T], Any]) -> list[T]:
    """The rows in the order of a hash of their content, whatever the order that they come in.

    content: JSON-able, with the seed and the use in it. The first n are part of the first n + 1,
    so that a smaller draw is part of a larger one.
    """
    return sorted(rows, key=lambda row: digest(content(row)))


def cut_by(
    rows: Sequence[T], key: Callable[[T], Any], wanted: int, content: Callable[[Any], Any]
) -> set[Any]:
    """Keys, drawn by the hash of their `content`, that at most `wanted` rows have together."""
    times = Counter(map(key, rows))
    taken, count = set(), 0
    for one in shuffled(times, content):
        if count + times[one] <= wanted:
            taken.add(one)
            count += times[one]
    return taken


def stratified_sample(
    rows: Sequence[T],
    limit: int | None,
    strata: Callable[[T], Sequence[Hashable]],
    content: Callable[[T], Any],
    seed: int,
) -> list[T]:
    """`limit` seeded rows in which every stratum has its share of `rows`; None: all of them.

    strata: the attributes of a row, such as (hazard, persona). The share of each attribute, of each
    combination of some and of all together is kept as well as whole rows allow: row k goes to the
    combination that lacks most of k times its shares (with one attribute, by largest remainders).
    So every head of the result is a stratified sample itself, and a smaller one is part of a larger
    one. `content` (JSON-able) tells rows apart: the draw goes by its hash and does not depend on
    the order of `rows`.
    """
    import numpy as np  # not above: stages answer --help without it

    cells: dict[tuple[Hashable, ...], list[T]] = defaultdict(list)
    for row in rows:
        cells[tuple(strata(row))].append(row)
    ordered = sorted(cells.items(), key=lambda cell: digest([seed, "cell", *map(str, cell[0])]))
    queues = [
        sorted(members, key=lambda row: digest([seed, "row", content(row)]), reverse=True)
        for _, members in ordered
    ]
    names = [key for key, _ in ordered]
    width = len(names[0]) if names else 0
    subsets = [at for n in range(1, width + 1) for at in combinations(range(width), n)]
    number: dict[Hashable, int] = {}
    member = np.array(  # (cells, margins): the margins, as numbers, that a cell is part of
        [
            [number.setdefault((at, *(key[i] for i in at)), len(number)) for at in subsets]
            for key in names
        ]
    )
    sizes, drawn = np.zeros(len(number), dtype=int), np.zeros(len(number), dtype=int)
    for queue, margins in zip(queues, member, strict=True):
        sizes[margins] += len(queue)
    sample: list[T] = []
    for k in range(1, min(len(rows), len(rows) if limit is None else limit) + 1):
        shortfall = (k * sizes - len(rows) * drawn)[member]  # in rows, times len(rows)
        # A combination of all attributes never has more than its share rounded up.
        shortfall[shortfall[:, -1] <= 0] = np.iinfo(int).min // (len(subsets) + 1)
        chosen = int(shortfall.sum(axis=1).argmax())
        sample.append(queues[chosen].pop())
        drawn[member[chosen]] += 1
    return sample
