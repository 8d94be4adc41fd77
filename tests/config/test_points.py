"""Settings: what points share that differ in the seed alone, by the keys of axes."""

import pytest

from lib.config.load import load_study
from lib.config.points import matches

SHOTS = {"tasks": ["math"], "data": {"source": "synthetic"}, "evaluate.baseline": {"run": 1},
         "variants": {"a": {}, "b": {"train.clip": 2}},
         "axes": {"run": "train.seed", "shots": "data.shots"}}  # fmt: skip


def labels(path: str) -> dict[str, list[str]]:
    settings = load_study(path).settings
    return {label: [point.name for point in points] for label, (_, points) in settings.items()}


def test_shots_that_rise_with_the_seed_are_settings_of_one_seed_each(write_study) -> None:
    """Two blocks of one point each: no value tells which of the two axes is the seed."""
    grid = [{"run": 1, "shots": 1}, {"run": 2, "shots": 2}]
    found = labels(write_study(SHOTS | {"grid": grid}, drop=["trial"]))
    assert found == {f"shots{n}": [f"run{n}_shots{n}"] for n in (1, 2)}


def test_a_point_that_leaves_an_axis_out_has_the_value_of_its_config(write_study) -> None:
    grid = [{"variant": "a", "shots": [2, 4]}, {"variant": "a", "run": 1}, {"variant": "b"}]
    path = write_study(SHOTS | {"grid": grid, "data.shots": 4}, drop=["trial"])
    found = labels(path)
    assert list(found) == ["a_shots2", "a_shots4", "b_shots4"]
    assert len(found["a_shots4"]) == 2


OTHER = {"axes": {"seed": "train.seed", "draw": "data.seed"}, "evaluate.baseline": {"seed": 1},
         "variants": {}}  # fmt: skip
PAIRS = {"tasks": ["preference"], "data": {"source": "synthetic"}, "train.objective": "dpo"}
CLASSES = {"tasks": ["glue"], "data": {"source": "synthetic"}, "train.objective": "classification"}


@pytest.mark.parametrize("changes", [{}, PAIRS, CLASSES], ids=["decision", "preference", "glue"])
@pytest.mark.parametrize(("draws", "count"), [((1, 2, 3), 3), ((7, 7, 7), 1)])
def test_what_differs_in_more_than_the_seed_is_another_setting(
    write_study, changes, draws, count
) -> None:
    grid = [{"seed": seed, "draw": draw} for seed, draw in enumerate(draws, 1)]
    assert len(labels(write_study(OTHER | changes | {"grid": grid}, drop=["trial"]))) == count


def test_values_match_where_they_have_all_that_is_wanted() -> None:
    values = {"variant": "base", "shots": 1}
    for wanted in ({}, {"shots": 1}, {"seed": None}):
        assert matches(values, wanted)
    for wanted in ({"shots": 2}, {"shots": 1, "seed": 1}):
        assert not matches(values, wanted)
