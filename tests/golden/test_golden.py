"""What stage 4 makes of five simulated studies is what was frozen, number by number."""

import json

import pytest

from tests.golden import compare, make
from tests.golden.changes import CHANGES, RENAMES
from tests.golden.compare import (
    ABSENT,
    compress,
    differences,
    expand,
    flatten,
    invalid_changes,
    invalid_renames,
    matches,
    with_changes,
    with_renames,
)

SHOWN = 30  # differences that a failure lists


@pytest.mark.parametrize("study", make.STUDIES)
def test_every_number_is_the_frozen_one(study, tmp_path):
    found = flatten(make.computed(study, tmp_path))
    expected = with_changes(make.frozen(study), make.changed().get(study, {}))
    differ = differences(found, expected)
    named = "\n".join(one.named(f"{study}: {path}") for path, one in list(differ.items())[:SHOWN])
    assert not differ, f"{len(differ)} of {len(expected):,} values differ:\n{named}"


def test_every_exception_has_a_reason_and_is_used():
    frozen = {study: make.frozen(study) for study in make.STUDIES}
    assert invalid_changes(CHANGES, make.changed(), frozen) == []
    paths = [path for study in make.STUDIES for path in make.as_written(study)]
    assert invalid_renames(RENAMES, paths) == []


def test_each_study_holds_what_numbers_may_depend_on():
    """Verdicts of all kinds, points of every status, several seeds, nulls."""
    words, statuses = set(), set()
    for study in make.STUDIES:
        of_study = make.frozen(study)
        words |= {v for path, v in of_study.items() if path.endswith("/verdict")}
        of_points = {v for path, v in of_study.items() if path.endswith("/status")}
        assert {"done", "partial", "diverged", "missing"} <= of_points, study
        statuses |= of_points
        assert None in of_study.values()
    assert words == {"pass", "fail", "undecided", "not measurable", None}
    assert "trained" in statuses


TREE = {
    "rows": 40,
    "accuracy": {"value": 0.5, "low": 0.25, "method": "wilson"},
    "summary.csv": {"columns": ["n", "rate"], "rows": {"one": [3, 0.125], "two": [4, None]}},
    "criteria": [{"verdict": "pass"}],
}


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (["rows"], 41, "rows: found 41, expected 40 (exact)"),
        (["rows"], 40.0, None),
        (["accuracy", "value"], 0.5 * (1 + 1e-12), None),
        (["accuracy", "value"], 0.5 * (1 + 1e-8),
         "accuracy/value: found 0.500000005, expected 0.5 (within 1e-09 of it)"),
        (["accuracy", "value"], None, "accuracy/value: found None, expected 0.5 (exact)"),
        (["accuracy", "method"], "bootstrap",
         "accuracy/method: found 'bootstrap', expected 'wilson' (exact)"),
        (["summary.csv", "rows", "two"], [4, 0.0],
         "summary.csv/two/rate: found 0.0, expected None (exact)"),
        (["criteria", 0, "verdict"], "fail",
         "criteria/0/verdict: found 'fail', expected 'pass' (exact)"),
    ],
)  # fmt: skip
def test_what_differs_is_named(path, value, line):
    changed = json.loads(json.dumps(TREE))
    *outer, last = path
    inner = changed
    for key in outer:
        inner = inner[key]
    inner[last] = value
    found = [one.named(p) for p, one in differences(flatten(changed), flatten(TREE)).items()]
    assert found == ([line] if line else [])


def test_what_is_gone_or_new_is_named():
    frozen, found = flatten({"a": 1, "b": 2}), flatten({"b": 2, "c": 3})
    lines = [one.named(path) for path, one in differences(found, frozen).items()]
    assert lines == [
        "a: found '(absent)', expected 1 (exact)",
        "c: found 3, expected '(absent)' (exact)",
    ]
    assert not differences(found, with_changes(frozen, {"a": ABSENT, "c": 3}))


def test_exceptions_need_a_reason_a_difference_and_a_use():
    frozen = {"study": {"a/low": 1.0, "b": 2}}
    changed = {"study": {"a/low": None}}
    assert invalid_changes({"study: a/*": "one policy"}, changed, frozen) == []
    assert invalid_changes({}, changed, frozen) == [
        "changed.json: study: a/low: no pattern of changes.py names it"
    ]
    both = {"study: a/*": "", "study: b": "nobody knows"}
    assert invalid_changes(both, changed, frozen) == [
        "changes.py: 'study: a/*': no reason",
        "changes.py: 'study: b': nothing changed there",
    ]
    assert invalid_changes({"*": "why"}, {"study": {"b": 2}}, frozen) == [
        "changed.json: study: b: 2 is what was frozen"
    ]


def test_tolerances_say_why():
    one, other = {"a/low": 0.5, "a/value": 0.5}, {"a/low": 0.5000001, "a/value": 0.5000001}
    assert list(differences(one, other)) == ["a/value"]
    assert matches("a/low", 0.6, 0.5) == (False, "within 1e-06: " + compare.FLOAT32[1])


def test_what_repeats_is_written_once_and_compared_everywhere():
    rate = {"value": 1 / 3, "low": 0.1234567890123, "high": 0.9876543210987, "method": "w" * 99}
    tree = {"b": [{"accuracy": rate}, 1], "a": {"accuracy": rate, "f1": {**rate, "value": 0.5}}}
    small = compress(tree)
    assert small["b"] == [{"accuracy": "= /a/accuracy"}, 1]
    assert expand(json.loads(json.dumps(small))) == tree
    assert "b/0/accuracy/low" in flatten(expand(small))


def test_changes_are_written_as_a_tree_of_paths():
    values = {"a/b": None, "a/b/0/value": 1.5, "a/c": {}, "d": []}
    assert compare.nest(values) == {"a": {"b": {"": None, "0": {"value": 1.5}}, "c": {}}, "d": []}
    assert compare.unnest(compare.nest(values)) == values


def test_a_rename_keeps_the_number():
    frozen = {"points/a/unscored": 3, "points/unscored/rows": 4}
    assert with_renames(frozen, {r"/unscored$": ("/without_scores", "one word")}) == {
        "points/a/without_scores": 3,
        "points/unscored/rows": 4,
    }
    with pytest.raises(ValueError, match="two frozen values are at points/rows now"):
        with_renames({"points/a": 1, "points/b": 2}, {r"/[ab]$": ("/rows", "why")})
    unused = {"/b$": ("/c", ""), "/unscored$": ("/x", "why")}
    assert invalid_renames(unused, frozen) == [
        "changes.py: '/b$': no reason",
        "changes.py: '/b$': no such path",
    ]
