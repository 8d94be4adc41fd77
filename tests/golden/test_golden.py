"""What stage 4 makes of five simulated studies is what was frozen, number by number."""

import json

import pytest

from tests.golden import compare, make
from tests.golden.changes import moves_of
from tests.golden.compare import (
    Moves,
    compress,
    differences,
    expand,
    flatten,
    invalid_changes,
    matches,
    moved,
    unexplained,
    unused,
    with_changes,
)

SHOWN = 30  # differences that a failure lists


@pytest.mark.parametrize("study", make.STUDIES)
def test_every_number_is_the_frozen_one(study, tmp_path):
    found, old, moves = (
        flatten(make.computed(study, tmp_path)),
        make.as_written(study),
        moves_of(study),
    )
    frozen, changed = moved(old, moves), make.changed().get(study, {})
    expected = with_changes(frozen, changed)
    differ = unexplained(found, expected, moves)
    named = "\n".join(one.named(f"{study}: {path}") for path, one in list(differ.items())[:SHOWN])
    assert not differ, f"{len(differ)} of {len(expected):,} values differ:\n{named}"
    assert invalid_changes(moves, changed, frozen) == []
    new = [path for path in found if path not in frozen]
    assert unused(new, old, moves, changed) == set()


def test_each_study_holds_what_numbers_may_depend_on():
    """Verdicts of all kinds, points of every status, several seeds, nulls."""
    words, statuses = set(), set()
    for study in make.STUDIES:
        of_study = make.as_written(study)
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
    moves = Moves({}, {}, {"a": "gone"}, {}, {"c": "new"})
    assert not unexplained(found, moved(frozen, moves), moves)
    assert not differences({}, {"nothing": None})


def test_exceptions_need_a_reason_a_difference_and_a_use():
    expected, changed = {"a/low": 1.0, "b": 2}, {"a/low": None}
    moves = Moves({}, {}, {}, {"a/*": "one policy"}, {})
    assert invalid_changes(moves, changed, expected) == []
    assert unused([], expected, moves, changed) == set()
    assert invalid_changes(Moves({}, {}, {}, {}, {}), changed, expected) == [
        "changed.json: a/low: no pattern of CHANGES names it"
    ]
    both = Moves({"x": ("y", "why")}, {}, {"b": ""}, {"a/*": "", "c": "nobody knows"}, {"d": "new"})
    assert invalid_changes(both, changed, expected) == ["'b': no reason", "'a/*': no reason"]
    assert unused(["e"], expected, both, changed) == {"x", "c", "d"}
    same = Moves({}, {}, {}, {"*": "why"}, {})
    assert invalid_changes(same, {"b": 2, "e": 3}, expected) == [
        "changed.json: b: 2 is what was frozen",
        "changed.json: e: nothing was frozen there",
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
    frozen = {"points/a/unscored": 3, "points/unscored/rows": 4, "rows": 4}
    renames = {
        r"/unscored$": ("/without_scores", "one word"),
        r"^rows$": ("points/unscored/rows", ""),
    }
    assert moved(frozen, Moves(renames, {}, {}, {}, {})) == {
        "points/a/without_scores": 3,
        "points/unscored/rows": 4,
    }
    renames = {r"^points/[ab]$": ("rows", "why")}
    with pytest.raises(ValueError, match="RENAMES: 2 and 1 are at rows now"):
        moved({"points/a": 1, "points/b": 2}, Moves(renames, {}, {}, {}, {}))


def test_counts_become_shares():
    frozen = {"a/rows": 8, "a/n": 2, "a/safe": 6, "a/unknown": 4, "b/rows": 0, "b/safe": 0}
    shares = {r"^(\w)/safe$": (r"\1/rows", "share"), r"^(\w)/unknown$": (r"\1/rows × \1/n", "rest")}
    now = moved(frozen, Moves({}, shares, {}, {}, {}))
    assert (now["a/safe"], now["a/unknown"], now["b/safe"]) == (0.75, 0.75, None)
