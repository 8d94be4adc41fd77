"""Fields of source rows: read as they were meant, or refused with their row."""

import json
import math

import pytest

from lib.config.errors import BadInput
from lib.data.conversations import read_messages
from lib.data.fields import identifier, text, unread_columns

SAID = [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_is_missing(value):
    assert text(value, "f.jsonl:1", "title") is None
    assert identifier(value, "f.jsonl:1", "id") is None


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "null", "NULL", "<NA>"])
def test_cells_of_a_table_that_hold_nothing(cell):
    assert text(cell, "f.csv.gz:1", "title") is None
    assert text(cell, "f.jsonl:1", "title") == cell


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (True, "true"),
        (3, "the number 3"),
        (10**30, "a huge number"),
        (3.5, "3.5"),
        (math.inf, "Infinity"),
        (["a"], "a list"),
        ({"value": "a"}, "an object"),
        ("a\0b", "NUL (U+0000) at character 2"),
        ("a\ud800", "half a character, a lone surrogate U+D800, at character 2"),
    ],
)
def test_what_is_no_text(value, found):
    with pytest.raises(BadInput) as error:
        text(value, "f.jsonl:7", "title")
    assert str(error.value).startswith(f"f.jsonl:7: title: found {found}, expected text")


@pytest.mark.parametrize(
    "cell", ['{"value": "A title"}', '["a", "b"]', "['a', 'b']", "[{'a': 1}\n {'a': 2}]"]
)
def test_lists_and_objects_in_cells(cell):
    with pytest.raises(BadInput, match="f.tsv:2: title: found a list or an object spelled out"):
        text(cell, "f.tsv:2", "title")
    assert text(cell, "f.jsonl:2", "title") == cell  # there it is text beyond doubt


def test_ids():
    assert identifier(" a ", "f:1", "id") == "a"
    assert identifier(7, "f:1", "id") == identifier(7.0, "f:1", "id") == "7"
    for value in (True, 1.5, ["a"]):
        with pytest.raises(BadInput, match="f:1: id: found"):
            identifier(value, "f:1", "id")


@pytest.mark.parametrize(
    "value",
    [
        SAID,
        SAID[0],
        json.dumps(SAID),
        repr(SAID),
        [{"from": "human", "value": "Why?"}],
        [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}],
        [{"role": "user", "content": "Why?", "weight": 1, "images": []}],
    ],
)
def test_messages_in_every_form(value):
    assert read_messages(value, "f.csv:1", "messages") == SAID


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({"weight": 0}, r"a message with weights \(weight\)"),
        ({"tool_calls": [{"name": "f"}]}, "a message with tool calls"),
        ({"train": False}, "a message with a loss mask"),
        ({"content": [{"type": "image"}]}, "a message whose 'content' is"),
        ({"content": "\0"}, "NUL"),
    ],
)
def test_messages_that_carry_more_than_text(message, found):
    with pytest.raises(BadInput, match=f"f:1: chosen: found {found}"):
        read_messages([SAID[0] | message], "f:1", "chosen")


def test_columns_that_nothing_reads():
    rows = [("f:1", {"q": "?", "note": "n", "empty": "", "tools": [], "weight": 1.0, "w": None})]
    assert unread_columns(rows, {"q"}) == ["note", "weight"]
    for column, value in {"tools": "[1]", "Images": ["a.png"], "weight": 2, "history": [["a"]],
                          "system": "Be kind."}.items():  # fmt: skip
        with pytest.raises(BadInput, match=f"f:2: {column}: found .*, which this task does not"):
            unread_columns([*rows, ("f:2", {"q": "?", column: value})], {"q"})
    assert unread_columns([("f:1", {"system": "Be kind."})], (), "Be kind.") == ["system"]
