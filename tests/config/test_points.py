"""Which points are seeds of one setting, and which values match."""

from lib.config.claims import settings_of
from lib.config.points import matches
from lib.config.study import load_study

SHOTS = {"tasks": ["math"], "data": {"source": "synthetic"}, "evaluate.baseline": {"run": 1},
         "variants": {"a": {}, "b": {"train.clip": 2}},
         "axes": {"run": "train.seed", "shots": "data.shots"}}  # fmt: skip


def members(path: str) -> list[list[str]]:
    """Names of the points of each setting."""
    settings = settings_of(load_study(path))
    return [[point.name for point in points] for _, points in settings.values()]


def test_shots_that_rise_with_the_seed_are_settings_of_one_seed_each(write_study) -> None:
    """Two blocks of one point each: no value says which of the two axes is the seed."""
    grid = [{"run": 1, "shots": 1}, {"run": 2, "shots": 2}]
    found = members(write_study(SHOTS | {"grid": grid}, drop=["trial"]))
    assert found == [["run1_shots1"], ["run2_shots2"]]


def test_a_point_that_leaves_an_axis_out_has_the_value_of_its_config(write_study) -> None:
    grid = [{"variant": "a", "shots": [2, 4]}, {"variant": "a", "run": 1}]
    path = write_study(SHOTS | {"grid": grid, "data.shots": 4}, drop=["trial"])
    assert [len(names) for names in members(path)] == [1, 2]


def test_values_match_where_they_have_all_that_is_wanted() -> None:
    values = {"variant": "base", "shots": 1}
    for wanted in ({}, {"shots": 1}, {"seed": None}):
        assert matches(values, wanted)
    for wanted in ({"shots": 2}, {"shots": 1, "seed": 1}):
        assert not matches(values, wanted)
