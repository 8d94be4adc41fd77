"""Columns by our name and by others', and the better of two completions."""

import pytest

from lib.config.errors import BadInput
from lib.tasks.preference.columns import choices, read_rows


def placed(*rows):
    return [(f"f:{n}", row) for n, row in enumerate(rows, 1)]


def refused(rows, **columns):
    with pytest.raises(BadInput) as error:
        read_rows(placed(*rows), "f", columns)
    assert "\n" not in str(error.value)
    return str(error.value)


def judged(choice, **more):
    return {
        "instruction": "Why?",
        "completion_a": "A",
        "completion_b": "B",
        "choice": choice,
    } | more


def told(*values):
    return choices(placed(*values), "choice")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("a", "B", " A "), ["a", "b", "a"]),
        (("completion_a", "completion_b"), ["a", "b"]),
        (("model_a", "Response B", "output-a"), ["a", "b", "a"]),
        ((0, 1, 0), ["a", "b", "a"]),
        ((1, 2), ["a", "b"]),
        (("1", "2", "1.0"), ["a", "b", "a"]),
        ((0,), ["a"]),
        ((2,), ["b"]),
        ((0.0, 1.0), ["a", "b"]),
        (("response1", "response2"), ["a", "b"]),
        (("a", "tie", "TIE", "both", "tie (bothbad)", "b"), ["a", None, None, None, None, "b"]),
        ((), []),
    ],
)
def test_choices(values, expected):
    assert told(*values) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1, 1), "f:1: choice: found 1 and no other number in any row"),
        (("a", 1), "f:2: choice: found 1 and no other number"),
        ((0, 1, 2), "f:3: choice: found 2 where other rows have 0"),
        (("a", None), "f:2: choice: found '', expected a, b, completion_a"),
        ((True, False), "f:1: choice: found 'true', expected a, b"),
        ((-1,), "f:1: choice: found '-1'"),
        (("banana",), "f:1: choice: found 'banana'"),
        (("a", "not a"), "f:2: choice: found 'not a'"),
        (("neither b",), "f:1: choice: found 'neither b'"),
        (("completion_aa",), "did you mean 'completion_a'?"),
    ],
)
def test_choices_that_cannot_be_told(values, message):
    with pytest.raises(BadInput) as error:
        told(*values)
    assert message in str(error.value)


def test_the_preferred_completion_becomes_chosen():
    made, ties, _ = read_rows(placed(judged("a"), judged("b"), judged("tie")), "f", {})
    assert [(r.where, r.prompt, r.chosen, r.rejected) for r in made] == [
        ("f:1", "Why?", "A", "B"),
        ("f:2", "Why?", "B", "A"),
    ]
    assert ties == 1


def test_columns_of_other_names():
    rows = [{"q": "Why?", "good": "So.", "bad": "No.", "key": 7, "junk": 1}]
    names = {"prompt": "q", "chosen": "good", "rejected": "bad", "id": "key"}
    (made,), ties, unread = read_rows(placed(*rows), "f", names)
    assert (made.id, made.prompt, made.chosen, made.rejected) == ("7", "Why?", "So.", "No.")
    assert (made.where, ties, unread) == ("f:1", 0, ["junk"])
    rows = [{"q": "Why?", "output_1": "So.", "output_2": "No.", "winner": "output_2"}]
    names = {"prompt": "q", "completion_a": "output_1", "completion_b": "output_2"}
    (made,), *_ = read_rows(placed(*rows), "f", names | {"choice": "winner"})
    assert (made.chosen, made.rejected) == ("No.", "So.")


def test_an_instruction_comes_with_its_input_and_a_dataset_is_a_source():
    row = {"instruction": "Add.", "input": "1, 2", "chosen": "3", "rejected": "4", "dataset": "d"}
    (made, other), *_ = read_rows(placed(row, row | {"input": ""}), "f", {})
    assert (made.prompt, other.prompt) == ("Add.\n\n1, 2", "Add.")
    assert made.source == "d"
    (own,), *_ = read_rows(placed(row | {"prompt": "P"}), "f", {})
    assert own.prompt == "P"


PAIR = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ({"chosen": "b", "rejected": "c"}, {}, "f: no column 'prompt' or 'instruction' or"),
        ({"text": "a"}, {}, "no column 'chosen', found text; expected chosen, rejected"),
        (PAIR, {"chosen": "best"}, "no column 'best' (data.columns.chosen)"),
        ({"prompt": "a", "completion_a": "b", "completion_b": "c"}, {}, "no column 'choice'"),
        ({"prompt": "a", "completion_a": "b", "completion_b": "c", "preference": "a"}, {},
         "did you mean 'preference'? Set data.columns.choice=preference"),
        ({"completion_a": "b", "completion_b": "c", "choice": "a"}, {}, "no column 'prompt'"),
    ],
)  # fmt: skip
def test_missing_columns(row, columns, message):
    assert message in refused([row], **columns)


def test_messages_and_transcripts_need_no_prompt():
    sides = {"chosen": [{"role": "user", "content": "Why?"}], "rejected": []}
    assert len(read_rows(placed(sides), "f", {})[0]) == 1
    text = "\n\nHuman: Why?\n\nAssistant: So."
    assert len(read_rows(placed({"chosen": text, "rejected": text}), "f", {})[0]) == 1
