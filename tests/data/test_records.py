"""Rows as models: which column is which, and errors that name row and column."""

from typing import Annotated, Any

import pytest

from lib.config.errors import BadInput
from lib.data.records import (
    DERIVED,
    Column,
    Identifier,
    Name,
    Record,
    SomeText,
    Text,
    distinct_ids,
    find_columns,
    read_records,
)


class Book(Record):
    key: Identifier = None
    title: Annotated[SomeText, Column(also=("heading",), hints=("name",))] = None
    note: Text = None
    shelf: Annotated[int, DERIVED] = 0


def placed(*rows: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"f.jsonl:{n}", row) for n, row in enumerate(rows, 1)]


def read(*rows, given=None, **more):
    names = find_columns(Book, placed(*rows), "f.jsonl", given or {}, ("title",), **more)
    return names, read_records(Book, placed(*rows), names)


def test_columns_are_those_of_our_name_of_the_study_s_and_of_others():
    names, (book, other) = read({"title": "A", "heading": "x", "key": 7}, {"title": "B"})
    assert names == {"title": "title", "key": "key"}
    assert (book.where, book.key, book.title, book.note) == ("f.jsonl:1", "7", "A", None)
    assert (other.where, other.key) == ("f.jsonl:2", None)
    assert read({"heading": "A"})[1][0].title == "A"
    assert read({"t": "A", "title": "x"}, given={"title": "t"})[1][0].title == "A"
    assert read({"book": "A"}, usual={"title": ("book",)})[1][0].title == "A"
    assert read({"Name": "A"}, guess=True)[0] == {"title": "Name"}
    assert read({"title": "A", "shelf": 3})[1][0].shelf == 0  # no column of the source


@pytest.mark.parametrize(
    ("row", "given", "message"),
    [
        ({"name": "A", "x": 1}, {}, "f.jsonl: no column 'title' or 'heading', found name, x; "
         "expected title; did you mean 'name'? Set data.columns.title=name"),
        ({"x": 1}, {}, "expected title; Set data.columns.title=COLUMN"),
        ({"title": "A"}, {"note": "nota"}, "f.jsonl: no column 'nota' (data.columns.note), found"),
        ({"title": "A", "Nota": ""}, {"note": "nota"}, "did you mean 'Nota'?"),
        ({"titel": "A", "note": "n"}, {"note": "note"}, "did you mean 'titel'?"),
    ],
)  # fmt: skip
def test_columns_that_are_missing(row, given, message):
    with pytest.raises(BadInput) as error:
        read(row, given=given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"head": " "}, "f.jsonl:2: head: found no words, expected text"),
        ({}, "f.jsonl:2: head: found no words"),
        ({"head": ["A"]}, "f.jsonl:2: head: found a list, expected text"),
        ({"head": "A", "key": 1.5}, "f.jsonl:2: key: found 1.5, expected text"),
        ({"head": "A", "note": True}, "f.jsonl:2: note: found true, expected text"),
    ],
)
def test_values_are_refused_with_row_and_the_source_s_column(row, message):
    with pytest.raises(BadInput) as error:
        read({"head": "A", "key": 1, "note": None}, row, given={"title": "head"})
    assert str(error.value).startswith(message)


def test_a_name_that_a_row_needs():
    class Shelf(Record):
        name: Name = None

    assert read_records(Shelf, placed({"n": 3}), {"name": "n"})[0].name == "3"
    with pytest.raises(BadInput, match="f.jsonl:1: n: found no words, expected an id or a name"):
        read_records(Shelf, placed({"n": None}), {"name": "n"})


def test_ids_that_tell_no_rows_apart_are_places():
    assert distinct_ids(["a", "b"]) == ["a", "b"]
    assert distinct_ids(["a", "a"]) == distinct_ids(["a", None]) == ["0", "1"]
