"""Records → pairs: what is kept, what is dropped with a count, what is refused with its row."""

import math

import pytest

from lib.config.errors import BadInput
from lib.tasks.preference.pairs import described, prompt_key, read_pairs
from lib.tasks.preference.schema import Data


def pair(prompt="Why?", chosen="So.", rejected="No.", **more):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected} | more


def listed(*contents):
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]


def read(*rows, **keys):
    placed = [(f"f:{n}", row) for n, row in enumerate(rows, 1)]
    pairs, report = read_pairs(Data(source="f", **keys), "f", placed)
    return pairs, {key: count for key, count in report.items() if count}


def refused(*rows, **keys):
    with pytest.raises(BadInput) as error:
        read(*rows, **keys)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_row():
    (one,), counts = read(pair(id=3, source="people"))
    assert one.row == {
        "id": "3",
        "prompt": {"messages": [{"role": "user", "content": "Why?"}]},
        "chosen": "So.",
        "rejected": "No.",
        "target": "So.",
        "source": "people",
    }
    assert counts == {}


def test_every_form_of_a_pair_is_the_same_row():
    forms = [
        pair(),
        pair(listed("Why?")),
        pair(None, listed("Why?", "So."), listed("Why?", "No.")),
        pair("Why?", listed("Why?", "So."), listed("Why?", "No.")),
        pair(listed("Why?"), *([{"role": "assistant", "content": t}] for t in ("So.", "No."))),
        pair(None, "\n\nHuman: Why?\n\nAssistant: So.", "\n\nHuman: Why?\n\nAssistant: No."),
        pair("\n\nHuman: Why?\n\nAssistant:", " So.", " No."),
    ]
    rows = [read(form)[0][0].row for form in forms]
    assert all(row == rows[0] for row in rows)
    assert len(rows[0]["id"]) == 12
    messages = {"chosen": forms[2]["chosen"], "rejected": forms[2]["rejected"]}
    assert read(messages)[0][0].row == rows[0]  # no column prompt at all


@pytest.mark.parametrize(
    ("row", "count"),
    [
        (pair(rejected="So."), "dropped_equal"),
        (pair(rejected=" So.\n"), "dropped_equal"),
        (pair(None, listed("A", "B"), listed("A", "B")), "dropped_equal"),
        (pair(None, listed("A", "B", "C", "D"), listed("A", "X", "C", "D")), "dropped_parted"),
        (pair(None, listed("A", "B"), listed("A", "B", "C", "D")), "dropped_parted"),
        (pair(listed("A", "B")), "dropped_unasked"),
    ],
)
def test_what_is_dropped(row, count):
    pairs, counts = read(pair(), row)
    assert (len(pairs), counts) == (1, {count: 1})


def test_repeats_go_and_pairs_both_ways_round_stay():
    rows = [pair(), pair(" why? "), pair(chosen="No.", rejected="So."), pair(rejected="Never.")]
    pairs, counts = read(*rows)
    assert counts == {"dropped_duplicates": 1, "contradictions": 1}
    assert [p.row["rejected"] for p in pairs] == ["No.", "So.", "Never."]
    assert described(pairs) == {"rows": 3, "prompts": 1}


def test_the_same_pair_in_two_splits_of_a_file_is_no_repeat():
    pairs, counts = read(pair(split="train"), pair(split="test"))
    assert [p.split for p in pairs] == ["train", "test"]
    assert counts == {"repeated_ids": 1}


def test_ids():
    rows = [pair(id="p", rejected=str(n)) for n in range(3)] + [pair(id="q"), pair("How?", id="")]
    pairs, counts = read(*rows)
    names = [p.row["id"] for p in pairs]
    assert names[0] == "p"
    assert all(name.startswith("p-") for name in names[1:3])
    assert names[3] == "q"
    assert len(set(names)) == 5
    assert counts == {"repeated_ids": 2}
    assert [p.row["id"] for p in read(*rows)[0]] == names


EMPTY = [
    (pair(chosen=""), "chosen: found an empty answer"),
    (pair(rejected=" \n"), "rejected: found an empty answer"),
    (pair(chosen=None), "chosen: found an empty answer"),
    (pair(None, listed("A", "B"), listed("A", " ")), "rejected: found an empty answer"),
    (pair(None, [], listed("A", "B")), "chosen: found an empty answer"),
    (pair(None, "\n\nHuman: A\n\nAssistant:", "\n\nHuman: A\n\nAssistant: B"), "chosen: found an"),
    (pair(""), "prompt: found an empty prompt"),
    (pair(None), "prompt: found an empty prompt"),
    (pair(listed(" ")), "prompt: found an empty prompt"),
    (pair(None, listed(" ", "B"), listed(" ", "C")), "prompt: found an empty prompt"),
]


@pytest.mark.parametrize(("row", "message"), EMPTY)
def test_an_empty_side_is_refused_with_its_row(row, message):
    said = refused(pair(), row)
    assert said.startswith(f"f:2: {message}")
    assert said.endswith("expected text; leave such rows out with data.drop_empty=true")


@pytest.mark.parametrize("choice", ["a", "b"])
def test_a_row_without_one_of_its_completions(choice):
    """The column is there, but not in every row of a JSONL file."""
    whole = {"instruction": "Why?", "completion_a": "A", "completion_b": "B", "choice": "a"}
    torn = {"instruction": "How?", "completion_a": "A", "choice": choice}
    side = {"a": "rejected", "b": "chosen"}[choice]
    assert refused(whole, torn).startswith(f"f:2: {side}: found an empty answer")
    pairs, counts = read(whole, torn, drop_empty=True)
    assert (len(pairs), counts) == (1, {"dropped_empty": 1})


def test_empty_sides_are_left_out_where_that_is_wanted():
    pairs, counts = read(pair(), *(row for row, _ in EMPTY), drop_empty=True)
    assert (len(pairs), counts) == (1, {"dropped_empty": len(EMPTY)})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (pair(chosen=4), "f:2: chosen: found 4, expected text or a list of messages"),
        (pair(rejected=math.inf), "f:2: rejected: found inf, expected text"),
        (pair(3.5), "f:2: prompt: found 3.5, expected text"),
        (pair(None, listed("A", "B"), listed("C", "B")), "f:2: chosen and rejected have no common"),
        (pair("Why?", "So.", listed("What?", "No.")), "f:2: rejected: the prompt is no part of"),
        (pair(None, listed("A"), listed("A", "B")), "f:2: chosen: found a message of the user at"),
        (pair("\ud800"), "f:2: prompt: found half a character, a lone surrogate U+D800, at"),
        (pair(chosen="a\udfff"), "f:2: chosen: found half a character, a lone surrogate U+DFFF"),
        (pair(rejected="\ud83d"), "f:2: rejected: found half a character"),
        (pair(id="\ud83d"), "f:2: id: found half a character"),
    ],
)
def test_bad_rows(row, message):
    assert message in refused(pair(), row)
    assert message in refused(pair(), row, drop_empty=True)


def test_a_prompt_is_known_whatever_its_white_space_and_case():
    key = prompt_key(listed("Why  is\nit?"))
    assert key == prompt_key(listed(" why is it? "))
    assert key != prompt_key(listed("Why is it"))
    assert key != prompt_key([{"role": "system", "content": "S"}, *listed("Why is it?")])
    assert prompt_key(listed("a", "b")) != prompt_key(listed("a b"))
