"""Requests from files as they come: columns found, oddities repaired, errors that quote nothing."""

import json
from collections import Counter

import pytest

from lib.config.errors import BadInput
from lib.tasks.safety.data import build, messages
from lib.tasks.safety.schema import HAZARDS, Data, hazard_of

# As AILuminate's files are: CRLF, a cell of two lines, U+0019 and U+0014 for ’ and —.
HEAD = "release_prompt_id,prompt_text,hazard,persona,locale,prompt_hash\r\n"
FILE = (
    HEAD + 'a1,"First\r\nline, and second",vcr,skilled,en_US,0\r\n'
    "a2,What\x19s this \x14 a secret?,SPC_lgl,unskilled,en_US,1\r\n"
    "a3,Plain,dfm,skilled,en_US,2\r\n"
)
WORDS = ("First", "secret", "Plain")


@pytest.fixture
def write(tmp_path):
    def put(text: str, name: str = "prompts.csv") -> str:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return str(path)

    return put


def test_a_file_as_it_comes(write):
    splits = build(Data(prompts=write(FILE)))
    assert sorted(splits.rows["test"], key=lambda row: row["id"]) == [
        {"id": "a1", "prompt": "First\nline, and second", "hazard": "vcr", "target": ""},
        {"id": "a2", "prompt": "What’s this — a secret?", "hazard": "spc_lgl", "target": ""},
        {"id": "a3", "prompt": "Plain", "hazard": "dfm", "target": ""},
    ]
    assert splits.report["columns"] == {
        "id": "release_prompt_id", "prompt": "prompt_text", "hazard": "hazard"
    }  # fmt: skip
    assert splits.report["repaired_rows"] == {
        "carriage returns": 1, "U+0014 for U+2014": 1, "U+0019 for U+2019": 1
    }  # fmt: skip
    assert splits.report["hazards"] == {"vcr": 1, "spc_lgl": 1, "dfm": 1}
    assert splits.report["hazards_unknown_to_ailuminate"] == []
    assert len(splits.report["prompts"]["sha256"]) == 64


def test_other_columns_and_formats(write):
    named = build(Data(prompts=write("frage,art\nWas?,other\n"),
                       columns={"prompt": "frage", "hazard": "art"}))  # fmt: skip
    assert named.rows["test"] == [
        {"id": "row-1", "prompt": "Was?", "hazard": "other", "target": ""}
    ]
    assert named.report["hazards_unknown_to_ailuminate"] == ["other"]
    lines = json.dumps({"Prompt": "What?", "Category": "hte", "id": 7})
    assert build(Data(prompts=write(lines, "p.jsonl"))).rows["test"] == [
        {"id": "7", "prompt": "What?", "hazard": "hte", "target": ""}
    ]


def test_no_requests_are_no_rows():
    splits = build(Data())
    assert (splits.rows, splits.report["missing"]) == ({"test": []}, "prompts: null, not measured")


def test_the_sample_is_mild_and_has_every_hazard():
    rows = build(Data(prompts="sample")).rows["test"]
    assert {row["hazard"] for row in rows} == set(HAZARDS)
    assert len({row["id"] for row in rows}) == len({row["prompt"] for row in rows}) == len(HAZARDS)


def test_a_limit_takes_from_every_hazard_and_not_from_its_parts(write):
    parts = ["vcr"] * 3 + ["spc_ele", "spc_fin", "spc_hlt"] + ["hte"] * 3
    text = HEAD + "".join(f"i{n},text {n},{code},s,e,0\n" for n, code in enumerate(parts))
    rows = build(Data(prompts=write(text), limit=6)).rows["test"]
    assert Counter(hazard_of(row["hazard"]) for row in rows) == {"vcr": 2, "spc": 2, "hte": 2}


def test_parts_of_a_hazard():
    assert [hazard_of(c) for c in ("spc_lgl", "sxc_prn", "vcr", "other_thing")] == [
        "spc", "sxc", "vcr", "other_thing"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("id,hazard\n1,vcr\n", {}, "prompts.csv: no column 'prompt', found id, hazard; expected "
         "prompt, hazard; Set safety.columns.prompt=COLUMN"),
        ("prompt\nPlain\n", {}, "no column 'hazard', found prompt"),
        (FILE, {"prompt": "promt_text"}, "no column 'promt_text' .safety.columns.prompt., found .*"
         "did you mean 'prompt_text'"),
        (HEAD, {}, "prompts.csv: no rows"),
        (HEAD + "a,  ,vcr,s,e,0\n", {}, "prompts.csv:2: prompt_text: found no words, expected"),
        (HEAD + "a,Plain,,s,e,0\n", {}, "prompts.csv:2: hazard: found no words"),
        (HEAD + "a,Plain,vcr,s,e,0\n" * 2, {}, "prompts.csv:3: release_prompt_id: 'a' is there "
         "twice, first in .*prompts.csv:2"),
        (HEAD + "a,Plain\n", {}, "prompts.csv:2: found 2 fields, expected 6"),
        (HEAD + 'a,"Plain,vcr,s,e,0\n', {}, "prompts.csv:2: malformed CSV"),
    ],
)  # fmt: skip
def test_bad_files_in_one_line_that_quotes_no_request(write, text, columns, expected):
    with pytest.raises(BadInput, match=expected) as error:
        build(Data(prompts=write(text), columns=columns))
    assert "\n" not in str(error.value)
    assert not any(word in str(error.value) for word in WORDS)


def test_a_file_that_is_not_there_leaves_safety_unmeasured(tmp_path):
    for path in (tmp_path / "set.csv", tmp_path / "nowhere" / "set.jsonl.gz"):
        splits = build(Data(prompts=str(path)))
        assert splits.rows == {"test": []}
        assert splits.report["missing"] == f"prompts: {path}: no such file, not measured"


def test_a_misspelt_file_is_an_error(write, tmp_path):
    write(FILE)
    with pytest.raises(BadInput, match="safety.prompts: .*no such file.*; did you .*'prompts.csv'"):
        build(Data(prompts=str(tmp_path / "prompt.csv")))
    with pytest.raises(BadInput, match="safety.prompts: samples: no such file, .*mean 'sample'"):
        build(Data(prompts="samples"))
    with pytest.raises(BadInput, match="safety.prompts: ailuminate: no such file, expected AIL"):
        build(Data(prompts="ailuminate"))


def test_a_request_as_a_chat():
    row = {"id": "a", "prompt": "What?", "hazard": "vcr", "target": ""}
    assert messages(row, Data()) == [{"role": "user", "content": "What?"}]
    assert messages(row, Data(system="Be kind."))[0] == {"role": "system", "content": "Be kind."}
