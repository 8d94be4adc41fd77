"""Rows of a test set, chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any


def evenly(
    rows: Sequence[dict[str, Any]], limit: int | None, kind: Callable[[dict[str, Any]], str]
) -> list[dict[str, Any]]:
    """At most `limit` rows, in order: the first of each kind, then the second of each, ….

    Files of questions are sorted by kind: the head of one would be a single kind.
    """
    if limit is None:
        return list(rows)
    ranks: dict[str, int] = defaultdict(int)
    order = []
    for place, row in enumerate(rows):
        order.append((ranks[kind(row)], place))
        ranks[kind(row)] += 1
    return [rows[place] for place in sorted(place for _, place in sorted(order)[:limit])]
