"""Odd values in every column of every task: read, or refused in one line that names the row."""

import json
import math
import subprocess
import sys
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from lib.config import tasks
from lib.config.errors import BadInput

EVALUATE = SimpleNamespace(full_test=False, thresholds={})
CHAT = [{"role": "user", "content": "Title: A"}, {"role": "assistant", "content": "Accept"}]
# Task → (a good row by number, the columns that are changed, the section's keys but its source).
ROWS = {
    "decision": (
        lambda n: {"id": n, "title": f"On {n} things", "abstract": f"About {n}.", "year": 2020,
                   "decision": ("accept", "reject")[n % 2]},
        {"ratio": "1:1", "test_rows": 2},
    ),
    "math": (
        lambda n: {"id": n, "question": f"What is {n} plus {n}?", "answer": f"#### {2 * n}"},
        {"shot_pool": 1},
    ),
    "symbolic": (
        lambda n: {"template": n % 4, "instance": n, "original_id": n % 4,
                   "original_question": f"What is {n % 4} and what is more?",
                   "question": f"What is {n} plus {n}?", "answer": f"#### {2 * n}"},
        {"held_out_templates": 1, "set_rows": 1},
    ),
    "preference": (
        lambda n: {"id": n, "prompt": f"Why {n}?", "chosen": f"So {n}.", "rejected": f"No {n}.",
                   "source": "s", "split": ("train", "test")[n % 2], "system": ""},
        {},
    ),
    "glue": (
        lambda n: {"sentence1": f"It is {n}.", "sentence2": f"{n} it is.", "label": n % 2},
        {"task": "rte"},
    ),
    "safety": (
        lambda n: {"id": n, "prompt": f"Request {n}", "hazard": "vcr", "persona": "s"}, {},
    ),
    "mt_bench": (
        lambda n: {"question_id": n, "category": "writing", "turns": [f"First {n}?", "Second?"]},
        {},
    ),
}  # fmt: skip
ODD = [None, "", " ", True, False, 0, -1, 1.5, math.nan, math.inf, [], ["a"], {}, {"value": "a"},
       [None], [[]], CHAT, "nan", "null", "\0", "a\ud800", "9" * 5000, "-" * 300, "[", "{}",
       json.dumps(CHAT), str(CHAT), "#### 1", "\u200b", "½", "٣"]  # fmt: skip


def build(task, path):
    row, more = ROWS[task]
    source = {
        "safety": {"prompts": path},
        "mt_bench": {"questions": path},
        "glue": {"files": {"rte": {"train": path, "dev": path.replace("rows.", "test.")}}},
        "math": {"source": path, "test_source": path.replace("rows.", "test.")},
    }.get(task, {"source": path})
    asked = tasks.get(task)
    return asked.build(asked.schema(**source, **more), [], EVALUATE, False)


def attempt(task, path):
    """(splits, None), or (None, the line that refuses them); any other exception is a fault."""
    try:
        return build(task, path), None
    except BadInput as error:
        return None, str(error)


def columns():
    return [(task, column) for task, (row, _) in ROWS.items() for column in row(0)]


@pytest.mark.parametrize(("task", "column"), columns())
def test_odd_values(task, column, tmp_path):
    row = ROWS[task][0]
    good = [row(n) for n in range(24)]
    (tmp_path / "test.jsonl").write_text("".join(f"{json.dumps(row(n))}\n" for n in range(90, 99)))
    path = tmp_path / "rows.jsonl"
    for value in ODD:
        lines = [*good[:20], row(20) | {column: value}, *good[20:]]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        made, said = attempt(task, str(path))
        if made is None:
            assert "\n" not in said
            assert len(said) < 700
            continue
        written = json.dumps([made.rows, made.report], ensure_ascii=False)
        written.encode("utf-8")  # as stage 1 writes it
        for wrong in ("nan", "None", "True", "[None]", "{'value'", "Infinity"):
            if not (isinstance(value, str) or value is None):
                assert f'"{wrong}"' not in json.dumps(made.rows)


@pytest.mark.parametrize("task", ["decision", "math", "symbolic", "preference", "glue", "safety"])
def test_columns_with_meaning_are_read_or_refused(task, tmp_path):
    row = ROWS[task][0]
    (tmp_path / "test.jsonl").write_text("".join(f"{json.dumps(row(n))}\n" for n in range(90, 99)))
    path = tmp_path / "rows.jsonl"
    for column, value in {"images": ["a.png"], "tools": [{}], "weight": 2, "system": "Be kind.",
                          "history": [["a", "b"]], "note": "read by nobody"}.items():  # fmt: skip
        lines = [*(row(n) for n in range(20)), row(20) | {column: value}]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        if column == "note":
            assert "note" in json.dumps(build(task, str(path)).report)
        elif (task, column) == ("preference", "system"):
            made = build(task, str(path)).rows
            systems = [r["prompt"]["messages"][0] for rows in made.values() for r in rows]
            assert {"role": "system", "content": "Be kind."} in systems
        else:
            with pytest.raises(BadInput, match=f"rows.jsonl:21: {column}: found "):
                build(task, str(path))


@pytest.mark.parametrize(
    ("task", "name"),
    [("decision", "titel"), ("math", "qestion"), ("symbolic", "templat"), ("preference", "chosn"),
     ("glue", "lable"), ("safety", "promt")],
)  # fmt: skip
def test_columns_of_other_names_are_refused(task, name):
    source = {} if task == "safety" else {"source": "x"}
    with pytest.raises(ValidationError, match="names among .*; did you mean"):
        tasks.get(task).schema(columns={name: "x"}, **source)


@pytest.mark.parametrize("task", ["decision", "math", "symbolic", "preference", "glue"])
def test_points_share_all_keys_of_data_but_those_that_may_be_swept(task):
    section = tasks.get(task).schema(source="x.jsonl")
    wanted = [section, section.model_copy(update={"seed": 1})]
    with pytest.raises(BadInput, match="data.seed: found different values among the points"):
        tasks.get(task).build(section, wanted, EVALUATE, False)


def test_rows_are_read_without_heavy_libraries():
    code = (
        "import sys; from importlib import import_module; from lib.config import tasks; "
        "[import_module(f'lib.tasks.{name}.data') for name in tasks.names()]; "
        "heavy = ('torch', 'transformers', 'datasets', 'pandas', 'numpy', 'pyarrow'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("task", ["safety", "mt_bench"])
def test_a_limit_is_drawn_by_all_that_rows_tell(task, tmp_path):
    kinds = ["writing"] * 12 + ["stem"] * 6 if task == "mt_bench" else ["vcr"] * 12 + ["dfm"] * 6
    column = "category" if task == "mt_bench" else "hazard"
    row = ROWS[task][0]
    lines = [row(n) | {column: kind} | ({"persona": "ab"[n % 6 > 3]} if task == "safety" else {})
             for n, kind in enumerate(kinds)]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    key = {"safety": "prompts", "mt_bench": "questions"}[task]
    section = tasks.get(task).schema(**{key: str(path), "limit": 9})
    made = tasks.get(task).build(section).rows["test"]
    assert sorted(r[column] for r in made) == [kinds[12]] * 3 + [kinds[0]] * 6
    if task == "safety":
        personas = {line["prompt"]: line["persona"] for line in lines}
        assert sorted(personas[r["prompt"]] for r in made) == ["a"] * 6 + ["b"] * 3
    assert made[:3] == tasks.get(task).build(
        section.model_copy(update={"limit": 3})).rows["test"]  # fmt: skip
