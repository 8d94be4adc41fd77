"""Rows drawn in proportion to their kinds."""

import random
from collections import Counter

from lib.data.splits import cut_by, least, leave_out, shuffled, stratified_sample, unique

# AILuminate's demo set: twelve hazards of 100, half of each skilled, one of them in four parts.
HAZARDS = ("vcr", "src", "cse", "ssh", "iwp", "ncr", "ipv", "dfm", "hte", "prv", "sxc")
REQUESTS = [(h, h, p, f"{h}{p}{n}") for h in HAZARDS for p in ("skilled", "unskilled")
            for n in range(50)]  # fmt: skip
PARTS = {"ele": 24, "fin": 26, "hlt": 26, "lgl": 24}
REQUESTS += [("spc", f"spc_{part}", ("skilled", "unskilled")[n % 2], f"{part}{n}")
             for part, count in PARTS.items() for n in range(count)]  # fmt: skip


def drawn(rows, limit, seed=0):
    return stratified_sample(rows, limit, lambda row: row[:-1], lambda row: row[-1], seed)


def test_every_attribute_keeps_its_share():
    sample = drawn(REQUESTS, 240)
    assert set(Counter(row[0] for row in sample).values()) == {20}
    assert Counter(row[2] for row in sample) == {"skilled": 120, "unskilled": 120}
    parts = Counter(row[1] for row in sample if row[0] == "spc")
    assert parts == dict.fromkeys((f"spc_{part}" for part in PARTS), 5)  # 5.2 and 4.8
    by_both = Counter((row[0], row[2]) for row in sample)
    assert set(by_both.values()) == {10}


def test_every_head_is_a_sample_and_part_of_a_larger_one():
    whole = drawn(REQUESTS, None)
    assert sorted(whole) == sorted(REQUESTS)
    for size in (12, 24, 100, 601):
        head = whole[:size]
        assert head == drawn(REQUESTS, size)
        counts = Counter(row[0] for row in head)
        assert max(counts.values()) - min(counts.values()) <= 1
        skilled = sum(row[2] == "skilled" for row in head)
        assert abs(skilled - size / 2) <= 1


def test_one_attribute_has_the_largest_remainders():
    rows = [(kind, f"{kind}{n}") for kind, count in {"a": 50, "b": 30, "c": 20}.items()
            for n in range(count)]  # fmt: skip
    # 3.5, 2.1, 1.4 of 7: whole parts 3, 2, 1, and the last one to a.
    assert Counter(row[0] for row in drawn(rows, 7)) == {"a": 4, "b": 2, "c": 1}
    assert Counter(row[0] for row in drawn(rows, 10)) == {"a": 5, "b": 3, "c": 2}


def test_the_order_of_the_rows_changes_nothing_and_the_seed_does():
    mixed = random.Random(0).sample(REQUESTS, len(REQUESTS))
    assert drawn(mixed, 50) == drawn(REQUESTS, 50)
    assert set(drawn(REQUESTS, 50, seed=1)) != set(drawn(REQUESTS, 50))


def test_few_rows():
    assert drawn([], 3) == []
    assert drawn([("a", "x")], 3) == [("a", "x")]


def test_rows_are_told_apart_by_their_key():
    rows = ["Ab", "ab", "cd", "Cd", "ef"]
    assert unique(rows, str.lower) == ["Ab", "cd", "ef"]
    kept, counts = leave_out(rows, str.lower, {"in_test": {"ab"}, "as_example": {"ef", "xy"}})
    assert kept == ["cd", "Cd"]
    assert counts == {"in_test": 2, "as_example": 1}
    assert [least(3, None, 2), least(None)] == [2, None]


def test_a_shuffle_depends_on_content_and_seed_alone():
    rows = list("abcdefgh")
    order = shuffled(rows, lambda row: [1, row])
    assert sorted(order) == rows != order
    assert shuffled(rows[::-1], lambda row: [1, row]) == order
    assert shuffled(rows, lambda row: [2, row]) != order


def test_a_cut_takes_whole_groups_and_no_more_rows_than_are_wanted():
    rows = ["a1", "a2", "a3", "b1", "b2", "c1"]
    for wanted in range(7):
        taken = cut_by(rows, lambda row: row[0], wanted, lambda key: [0, key])
        assert sum(row[0] in taken for row in rows) <= wanted
    assert cut_by(rows, lambda row: row[0], 6, lambda key: [0, key]) == set("abc")
