"""Rows drawn evenly from their kinds."""

from lib.rows import evenly

ROWS = [{"id": i, "kind": kind} for i, kind in enumerate("aaaabbc")]


def drawn(limit: int | None) -> list[int]:
    return [row["id"] for row in evenly(ROWS, limit, lambda row: row["kind"])]


def test_the_first_of_each_kind_then_the_second():
    assert drawn(1) == [0]
    assert drawn(3) == [0, 4, 6]
    assert drawn(5) == [0, 1, 4, 5, 6]
    assert drawn(6) == [0, 1, 2, 4, 5, 6]


def test_all_of_them():
    assert drawn(None) == drawn(7) == drawn(100) == list(range(7))
