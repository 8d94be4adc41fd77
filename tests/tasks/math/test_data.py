"""Splits, examples, prompts and what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.data.question_key import question_key as normalised
from lib.tasks.math.data import build, messages, rendering, train_split
from lib.tasks.math.duplicates import near_duplicates
from lib.tasks.math.problems import Problem
from lib.tasks.math.schema import INSTRUCTION, Data
from tests.tasks.math.made import jsonl, problem

SAMPLE = SimpleNamespace(full_test=False)
FULL = SimpleNamespace(full_test=True)


@pytest.fixture
def files(tmp_path):
    """40 training and 50 test problems; the first three questions are in both, written apart."""
    train = [problem(n) for n in range(40)]
    test = [problem(n) for n in range(1000, 1047)]
    test += [{**row, "question": row["question"].upper().replace(":", " -")} for row in train[:3]]
    return {
        "source": jsonl(tmp_path / "train.jsonl", train),
        "test_source": jsonl(tmp_path / "test.jsonl", test),
    }


def built(data, evaluate=SAMPLE, debug=False, **swept):
    sections = [data.model_copy(update=dict(zip(swept, values, strict=True)))
                for values in zip(*swept.values(), strict=True)] or [data]  # fmt: skip
    return build(data, sections, evaluate, debug), sections


def keys(rows):
    return {normalised(row["prompt"]["question"]) for row in rows}


def test_no_question_is_in_two_places(files):
    made, _ = built(Data(**files, validation_rows=5))
    rows, report = made.rows, made.report
    assert {name: len(of) for name, of in rows.items()} == {
        "test": 10, "validation": 5, "train": 40 - 3 - 8 - 5,
    }  # fmt: skip
    shots = {normalised(shot["question"]) for shot in report["shots"]}
    assert len(shots) == 8
    whole, _ = built(Data(**files, validation_rows=5), FULL)
    assert len(whole.rows["test"]) == 50
    tested = keys(whole.rows["test"])
    for one, other in ((keys(rows["train"]), tested), (keys(rows["train"]), shots),
                       (keys(rows["train"]), keys(rows["validation"])), (shots, tested),
                       (shots, keys(rows["validation"]))):  # fmt: skip
        assert not one & other
    assert report["source"]["dropped_as_in_test"] == 3
    assert report["source"]["dropped_as_example"] == 8
    assert report["source"]["dropped_as_in_validation"] == 5
    # Whether the test set is sampled changes nothing else.
    assert whole.rows["train"] == rows["train"]
    assert whole.report["shots"] == report["shots"]
    assert keys(rows["test"]) < tested


def test_rows(files):
    made, _ = built(Data(**files))
    row = made.rows["train"][0]
    number = row["id"].removeprefix("train-")
    assert row == {
        "id": f"train-{number}",
        "prompt": {"question": f"Question {number}: what is {number} times one?"},
        "target": f"It is {number}*1={number}.\n#### {number}",
        "final": number,
        "steps": 1,
    }
    assert len(made.rows["test"][0]["shots"]) == 8
    assert "<<" not in json.dumps(made.rows)
    kept, _ = built(Data(**files, annotations=True))
    assert "<<" in kept.rows["train"][0]["target"]
    assert "<<" in kept.rows["test"][0]["shots"][0]["answer"]


def test_the_sample_is_a_fifth_rounded_down_and_the_head_of_all(files, tmp_path):
    sample, _ = built(Data(**files))
    whole, _ = built(Data(**files), FULL)
    assert sample.rows["test"] == whole.rows["test"][:10]
    few, _ = built(Data(**files, test_rows=4))
    assert few.rows["test"] == whole.rows["test"][:4]
    # By hand: the order is that of a hash of seed, use, question and id.
    hashes = [digest([42, "test", normalised(r["prompt"]["question"]), r["id"]])
              for r in whole.rows["test"]]  # fmt: skip
    assert hashes == sorted(hashes)
    other, _ = built(Data(**files, seed=43))
    assert other.rows["test"] != sample.rows["test"]
    # 1,319 · 0.2 = 263.8, and 0.29 · 100 is 28.999… in floating point.
    many = jsonl(tmp_path / "many.jsonl", [problem(n) for n in range(2000, 3319)])
    big, _ = built(Data(source=files["source"], test_source=many))
    assert len(big.rows["test"]) == 263
    hundred = jsonl(tmp_path / "hundred.jsonl", [problem(n) for n in range(2000, 2100)])
    made, _ = built(Data(source=files["source"], test_source=hundred, test_share=0.29))
    assert len(made.rows["test"]) == 29


def test_the_order_of_a_file_changes_no_draw(files, tmp_path):
    lines = Path(files["source"]).read_text().splitlines()
    rows = [{"id": n, **json.loads(line)} for n, line in enumerate(lines)]
    turned = jsonl(tmp_path / "turned.jsonl", rows[::-1])
    one, _ = built(Data(**files, validation_rows=5, train_rows=6))
    other, _ = built(Data(**files | {"source": turned}, validation_rows=5, train_rows=6))
    assert one.rows == other.rows


def test_points_may_differ_in_examples_and_training_rows(files, tmp_path):
    mixed = [problem(n) for n in range(100, 130)] + [problem(n) for n in range(10, 40)]
    own = jsonl(tmp_path / "self.jsonl", mixed)
    data = Data(**files, self_instruct=own, validation_rows=5)
    made, sections = built(
        data,
        shots=(3, 8, 1, 0),
        train_on=("source", "self_instruct", "source", "self_instruct"),
        train_rows=(None, None, 1, 12),
    )
    names = [train_split(one) for one in sections]
    assert names == ["train", "train_self_instruct", "train_1", "train_self_instruct_12"]
    assert [rendering(one) for one in sections] == ["3shot", "8shot", "1shot", "0shot"]
    rows = made.rows
    assert set(rows) == {"test", "validation", *names}
    assert rows["train_1"] == rows["train"][:1]
    assert rows["train_self_instruct_12"] == rows["train_self_instruct"][:12]
    # The other file's copies of examples, validation and test questions are removed too.
    shots = {normalised(shot["question"]) for shot in made.report["shots"]}
    for name in names:
        assert not keys(rows[name]) & (shots | keys(rows["validation"]) | keys(rows["test"]))
    gone = sum(made.report["self_instruct"][f"dropped_{why}"] for why in
               ("as_example", "as_in_validation", "as_in_test", "repeated"))  # fmt: skip
    assert gone > 0
    assert len(rows["train_self_instruct"]) == 60 - gone
    assert all(row["id"].startswith("self_instruct-") for row in rows["train_self_instruct"])


def test_every_form_of_a_file_gives_the_same_rows(files, tmp_path):
    ours = [problem(n) for n in range(50, 70)]
    forms = {
        "a": [{"instruction": r["question"], "output": r["answer"]} for r in ours],
        "b": [{"messages": [{"role": "user", "content": r["question"]},
                            {"role": "assistant", "content": r["answer"]}]} for r in ours],
        "c": ours,
    }  # fmt: skip
    found = []
    for name, rows in forms.items():
        path = jsonl(tmp_path / f"{name}.jsonl", rows)
        data = Data(**files, self_instruct=path, train_on="self_instruct")
        found.append(built(data)[0].rows["train_self_instruct"])
    assert found[0] == found[1] == found[2]
    two_parts = [{"instruction": "Solve.", "input": r["question"], "output": r["answer"]}
                 for r in ours]  # fmt: skip
    path = jsonl(tmp_path / "d.jsonl", two_parts)
    rows = built(Data(**files, self_instruct=path, train_on="self_instruct"))[0].rows
    assert rows["train_self_instruct"][0]["prompt"]["question"].startswith("Solve.\n\nQuestion")
    mapped = jsonl(tmp_path / "m.jsonl", [{"q": r["question"], "a": r["answer"]} for r in ours])
    data = Data(source=mapped, test_source=mapped, columns={"question": "q", "answer": "a"})
    with pytest.raises(BadInput, match="0 problems that are not in the test set"):
        built(data)


def test_a_prompt_is_a_conversation(files):
    made, _ = built(Data(**files))
    row = made.rows["test"][0]
    said = messages(row, Data(**files, shots=2))
    shots = made.report["shots"]
    assert [m["role"] for m in said] == ["user", "assistant", "user", "assistant", "user"]
    assert said[0]["content"] == f"{INSTRUCTION}\n\n{shots[0]['question']}"
    assert said[1]["content"] == shots[0]["answer"]
    assert said[2]["content"] == shots[1]["question"]
    assert said[4]["content"] == row["prompt"]["question"]
    bare = messages(made.rows["train"][0], Data(**files, shots=2, instruction="", system="Count."))
    assert bare == [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": made.rows["train"][0]["prompt"]["question"]},
    ]
    assert rendering(Data(**files, shots=2)) == "2shot"
    assert rendering(Data(**files, shots=2, system="Count.")).startswith("2shot-")


def test_the_hub_has_a_configuration(monkeypatch):
    import datasets

    asked = []

    def load_dataset(*names, split):
        asked.append((*names, split))
        start = {"train": 0, "test": 500}[split]
        return datasets.Dataset.from_list([problem(start + n) for n in range(20)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    made, _ = built(Data(source="openai/gsm8k", config="main"))
    assert asked == [("openai/gsm8k", "main", "test"), ("openai/gsm8k", "main", "train")]
    assert [len(made.rows[name]) for name in ("test", "train")] == [4, 12]
    assert made.report["shots"][0]["id"].startswith("train-")


def test_debug_and_synthetic():
    made, _ = built(Data(source="synthetic", validation_rows=6, train_rows=300), debug=True)
    assert len(made.rows["train_300"]) == 100
    made, _ = built(Data(source="synthetic", validation_rows=6, train_rows=30, test_rows=8))
    assert [len(made.rows[n]) for n in ("train_30", "validation", "test")] == [30, 6, 8]
    same, _ = built(Data(source="synthetic", self_instruct="synthetic", train_on="self_instruct",
                         validation_rows=6, train_rows=30, test_rows=8))  # fmt: skip
    assert same.rows["test"] == made.rows["test"]
    assert not keys(same.rows["train_self_instruct_30"]) & keys(made.rows["train_30"])


def test_questions_that_symbols_tell_apart_are_all_trained_on(files, tmp_path):
    signs = ("+", "-", "\u2212 -", "×", "/", "<")
    rows = [{"question": f"What is {n} {sign} {n + 1}?", "answer": f"#### {n}"}
            for n in range(10) for sign in signs]  # fmt: skip
    made, _ = built(Data(**files | {"source": jsonl(tmp_path / "s.jsonl", rows)}))
    assert made.report["source"]["dropped_repeated"] == 0
    assert len(made.rows["train"]) == 60 - 8


def test_near_duplicates_count_rows_that_are_trained_on_and_tested(files):
    made, _ = built(Data(**files, train_rows=6), train_rows=(4, 6))
    report = made.report["near_duplicates"]
    assert (report["train"], report["test"]) == (6, len(made.rows["test"]))


def test_a_training_set_that_is_short_says_what_was_asked(files):
    made, _ = built(Data(**files, train_rows=36))
    expected = {"rows": 40 - 3 - 8, "asked": 36, "key": "data.train_rows"}
    assert made.report["splits"]["train_36"] == expected


def near(text, number=0):
    return Problem(id=f"p{number}", question=text, answer="#### 1")


def test_near_duplicates_are_counted_and_named():
    story = "Ada has 3 apples and buys 4 more at the market. How many apples does Ada have?"
    other = "Bob has 5 apples and buys 6 more at the market. How many apples does Bob have?"
    far = "A train leaves at noon and drives 60 miles an hour. When has it gone 240 miles?"
    train = [near(far, 1), near(other, 2), near(story.upper(), 3)]
    found = near_duplicates(train, [near(story, 7), near("Nothing alike.", 8)], 0.9)
    assert (found["found"], found["test"], found["train"]) == (1, 2, 3)
    assert found["pairs"] == [{"test": "p7", "train": "p3", "similarity": 1.0}]
    # The same story with other names and numbers is alike, and not equal.
    (pair,) = near_duplicates(train[:2], [near(story, 7)], 0.7)["pairs"]
    assert pair["train"] == "p2"
    assert 0.7 < pair["similarity"] < 0.999
    assert near_duplicates(train[:1], [near(story, 7)], 0.7)["found"] == 0
    assert near_duplicates([], [near(story)], 0.5)["found"] == 0


BAD_ANSWER = "answer: found no number behind ####"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([problem(1), problem(2, "It is two.")], rf"train.jsonl:2: {BAD_ANSWER} .*two.*#### 42"),
        ([problem(1, "#### two")], rf"train.jsonl:1: {BAD_ANSWER} .'two'"),
        ([problem(1, "two ####")], BAD_ANSWER),
        ([{"question": " ", "answer": "#### 1"}], "train.jsonl:1: question: found no words"),
        ([{"question": "What?", "answer": None}], "answer: found no words"),
        ([{"question": "a\ud800?", "answer": "#### 1"}], "question: found half a character"),
        ([{"problem": "a", "answer": "#### 1"}], "no column 'question'.*did you mean 'problem'"),
        ([{"question": "a", "solution": "#### 1"}], "Set data.columns.answer=solution"),
        ([{"messages": [{"role": "user", "content": "a"}]}], "found roles user, expected one"),
        (
            [
                {
                    "messages": [
                        {"role": "system", "content": "S"},
                        {"role": "user", "content": "a"},
                        {"role": "assistant", "content": "#### 1"},
                    ]
                }
            ],
            "found a system message",
        ),
        ([{"messages": "a"}], "messages: found 'a', expected a list of messages"),
        ([problem(n) for n in range(8)], "5 problems that are not in the test set, expected more"),
    ],
)
def test_bad_training_files(files, tmp_path, rows, expected):
    (tmp_path / "bad").mkdir()
    path = jsonl(tmp_path / "bad" / "train.jsonl", rows)
    with pytest.raises(BadInput, match=expected) as error:
        built(Data(**files | {"source": path}))
    assert "\n" not in str(error.value)


def test_ids_of_a_source_are_kept_where_they_tell_its_problems_apart(files, tmp_path):
    def ids(given):
        path = jsonl(tmp_path / "own.jsonl", [{"id": i, **problem(n)} for n, i in given])
        made, _ = built(Data(**files, self_instruct=path, train_on="self_instruct"))
        return {row["id"] for row in made.rows["train_self_instruct"]}

    assert ids([(50, "a"), (51, "b")]) == {"self_instruct-a", "self_instruct-b"}
    assert ids([(50, "a"), (51, "a")]) == {"self_instruct-0", "self_instruct-1"}
    assert ids([(50, "a"), (51, None)]) == {"self_instruct-0", "self_instruct-1"}


def test_bad_settings(files, tmp_path):
    data = Data(**files)
    with pytest.raises(BadInput, match="data.shots: found 9, expected at most 8: so many examples"):
        built(data, shots=(3, 9))
    with pytest.raises(BadInput, match="data.self_instruct: found null, expected a file"):
        built(data, train_on=("self_instruct",))
    with pytest.raises(BadInput, match="data.test_source: found null, expected a file"):
        built(Data(source=files["source"]))
    bad = jsonl(tmp_path / "bad.jsonl", [problem(1, "no mark")])
    with pytest.raises(BadInput, match="bad.jsonl:1: answer: found no number"):
        built(Data(**files, self_instruct=bad, train_on="self_instruct"))


def test_the_training_set_may_not_vanish(files, tmp_path):
    copied = jsonl(tmp_path / "copied.jsonl", [problem(0), problem(1)])
    with pytest.raises(BadInput, match="copied.jsonl: no problem is left for training"):
        built(Data(**files, self_instruct=copied, train_on="self_instruct"))
