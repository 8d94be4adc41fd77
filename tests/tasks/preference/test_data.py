"""The splits of pairs: own ones and cut ones, no prompt on two sides, prompt and tokens."""

import gzip
import json

import pytest

from lib.config.errors import BadInput
from lib.tasks.preference import data as preference
from lib.tasks.preference.pairs import prompt_key
from lib.tasks.preference.schema import Data
from lib.tasks.preference.synthetic import generate


def pairs(first, last, **more):
    return [
        {"id": n, "prompt": f"Question {n}?", "chosen": f"Yes {n}.", "rejected": "No."} | more
        for n in range(first, last)
    ]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def build(source, debug=False, **keys):
    return preference.build(Data(source=str(source), **keys), [], None, debug)


def refused(source, **keys):
    with pytest.raises(BadInput) as error:
        build(source, **keys)
    assert "\n" not in str(error.value)
    return str(error.value)


def ids(rows):
    return [row["id"] for row in rows]


def sizes(splits):
    return {name: len(rows) for name, rows in splits.rows.items()}


def prompts(rows):
    return {prompt_key(row["prompt"]["messages"]) for row in rows}


@pytest.fixture
def source(tmp_path):
    return jsonl(tmp_path / "pairs.jsonl", pairs(0, 200))


@pytest.fixture
def divided(tmp_path):
    """Return a file with a column `split`: 100 train, 20 test, 5 of a third split, no good."""
    rows = [*pairs(0, 100, split="train"), *pairs(100, 120, split="test")]
    return jsonl(tmp_path / "divided.jsonl", rows + pairs(120, 125, split="extra", chosen=""))


# -- splits ----------------------------------------------------------------------------------------


def test_a_file_is_cut_by_seed(source):
    splits = build(source)
    assert sizes(splits) == {"train": 162, "validation": 18, "test": 20}
    everything = [name for rows in splits.rows.values() for name in ids(rows)]
    assert sorted(everything, key=int) == [str(n) for n in range(200)]
    assert build(source).rows == splits.rows
    other = build(source, seed=43).rows
    assert set(ids(other["test"])) != set(ids(splits.rows["test"]))


def test_the_order_of_a_file_changes_nothing(source, tmp_path):
    turned = jsonl(tmp_path / "turned.jsonl", pairs(0, 200)[::-1])
    assert build(turned).rows == build(source).rows


def test_the_training_pairs_are_those_of_the_validation_cut(source):
    """The test pairs do not depend on the validation share, nor either on the limits."""
    whole, none = build(source).rows, build(source, validation=0).rows
    assert none["test"] == whole["test"]
    assert set(none) == {"train", "test"}
    few = build(source, train_rows=30, validation_rows=4).rows
    assert few["test"] == whole["test"]
    assert few["train"] == whole["train"][:30]
    assert few["validation"] == whole["validation"][:4]


def test_a_file_with_a_column_split(divided):
    splits = build(divided)
    assert sizes(splits) == {"train": 90, "validation": 10, "test": 20}
    assert set(ids(splits.rows["test"])) == {str(n) for n in range(100, 120)}
    assert splits.report["source"]["read"] == 120
    smaller = build(divided, test_rows=8).rows
    assert smaller["test"] == splits.rows["test"][:8]
    assert smaller["train"] == splits.rows["train"]


def test_a_file_with_a_column_split_of_which_only_training_pairs_are_wanted(divided):
    splits = build(divided, test_split=None)
    assert sizes(splits) == {"train": 81, "validation": 9, "test": 10}
    assert max(int(name) for rows in splits.rows.values() for name in ids(rows)) < 100


def test_a_column_split_of_another_name(tmp_path):
    rows = pairs(0, 30, part="a") + pairs(30, 40, part="b")
    path = jsonl(tmp_path / "p.jsonl", rows)
    splits = build(path, columns={"split": "part"}, split="a", test_split="b")
    assert sizes(splits) == {"train": 27, "validation": 3, "test": 10}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"split": "tain"}, "column split: no row of 'tain', found train, test, extra; did you "
         "mean 'train'?; name one with data.split"),
        ({"test_split": "dev"}, "no row of 'dev', found train, test, extra; name one with "
         "data.test_split, or cut the test pairs off with data.test_split=null"),
    ],
)  # fmt: skip
def test_splits_that_a_file_has_not(divided, keys, message):
    assert message in refused(divided, **keys)


def test_a_test_source(source, tmp_path):
    """What the training pairs share with any test pair goes, drawn or not."""
    other = [*pairs(0, 10, prompt="QUESTION 7?"), *pairs(190, 210)]
    path = jsonl(tmp_path / "test.jsonl", other)
    splits = build(source, test_source=path, test_rows=5)
    assert sizes(splits) == {"train": 170, "validation": 19, "test": 5}
    assert splits.report["dropped_as_in_test"] == 11
    assert splits.report["test_source"]["read"] == 30
    for name in ("train", "validation"):
        assert not prompts(splits.rows[name]) & prompts(build(path, validation=0).rows["train"])


def test_a_test_source_has_splits_too(source, divided):
    assert len(build(source, test_source=divided).rows["test"]) == 20
    assert "no row of 'dev'" in refused(source, test_source=divided, test_split="dev")
    path_of_all = refused(source, test_source=divided, test_split=None)
    assert "divided.jsonl:121: chosen: found an empty answer" in path_of_all


def test_no_prompt_is_on_two_sides(tmp_path):
    rows = [row | {"prompt": f"Question {row['id'] % 40}?", "rejected": f"No {row['id']}."}
            for row in pairs(0, 200)]  # fmt: skip
    splits = build(jsonl(tmp_path / "p.jsonl", rows))
    train, validation, test = (prompts(splits.rows[n]) for n in ("train", "validation", "test"))
    assert not train & test
    assert not train & validation
    assert not validation & test
    assert sizes(splits) == {"train": 165, "validation": 15, "test": 20}  # 5 pairs a prompt
    assert splits.report["splits"]["test"].items() >= {"rows": 20, "prompts": 4}.items()


def test_a_file_of_few_prompts_still_has_a_test_set(tmp_path):
    rows = [row | {"prompt": f"Question {row['id'] % 3}?"} for row in pairs(0, 30)]
    splits = build(jsonl(tmp_path / "p.jsonl", rows))
    assert sizes(splits) == {"train": 10, "validation": 10, "test": 10}


@pytest.mark.parametrize(
    ("count", "keys", "message"),
    [
        (1, {}, "data.test_rows=None leaves no pair for training: 1 pairs of 1 prompts are there"),
        (5, {"test_rows": 5}, "data.test_rows=5 leaves no pair for training: 5 pairs of 5"),
        (2, {"test_rows": 1}, "data.validation=0.1 leaves no pair for training: 1 pairs of 1"),
        (0, {}, "p.jsonl: no rows"),
    ],
)
def test_too_few_pairs(tmp_path, count, keys, message):
    assert message in refused(jsonl(tmp_path / "p.jsonl", pairs(0, count)), **keys)


def test_no_pair_outside_the_test_set(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", pairs(0, 9))
    for validation in (0, 0.1):
        assert "no pair is left for training" in refused(
            path, test_source=path, validation=validation
        )


def test_nothing_but_ties(tmp_path):
    rows = [{"prompt": "a", "completion_a": "b", "completion_b": "c", "choice": "tie"}] * 3
    message = refused(jsonl(tmp_path / "p.jsonl", rows))
    assert message.endswith("none of 3 rows is a pair that can be used (dropped_ties 3)")


def test_no_test_pair_that_can_be_used(tmp_path):
    rows = pairs(0, 9, split="train") + pairs(9, 12, split="test", rejected="=", chosen="=")
    path = jsonl(tmp_path / "p.jsonl", rows)
    assert refused(path) == f"{path}: no test pair can be used, of those of 'test'"


def test_debug_is_100_rows_at_most(tmp_path):
    few = jsonl(tmp_path / "few.jsonl", pairs(0, 90))
    assert sizes(build(few, debug=True)) == {"train": 73, "validation": 8, "test": 9}
    path = jsonl(tmp_path / "p.jsonl", pairs(0, 3000))
    assert sizes(build(path, debug=True)) == {"train": 100, "validation": 100, "test": 100}
    assert sizes(build(path, debug=True, train_rows=40)) == {
        "train": 40, "validation": 100, "test": 100
    }  # fmt: skip


def test_the_report(divided):
    report = build(divided).report
    assert (report["seed"], report["debug"], report["dropped_as_in_test"]) == (42, False, 0)
    assert report["source"].items() >= {
        "source": divided, "read": 120, "dropped_ties": 0, "dropped_equal": 0,
        "dropped_parted": 0, "dropped_empty": 0, "dropped_duplicates": 0,
    }.items()  # fmt: skip
    assert len(report["source"]["sha256"]) == 64
    assert report["splits"]["train"] == {
        "rows": 90, "prompts": 90, "asked": None, "key": "data.train_rows"
    }  # fmt: skip


def test_kinds_of_files(tmp_path, source):
    csv = tmp_path / "p.csv"
    lines = (f"{r['id']},{r['prompt']},{r['chosen']},{r['rejected']}" for r in pairs(0, 200))
    csv.write_text("id,prompt,chosen,rejected\n" + "\n".join(lines))
    zipped = tmp_path / "p.json.gz"
    zipped.write_bytes(gzip.compress(json.dumps(pairs(0, 200)).encode()))
    assert build(csv).rows == build(zipped).rows == build(source).rows


def test_hub(monkeypatch):
    """A data set of the hub has splits of its own; test pairs win."""
    import datasets

    asked = []

    def load_dataset(name, split):
        asked.append((name, split))
        rows = pairs(0, 50) if split.startswith("train") else pairs(45, 60)
        for row in rows:
            question = [{"role": "user", "content": row.pop("prompt")}]
            for side in ("chosen", "rejected"):
                row[side] = [*question, {"role": "assistant", "content": row[side]}]
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    splits = build("owner/pairs")
    assert asked == [("owner/pairs", "train"), ("owner/pairs", "test")]
    assert sizes(splits) == {"train": 41, "validation": 4, "test": 15}
    assert splits.report["dropped_as_in_test"] == 5
    assert splits.report["source"]["split"] == "train"
    assert splits.report["test_source"]["split"] == "test"
    asked.clear()
    assert sizes(build("owner/pairs", split="train_prefs", test_split=None))["test"] == 5
    build("owner/pairs", test_source="owner/other", test_split="test_prefs")
    assert asked[0] == ("owner/pairs", "train_prefs")
    assert asked[-1] == ("owner/other", "test_prefs")


# -- synthetic -------------------------------------------------------------------------------------


def test_synthetic():
    splits = build("synthetic", train_rows=36, test_rows=8)
    assert sizes(splits) == {"train": 36, "validation": 4, "test": 8}
    assert sizes(build("synthetic")) == {"train": 900, "validation": 100, "test": 200}
    # The real data that it stands in for have columns and splits of other names.
    renamed = {"columns": {"prompt": "q"}, "split": "train_prefs", "test_split": "test_prefs"}
    assert build("synthetic", train_rows=36, test_rows=8, **renamed).rows == splits.rows
    assert build("synthetic", train_rows=90, test_rows=8).rows["test"] == splits.rows["test"]
    assert build("synthetic", seed=1, train_rows=36).rows["train"] != splits.rows["train"]


def test_synthetic_pairs_are_what_they_say():
    rows = generate(600, 200, 7)
    assert len({row["prompt"] for row in rows}) == len({row["id"] for row in rows}) == 800
    for row in rows:
        one, name, other = row["prompt"].removeprefix("What is ").removesuffix("?").split()
        right = {"plus": int.__add__, "minus": int.__sub__, "times": int.__mul__}[name](
            int(one), int(other)
        )
        assert f" {right}." in row["chosen"]
        assert (f" {right}." in row["rejected"]) == (row["source"] == "synthetic manner")
        assert row["chosen"] != row["rejected"]
    assert {row["source"].split()[1] for row in rows} == {"manner", "truth", "both"}
    assert generate(5, 1, 7) == [*rows[:5], rows[600]]
    # No rule of length tells the better answer.
    longer = sum(len(row["chosen"]) > len(row["rejected"]) for row in rows)
    shorter = sum(len(row["chosen"]) < len(row["rejected"]) for row in rows)
    assert 0.3 < longer / (longer + shorter) < 0.7


# -- prompt and tokens -----------------------------------------------------------------------------

ROW = {
    "id": "1",
    "prompt": {"messages": [{"role": "user", "content": "New idea?"}]},
    "chosen": "Sound theory.",
    "rejected": "Wrong.",
    "target": "Sound theory.",
}


def test_the_prompt():
    data = Data(source="x", system="Be brief.")
    assert preference.messages(ROW, Data(source="x")) == ROW["prompt"]["messages"]
    system = {"role": "system", "content": "Be brief."}
    assert preference.messages(ROW, data) == [system, *ROW["prompt"]["messages"]]
    own = {"prompt": {"messages": [{"role": "system", "content": "S"}, *ROW["prompt"]["messages"]]}}
    assert preference.messages(own, data) == own["prompt"]["messages"]
    assert len(ROW["prompt"]["messages"]) == 1


def test_the_answer_that_is_learnt_against_is_the_rejected_one():
    assert preference.alternative_answer(ROW) == "Wrong."


def test_a_row_as_tokens(tokenizer):
    made = preference.encode(ROW, tokenizer, Data(source="x"), 64)
    assert set(made) == {
        "id", "prompt_ids", "chosen_ids", "rejected_ids", "cut", "prompt_hash"
    }  # fmt: skip
    assert made["id"] == "1"
    assert tokenizer.decode(made["chosen_ids"]) == "Sound theory.<|im_end|>"
    room = len(made["prompt_ids"])
    assert preference.encode(ROW, tokenizer, Data(source="x"), room) is None


def test_a_template_that_refuses_a_conversation_is_told_with_the_row(tokenizer, monkeypatch):
    template = "{{ raise_exception('System role not supported') }}"
    monkeypatch.setattr(tokenizer, "chat_template", template)
    with pytest.raises(BadInput, match=r"x: row 1: the chat template of .* refuses a conversation "
                                       r"of system, user: System role not supported"):  # fmt: skip
        preference.encode(ROW, tokenizer, Data(source="x", system="S"), 64)
