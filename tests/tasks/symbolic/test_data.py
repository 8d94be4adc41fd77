"""Splits by template, sets of the test rows, prompts and what is refused."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lib.config.errors import BadInput
from lib.config.tasks import Splits
from lib.data.question_key import question_key as normalised
from lib.tasks.math.problems import wording
from lib.tasks.math.schema import INSTRUCTION
from lib.tasks.symbolic.data import build, messages, train_split
from lib.tasks.symbolic.schema import SETS, Data

# Templates that share no run of five letters, so that none is like another by text.
STORIES = (
    "A baker kneads {a} loaves and burns {b}. What remains?",
    "Pilots flew {a} miles westward, then {b} back. Net distance?",
    "Of {a} frogs on lily pads {b} jump off. Frogs left?",
    "Grandma's quilt: {a} patches less {b} torn ones. Patches?",
    "The submarine holds {a} sailors; {b} go ashore. On board?",
    "Zoo keepers weigh {a} kg hay, feed {b}. Surplus?",
)


def answer(a: int, b: int) -> str:
    return f"It is {a}-{b}=<<{a}-{b}={a - b}>>{a - b}.\n#### {a - b}"


def instance(template: int, n: int, **more: Any) -> dict[str, Any]:
    a, b = 50 + 7 * n + template, 3 + n
    return {
        "id": template,
        "instance": n,
        "question": STORIES[template].format(a=a, b=b),
        "answer": answer(a, b),
        **more,
    }


def problem(n: int, template: int | None) -> dict[str, Any]:
    if template is None:
        question = f"{'xyzw'[n % 4] * 6}{n} minus {n % 7}, {'klmn'[n % 4] * 7}?"
    else:
        question = STORIES[template].format(a=900 + n, b=1 + n % 5)
    return {"question": question, "answer": answer(900 + n, 1)}


def jsonl(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


ORIGINAL = {template: 10 + template for template in range(4)}  # template → line of the problems


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Four templates of eight instances that name their originals, and 30 problems."""
    rows = [instance(t, n, original_id=ORIGINAL[t]) for t in range(4) for n in range(8)]
    of = {line: template for template, line in ORIGINAL.items()}
    problems = [problem(n, of.get(n)) for n in range(30)]
    return {
        "source": jsonl(tmp_path / "instances.jsonl", rows),
        "test_source": jsonl(tmp_path / "problems.jsonl", problems),
    }


def built(debug: bool = False, wanted: list[dict] | None = None, **keys: Any) -> Splits:
    data = Data(**{"set_rows": 4, "train_rows": 12, **keys})
    sections = [data.model_copy(update=one) for one in wanted or [{}]]
    return build(data, sections, None, debug)


def of_set(made: Splits, name: str) -> list[dict]:
    return [row for row in made.rows["test"] if row["set"] == name]


def templates(rows: list[dict]) -> Counter:
    return Counter(row["template"] for row in rows)


# -- splits ----------------------------------------------------------------------------------------


def test_three_sets_and_a_split_by_template(files) -> None:
    made = built(**files, validation_rows=4, set_rows=5)
    rows = made.rows
    assert {name: len(of) for name, of in rows.items()} == {
        "test": 5 + 4 + 5, "validation": 4, "train_12": 12,
    }  # fmt: skip
    sets = [row["set"] for row in rows["test"]]
    assert Counter(sets) == {SETS[0]: 5, SETS[1]: 4, SETS[2]: 5}
    assert set(sets[:3]) == set(SETS)  # any head of the rows has all of them
    # As many of each template, or one more.
    assert templates(rows["train_12"]) == dict.fromkeys("0123", 3)
    assert templates(rows["validation"]) == dict.fromkeys("0123", 1)
    assert sorted(templates(of_set(made, "in_distribution")).values()) == [1, 1, 1, 2]
    same, new = of_set(made, "same_templates"), of_set(made, "new_templates")
    assert {row["id"]: row["template"] for row in same} == {
        f"problem-{line}": str(template) for template, line in ORIGINAL.items()
    }
    assert {row["template"] for row in new} == {None}
    assert not {row["id"] for row in new} & {f"problem-{line}" for line in ORIGINAL.values()}
    every = [normalised(row["prompt"]["question"]) for part in rows.values() for row in part]
    assert len(set(every)) == len(every)
    ids = [row["id"] for part in rows.values() for row in part]
    assert len(set(ids)) == len(ids)
    assert made.report["sets"] == {"in_distribution": 5, "same_templates": 4, "new_templates": 5}
    assert made.report["splits"]["train_12"] == {"rows": 12, "templates": 4}
    assert "missing" not in made.report


def test_rows(files) -> None:
    made = built(**files)
    row = made.rows["train_12"][0]
    template, n = map(int, row["id"].removeprefix("instance-").split("-"))
    given = instance(template, n)
    worked = re.sub("<<.*>>", "", given["answer"])
    assert row == {
        "id": f"instance-{template}-{n}",
        "template": str(template),
        "prompt": {"question": given["question"]},
        "target": worked,
        "final": worked.rpartition(" ")[2],
        "steps": 1,
    }
    assert "<<" not in json.dumps(made.rows)
    assert "<<" in json.dumps(built(**files, annotations=True).rows)


def test_a_smaller_set_is_part_of_a_larger_one_and_the_tests_stay(files) -> None:
    made = built(**files, wanted=[{"train_rows": 8}, {"train_rows": 20}, {"train_rows": None}])
    sizes = {name: len(rows) for name, rows in made.rows.items()}
    assert sizes == {"test": 12, "train_8": 8, "train_20": 20, "train": 28}
    assert made.rows["train_20"][:8] == made.rows["train_8"]
    assert made.rows["train"][:20] == made.rows["train_20"]
    assert built(**files).rows["test"] == made.rows["test"]
    other = built(**files, seed=7)
    assert {r["id"] for r in other.rows["test"]} != {r["id"] for r in made.rows["test"]}


def test_the_order_of_the_files_changes_nothing(files, tmp_path) -> None:
    lines = Path(files["source"]).read_text().splitlines()
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(reversed(lines)) + "\n")
    one, other = built(**files), built(**{**files, "source": str(turned)})
    assert one.rows == other.rows


def test_limits_keep_every_set(files) -> None:
    made = built(**files, test_rows=6)
    assert made.report["sets"] == dict.fromkeys(SETS, 2)
    many = [instance(t, n) for t in range(6) for n in range(40)]
    source = jsonl(Path(files["source"]).with_name("many.jsonl"), many)
    short = built(debug=True, source=source, held_out_templates=1, set_rows=80, train_rows=110)
    assert {name: len(rows) for name, rows in short.rows.items()} == {"test": 100, "train_110": 100}


def test_repeated_questions_and_those_of_the_tests_are_trained_on_once_and_never(tmp_path) -> None:
    rows = [instance(t, n, original_id=ORIGINAL[t]) for t in range(4) for n in range(8)]
    shouted = {**rows[3], "instance": 9, "question": rows[3]["question"].upper()}
    problems = [problem(n, None) for n in range(10)] + [
        {"question": rows[5]["question"].replace(".", " ;"), "answer": rows[5]["answer"]}
    ]
    made = built(
        source=jsonl(tmp_path / "i.jsonl", [*rows, shouted]),
        test_source=jsonl(tmp_path / "p.jsonl", problems),
        train_rows=None,
    )
    assert (made.report["dropped_repeated"], made.report["dropped_as_in_test"]) == (1, 1)
    assert rows[5]["question"] not in {r["prompt"]["question"] for r in made.rows["train"]}
    # The question is an instance's: the problem is of its template, though its id says nothing.
    assert [row["id"] for row in of_set(made, "same_templates")] == ["problem-10"]


def test_without_problems_new_templates_are_held_out(files) -> None:
    made = built(source=files["source"], held_out_templates=1, train_rows=9)
    held = made.report["templates"]["held_out"]
    assert len(held) == 1
    assert set(templates(of_set(made, "new_templates"))) == set(held)
    assert set(templates(made.rows["train_9"])) == set("0123") - set(held)
    assert not of_set(made, "same_templates")
    assert made.report["missing"] == (
        "no rows in the test set same_templates: data.test_source names no problems"
    )


def test_held_out_templates_beside_problems_are_new_by_name(files, tmp_path) -> None:
    lines = Path(files["test_source"]).read_text().splitlines()
    some = [{"id": n, **json.loads(lines[n])} for n in range(6, 14)]
    files["test_source"] = jsonl(tmp_path / "some.jsonl", some)
    made = built(**files, held_out_templates=2, set_rows=10, train_rows=6)
    held = set(made.report["templates"]["held_out"])
    new = templates(of_set(made, "new_templates"))
    assert held < set(new)
    assert set(templates(of_set(made, "same_templates"))) == set("0123") - held
    assert set(templates(made.rows["train_6"])) == set("0123") - held


def test_synthetic_templates_are_apart() -> None:
    made = built(source="synthetic", held_out_templates=5, instances=6, train_rows=50)
    trained = set(templates(made.rows["train_50"]))
    assert len(trained) == 25
    assert not trained & set(templates(of_set(made, "new_templates")))
    assert set(templates(of_set(made, "in_distribution"))) <= trained


# -- problems without a template's name ------------------------------------------------------------


def test_a_problem_that_is_like_an_instance_is_of_its_template(tmp_path) -> None:
    """Without original_id: "baker … loaves" differs in its numbers alone from the instances."""
    rows = [instance(t, n) for t in range(4) for n in range(8)]
    problems = [problem(n, {3: 0, 4: 2}.get(n)) for n in range(20)]
    doubtful = {"question": "A baker kneads dough. Of 12 loaves 3 are eaten by mice. Left?",
                "answer": answer(12, 3)}  # fmt: skip
    made = built(
        source=jsonl(tmp_path / "i.jsonl", rows),
        test_source=jsonl(tmp_path / "p.jsonl", [*problems, doubtful]),
        set_rows=20,
    )
    same = {row["id"]: row["template"] for row in of_set(made, "same_templates")}
    assert same == {"problem-3": "0", "problem-4": "2"}
    new = {row["id"] for row in of_set(made, "new_templates")}
    assert new == {f"problem-{n}" for n in range(20) if n not in (3, 4)}  # 20 is in neither
    report = made.report["test_source"]
    assert (report["originals_named"], report["with_template"]) == (False, 0)


def test_a_listed_problem_that_is_alike_a_template_is_not_new(tmp_path) -> None:
    """Without original_id: 5 and 6 tell stories of templates 1 and 3, with other numbers."""
    rows = [instance(t, n) for t in range(4) for n in range(8)]
    problems = [problem(n, {3: 0, 4: 2, 5: 1, 6: 3}.get(n)) for n in range(20)]
    ids = tmp_path / "ids.json"
    keys = {
        "source": jsonl(tmp_path / "i.jsonl", rows),
        "test_source": jsonl(tmp_path / "p.jsonl", problems),
        "test_ids": str(ids),
    }
    ids.write_text('{"same_templates": [3, 4], "new_templates": [7, 5, 8, 6]}')
    made = built(**keys)
    assert {r["id"] for r in of_set(made, "new_templates")} == {"problem-7", "problem-8"}
    assert made.report["test_source"]["dropped_alike"] == 2
    assert made.report["test_source"]["alike"] == ["5", "6"]
    # Those of the other set are of the template that they are like: it is their cluster.
    same = {row["id"]: row["template"] for row in of_set(made, "same_templates")}
    assert same == {"problem-3": "0", "problem-4": "2"}
    ids.write_text('{"same_templates": [3, 4], "new_templates": [5]}')
    with pytest.raises(BadInput, match="ids.json: new_templates: all 1 problems tell the story of"):
        built(**keys)


def test_near_duplicates_are_those_of_rows_that_are_trained_on(files, tmp_path) -> None:
    made = built(**files, wanted=[{"train_rows": 4}, {"train_rows": 6}])
    assert made.report["near_duplicates"]["train"] == 6
    assert made.report["near_duplicates"]["test"] == len(of_set(made, "new_templates"))


def test_a_named_source_reports_what_is_nearly_a_training_question(files, tmp_path) -> None:
    """Problem 29 is spelled like template 1, and not its original: listed, it is reported."""
    problems = [json.loads(line) for line in Path(files["test_source"]).read_text().splitlines()]
    problems[29] = problem(29, 1)
    test_source = jsonl(tmp_path / "p.jsonl", problems)
    ids = tmp_path / "ids.json"
    ids.write_text('{"same_templates": [10, 11], "new_templates": [1, 29]}')
    made = built(source=files["source"], test_source=test_source, test_ids=str(ids))
    found = made.report["near_duplicates"]
    assert [pair["test"] for pair in found["pairs"]] == ["29"]
    drawn = built(source=files["source"], test_source=test_source)
    assert drawn.report["test_source"]["possible"]["new_templates"] == 30 - 4 - 1


# -- columns and listed problems -------------------------------------------------------------------


def test_columns_by_name(tmp_path) -> None:
    rows = [{"name": f"t{t}", "problem": i["question"], "solution": i["answer"]}
            for t in range(4) for i in (instance(t, n) for n in range(8))]  # fmt: skip
    columns = {"template": "name", "question": "problem", "answer": "solution"}
    source = jsonl(tmp_path / "named.jsonl", rows)
    made = built(source=source, columns=columns, held_out_templates=1, train_rows=9)
    assert set(templates(made.rows["train_9"])) < {"t0", "t1", "t2", "t3"}
    assert made.rows["train_9"][0]["id"].startswith("instance-t")
    assert made.report["columns"]["template"] == "name"
    with pytest.raises(BadInput, match=r"no column 'question', .* did you mean 'problem'\? Set da"):
        built(source=source, columns={"template": "name"}, held_out_templates=1)


def test_problems_may_say_their_template(files, tmp_path) -> None:
    problems = [{"number": f"p{n}", "of": n % 4 if n < 8 else None, **problem(n, None)}
                for n in range(20)]  # fmt: skip
    test_source = jsonl(tmp_path / "p.jsonl", problems)
    columns = {"id": "number", "template": "of"}
    made = built(source=files["source"], test_source=test_source, test_columns=columns,
                 set_rows=20)  # fmt: skip
    same = {row["id"]: row["template"] for row in of_set(made, "same_templates")}
    assert same == {f"problem-p{n}": str(n % 4) for n in range(8)}
    assert len(of_set(made, "new_templates")) == 12
    problems[0]["number"] = str(ORIGINAL[3])
    problems[0]["of"] = 1
    clash = jsonl(tmp_path / "clash.jsonl", problems)
    with pytest.raises(BadInput, match=r"clash.jsonl:1: template: found '1', but it is the origin"):
        built(source=files["source"], test_source=clash, test_columns=columns)


def test_listed_problems_in_their_order(files, tmp_path) -> None:
    ids = tmp_path / "ids.json"
    ids.write_text('{"seed": 0, "same_templates_100": [12, 10], "non_overlapping_100": [5, 3, 4]}')
    made = built(**files, test_ids=str(ids))
    assert [row["id"] for row in of_set(made, "same_templates")] == ["problem-12", "problem-10"]
    assert [r["id"] for r in of_set(made, "new_templates")] == [f"problem-{n}" for n in (5, 3, 4)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"same_templates": [10], "new_templates": [1, 12]}',
         r"ids.json: new_templates: problem 12 of .*problems.jsonl belongs to template 2, of which "
         r"8 rows are trained on \(instance-2-0, instance-2-1, instance-2-2, … \(5 more\)\)"),
        ('{"same_templates": [10, 7], "new_templates": [1]}',
         "ids.json: same_templates: problem 7 of .* belongs to no template, expected the original"),
        ('{"same_templates": [10], "new_templates": [99]}', "no problem '99' in .*, which has 30"),
        ('{"same_templates": [10], "new_templates": [1, 10]}', "ids 10 are there twice"),
        ('{"same_templates": [10]}', "expected one key that begins with new or non_overlapping"),
        ('{"same_templates": 10, "new_templates": [1]}', "same_templates: expected a list of ids"),
        ("[1, 2]", "found list, expected {"),
        ("{", "cannot be read as JSON"),
    ],
)  # fmt: skip
def test_listed_problems_that_cannot_be(files, tmp_path, content: str, said: str) -> None:
    ids = tmp_path / "ids.json"
    ids.write_text(content)
    with pytest.raises(BadInput, match=said):
        built(**files, test_ids=str(ids))


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": None}, "i.jsonl:3: id: found no words, expected an id or a name"),
        ({"id": " "}, "i.jsonl:3: id: found no words"),
        ({"id": 1.5}, "i.jsonl:3: id: found 1.5, expected text"),
        ({"answer": "It is 4."}, "i.jsonl:3: answer: found no number behind ####"),
        ({"answer": "#### many"}, "i.jsonl:3: answer: found no number behind #### .'many'"),
        ({"question": ""}, "i.jsonl:3: question: found no words"),
        ({"original_id": 77}, "i.jsonl:3: original_id: found '77', expected '10', as other rows"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, change: dict, said: str) -> None:
    rows = [instance(t, n, original_id=10 + t) for t in range(4) for n in range(4)]
    rows[2] |= change
    with pytest.raises(BadInput, match=said):
        built(source=jsonl(tmp_path / "i.jsonl", rows), held_out_templates=1)


def test_a_template_of_too_few_instances_is_named(tmp_path) -> None:
    rows = [instance(t, n) for t in range(4) for n in range(2 if t == 1 else 8)]
    source = jsonl(tmp_path / "i.jsonl", rows)
    problems = jsonl(tmp_path / "p.jsonl", [problem(n, None) for n in range(9)])
    with pytest.raises(BadInput, match="i.jsonl: template 1: found 2 instances, of which test and"):
        built(source=source, test_source=problems, validation_rows=8, train_rows=None)


def test_a_source_without_templates_is_named_with_the_nearest_column(tmp_path) -> None:
    rows = [{"template_nr": 1, "question": "?", "answer": "#### 1"}]
    source = jsonl(tmp_path / "i.jsonl", rows)
    expected = r"i.jsonl: no column 'template', found template_nr, .* Set data.columns.template=te"
    with pytest.raises(BadInput, match=expected):
        built(source=source)
    with pytest.raises(BadInput, match="no column 'tempate'.*did you mean 'template_nr'"):
        built(source=source, columns={"template": "tempate"})


# -- prompts ---------------------------------------------------------------------------------------


def test_prompt() -> None:
    row = {"prompt": {"question": "How many?"}}
    data = Data(source="x")
    assert messages(row, data) == [{"role": "user", "content": f"{INSTRUCTION}\n\nHow many?"}]
    bare = Data(source="x", instruction="", system="Be brief.")
    assert messages(row, bare) == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many?"},
    ]  # fmt: skip
    assert wording(data) == ""
    assert wording(bare) != wording(Data(source="x", instruction="")) != ""
    assert train_split(Data(source="x", train_rows=600)) == "train_600"
    assert train_split(data) == "train"
