"""Rows of one set: columns by their usual names, labels by number or name, what is refused."""

import pytest

from lib.config.errors import BadInput
from lib.tasks.glue.rows import label_of, labelled, same_text
from lib.tasks.glue.table import GLUE, main_set

RTE = GLUE["rte"].labels


def placed(*rows):
    return [(f"rte.jsonl:{n}", row) for n, row in enumerate(rows, 1)]


def refused(rows, task="rte", columns=None):
    with pytest.raises(BadInput) as error:
        labelled(rows, task, "dev", columns or {})
    assert "\n" not in str(error.value)
    return str(error.value)


def test_table_has_the_labels_of_the_hub_in_its_order():
    """nyu-mll/glue: ClassLabel names of its configurations, and their validation splits."""
    assert {task: glue.labels for task, glue in GLUE.items()} == {
        "mnli": ("entailment", "neutral", "contradiction"),
        "sst2": ("negative", "positive"),
        "rte": ("entailment", "not_entailment"),
    }
    assert GLUE["mnli"].dev == {
        "matched": "validation_matched",
        "mismatched": "validation_mismatched",
    }
    assert GLUE["sst2"].dev == GLUE["rte"].dev == {"dev": "validation"}
    assert main_set("mnli") == "matched"


def test_row_has_the_format_of_the_study():
    rows, counts = labelled(
        placed({"sentence1": "A.", "sentence2": "B.", "label": 1, "idx": 7}), "rte", "dev", {}
    )
    assert counts == {"no_majority_label": 0, "columns_not_read": ["idx"]}
    assert rows == [
        {
            "id": "rte-dev-0",
            "task": "rte",
            "set": "dev",
            "prompt": {"a": "A.", "b": "B."},
            "label": 1,
            "target": "not_entailment",
        }
    ]


@pytest.mark.parametrize(
    ("task", "row", "columns", "texts"),
    [
        ("rte", {"premise": "A", "hypothesis": "B", "label": "entailment"}, {}, ("A", "B")),
        ("mnli", {"sentence1": "A", "sentence2": "B", "gold_label": "0"}, {}, ("A", "B")),
        ("sst2", {"sentence": "A", "label": 0}, {}, ("A", None)),
        ("sst2", {"review": "A", "stars": 0}, {"a": "review", "label": "stars"}, ("A", None)),
    ],
)
def test_columns_by_their_usual_names_or_as_told(task, row, columns, texts):
    (made,), _ = labelled(placed(row), task, "dev", columns)
    assert (made["prompt"]["a"], made["prompt"]["b"], made["label"]) == (*texts, 0)


@pytest.mark.parametrize("value", [1, "1", " Not-Entailment ", "not entailment"])
def test_label_by_number_or_name(value):
    assert label_of(value, RTE, "f:1", "label") == 1


@pytest.mark.parametrize("value", [2, -2, True, 1.0, "2", "¹", [0]])
def test_label_out_of_range_names_the_row(value):
    with pytest.raises(BadInput) as error:
        label_of(value, RTE, "f.tsv:12", "gold")
    expected = "expected one of 0 (entailment), 1 (not_entailment)"
    assert str(error.value) == f"f.tsv:12: gold: found {value!r}, {expected}"


@pytest.mark.parametrize("value", [-1, "-1", None, ""])
def test_missing_label_says_where_labels_are_missing(value):
    with pytest.raises(BadInput, match="GLUE's own test splits have no labels"):
        label_of(value, RTE, "f:1", "label")


def test_label_almost_right_gets_its_spelling():
    row = {"sentence1": "A", "sentence2": "B", "label": "entailement"}
    assert refused(placed(row)).endswith("did you mean 'entailment'?")


def test_rows_without_a_majority_label_are_left_out_and_counted():
    one = {"premise": "A", "hypothesis": "B"}
    rows, counts = labelled(
        placed(one | {"gold_label": "-"}, one | {"gold_label": "neutral"}), "mnli", "matched", {}
    )
    assert [row["id"] for row in rows] == ["mnli-matched-1"]
    assert counts["no_majority_label"] == 1


def test_missing_column_is_named_with_the_nearest():
    said = refused(placed({"sentence_1": "A", "sentence2": "B", "label": 0}))
    assert said.startswith("rte.jsonl: no column 'sentence1' or 'premise' or 'text_a', found ")
    assert said.endswith("did you mean 'sentence_1'? Set data.columns.a=sentence_1")


def test_text_that_is_none_names_the_row():
    rows = placed({"sentence": "fine", "label": 1}, {"sentence": None, "label": 1})
    assert refused(rows, "sst2") == (
        "rte.jsonl:2: sentence: found None, expected a sentence as text"
    )


def test_same_text_sees_neither_case_nor_spaces():
    one, other, third = (
        {"prompt": {"a": a, "b": b}} for a, b in [("A  b", "C"), ("a b ", "c"), ("a b", None)]
    )
    assert same_text(one) == same_text(other) != same_text(third)
