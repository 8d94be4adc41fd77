"""Question and reference files, good and bad."""

import gzip
import json
from collections import Counter

import pytest

from lib.config.errors import BadInput
from lib.tasks.mt_bench.data import build
from lib.tasks.mt_bench.schema import REFERENCED, TEMPERATURES, Data


def question(number, category="writing", **changes) -> dict:
    turns = [f"Question {number}?", f"And {number} again?"]
    return {"question_id": number, "category": category, "turns": turns} | changes


def reference(number, **changes) -> dict:
    choices = [{"index": 0, "turns": [f"Answer {number}.", f"Another {number}."]}]
    return {"question_id": number, "answer_id": "x", "choices": choices} | changes


@pytest.fixture
def write(tmp_path):
    def write_lines(records: list, name: str = "question.jsonl") -> str:
        path = tmp_path / name
        lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return str(path)

    return write_lines


def test_the_sample_has_every_category():
    splits = build(Data(questions="sample"))
    rows = splits.rows["test"]
    assert sorted(row["category"] for row in rows) == sorted(TEMPERATURES)
    for row in rows:
        assert set(row) == {"id", "category", "turns", "reference"}
        assert len(row["turns"]) == 2
        assert (row["reference"] is not None) == (row["category"] in REFERENCED)
    assert len({row["id"] for row in rows}) == len(rows)
    assert splits.report["judge_prompts"]["source"] == "lossgrid"


def test_no_questions_make_no_rows():
    assert build(Data()).rows == {"test": []}


def test_rows_of_files(write):
    questions = [
        question(81),
        question(101, "math", reference=["inline", "is not used"]),
        question("c1", "coding"),
    ]
    references = [reference("c1"), reference(101), reference(81), reference(999)]
    data = Data(questions=write(questions), references=write(references, "gpt-4.jsonl"))
    splits = build(data)
    rows = {row["id"]: row for row in splits.rows["test"]}
    assert [rows[name] for name in ("81", "101", "c1")] == [
        {"id": "81", "category": "writing", "reference": None,
         "turns": ["Question 81?", "And 81 again?"]},
        {"id": "101", "category": "math", "reference": ["Answer 101.", "Another 101."],
         "turns": ["Question 101?", "And 101 again?"]},
        {"id": "c1", "category": "coding", "reference": ["Answer c1.", "Another c1."],
         "turns": ["Question c1?", "And c1 again?"]},
    ]  # fmt: skip
    assert splits.report["categories"] == {"writing": 1, "math": 1, "coding": 1}
    assert len(splits.report["questions"]["sha256"]) == 64


def test_files_as_all_others_are_read(tmp_path):
    path = tmp_path / "question.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8-sig") as file:
        file.write(f"{json.dumps(question(1))}\n\n{json.dumps(question(2))}\n")
    assert {row["id"] for row in build(Data(questions=str(path))).rows["test"]} == {"1", "2"}


def test_questions_that_need_no_reference_need_no_file(write):
    data = Data(questions=write([question(1), question(2, "stem")]))
    assert {row["id"] for row in build(data).rows["test"]} == {"1", "2"}


def test_a_limit_takes_from_every_category(write):
    records = [question(10 * i + j, c) for i, c in enumerate(TEMPERATURES) for j in range(10)]
    rows = build(Data(questions=write(records), references=write(
        [reference(n) for n in range(80)], "r.jsonl"), limit=20)).rows["test"]  # fmt: skip
    assert set(Counter(row["category"] for row in rows).values()) == {2, 3}


def test_only_questions_within_the_limit_need_references(write):
    data = Data(questions=write([*map(question, range(3)), question(9, "math")]), limit=1)
    assert [row["category"] for row in build(data).rows["test"]] == ["writing"]


NEEDY = [question(1), question(2, "math"), question(3, "coding")]


@pytest.mark.parametrize(
    ("questions", "references", "expected"),
    [
        (["{"], None, "question.jsonl:1: malformed JSON"),
        ([], None, "question.jsonl: no rows"),
        (
            [question(1), question(1)],
            None,
            "jsonl:2: question_id 1 is there twice, .*jsonl:1$",
        ),
        ([question(None)], None, "jsonl:1: question_id: found no words"),
        ([{"questionid": 1}], None, "no column 'question_id', .*did you mean 'questionid'"),
        ([question(True)], None, "question_id: found true"),
        ([question(1, "maths")], None, "category: found 'maths', .*did you mean 'math'"),
        ([question(1, None)], None, "category: found None"),
        ([question(1, ["math"])], None, "category: found .'math'., expected"),
        ([question(1, turns=["one"])], None, "turns: found .'one'., expected a list of 2"),
        ([question(1, turns="one")], None, "turns: found 'one'"),
        ([question(1, turns=["one", " "])], None, "turns: text 2: found no words"),
        ([question(1, turns=["one", 2])], None, "text 2: found the number 2"),
        ([question(1, turns=["a\ud800", "b"])], None, "text 1: found half a char.* character 2"),
        (NEEDY, None, "question.jsonl: question 2 .math. .* mt_bench.references is null"),
        (NEEDY, [reference(2)], "r.jsonl: no reference for question 3 .coding. of .*jsonl$"),
        (NEEDY, [reference(9)], "r.jsonl: no reference for question 2 .math. of .*, as 1 more"),
        (NEEDY, [reference(2), reference(2)], "r.jsonl:2: question_id 2 is there twice"),
        (NEEDY, [reference(2, choices=[])], "r.jsonl:1: choices: found ..,"),
        (NEEDY, [reference(2, choices=[{"turns": ["a"]}])], "r.jsonl:1: turns: found .'a'."),
        (NEEDY, [reference(2, choices=[{"turns": ["a", ""]}])], "text 2: found no words"),
        (NEEDY, ["3"], "r.jsonl:1: found 3, expected an object such as .*choices"),
    ],
)
def test_bad_files(write, questions, references, expected):
    path = write(questions)
    beside = None if references is None else write(references, "r.jsonl")
    with pytest.raises(BadInput, match=expected) as error:
        build(Data(questions=path, references=beside))
    assert "\n" not in str(error.value)


def test_missing_files(write, tmp_path):
    path = write([question(1, "math")])
    with pytest.raises(BadInput, match="mt_bench.questions: .*questions.jsonl: no such file; did"):
        build(Data(questions=str(tmp_path / "questions.jsonl")))
    with pytest.raises(BadInput, match="no such file; did you mean 'sample'"):
        build(Data(questions="samples"))
    with pytest.raises(BadInput, match="mt_bench.references: .*no such file"):
        build(Data(questions=path, references=str(tmp_path / "absent")))
    with pytest.raises(BadInput, match="no such file"):
        build(Data(questions="sample", judge_prompts=str(tmp_path / "absent")))
