"""What stage 1 says of the rows that it leaves out."""

from lib.data.report import DROPS, drop_lines, tally


def test_every_reason_is_one_line_with_count_and_key():
    report = {
        "source": {
            "source": "p.jsonl", "read": 60, "dropped_repeated": 42, "dropped_as_in_test": 0,
            "dropped_labels": {"Withdrawn": 2, "null": 1}, "columns_not_read": ["year", "note"],
        },
        "dropped_as_in_test": 3,
        "splits": {"train_36": {"rows": 18, "asked": 36, "key": "data.train_rows"},
                   "test": {"rows": 4, "asked": None, "key": "data.test_rows"}},
    }  # fmt: skip
    manifest = {"report": report, "cut": {"train": 5, "test": 0}, "dropped_truncated": {"train": 2}}
    assert drop_lines(manifest) == [
        "p.jsonl: 42 of 60 rows (70.0 %) left out: repeat an earlier question (no key: the first "
        "one stays)",
        "p.jsonl: 3 of 60 rows (5.0 %) left out: decisions to leave out: Withdrawn 2, null 1 "
        "(data.drop_labels)",
        "p.jsonl: columns not read: year, note (data.columns)",
        "data: 3 rows left out: are in the test set (data.test_source)",
        "train_36: 18 rows, 36 asked for (data.train_rows)",
        "data: 2 rows left out: no token of an answer is left: train 2 (model.max_length)",
        "train: 5 rows shortened (model.max_length)",
    ]


def test_limits_of_further_tasks():
    manifest = {"task": "safety", "report": {"read": 1200, "limit": 240}}
    assert drop_lines(manifest) == [
        "240 of 1,200 rows drawn, each kind with its share (safety.limit)"
    ]


def test_nothing_is_said_of_nothing():
    assert drop_lines({"report": {"source": {"source": "x", "dropped_empty": 0}, "seed": 1}}) == []
    assert all(why and key for why, key in DROPS.values())


def test_a_tally_counts_what_rows_have():
    rows = [{"year": 2018, "label": "b"}, {"label": "a"}, {"year": None, "label": "b"}]
    assert tally(rows, "label", "year", "absent") == {
        "rows": 3, "label": {"a": 1, "b": 2}, "year": {"2018": 1, "None": 1}
    }  # fmt: skip
