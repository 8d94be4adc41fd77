from types import SimpleNamespace

import pytest

from lib.config.points import SEED, coordinates, find_baseline, grouped, matches
from lib.config.study import load_study
from lib.config.tasks import PointResult
from lib.tasks.glue import cells as glue


def results(path: str) -> list[PointResult]:
    study = load_study(path)
    return [
        PointResult(p.name, p.values, p.config, "done", axes=study.axes) for p in study.points()
    ]


SHOTS = {"tasks": ["math"], "data": {"source": "synthetic"}, "evaluate.baseline": {"run": 1},
         "variants": {"a": {}, "b": {"train.clip": 2}},
         "axes": {"run": "train.seed", "shots": "data.shots"}}  # fmt: skip


def test_shots_that_rise_with_the_seed_are_settings_of_one_seed_each(write_study) -> None:
    """Two blocks of one point each: no value tells which of the two axes is the seed."""
    grid = [{"run": 1, "shots": 1}, {"run": 2, "shots": 2}]
    points = results(write_study(SHOTS | {"grid": grid}, drop=["trial"]))
    settings = grouped(coordinates(points, [SEED]))
    assert settings == {(("shots", n),): [f"run{n}_shots{n}"] for n in (1, 2)}
    assert len(grouped(coordinates(points, ["data.shots"]))) == 2
    assert len(grouped(coordinates(points, [SEED, "data.shots"]))) == 1


def test_a_point_that_leaves_an_axis_out_has_the_value_of_its_config(write_study) -> None:
    grid = [{"variant": "a", "shots": [2, 4]}, {"variant": "a", "run": 1}, {"variant": "b"}]
    path = write_study(SHOTS | {"grid": grid, "data.shots": 4}, drop=["trial"])
    two, four, unlisted, other = coordinates(results(path), [SEED]).values()
    assert two == (("shots", 2),)
    assert four == unlisted == (("shots", 4),)
    assert other == ()  # no point of its variant lists the axis


OTHER = {"axes": {"seed": "train.seed", "draw": "data.seed"}, "evaluate.baseline": {"seed": 1},
         "variants": {}}  # fmt: skip
CLASSES = {"tasks": ["glue"], "data": {"source": "synthetic"}, "train.objective": "classification"}


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        (CLASSES, lambda points: {c.setting for c in glue.cells(points).values()}),
    ],
    ids=["glue"],
)
@pytest.mark.parametrize(("draws", "count"), [((1, 2, 3), 3), ((7, 7, 7), 1)])
def test_what_differs_in_more_than_the_seed_is_another_setting(
    write_study, changes, settings, draws, count
) -> None:
    grid = [{"seed": seed, "draw": draw} for seed, draw in enumerate(draws, 1)]
    points = results(write_study(OTHER | changes | {"grid": grid}, drop=["trial"]))
    assert len(settings(points)) == count


def test_values_match_where_they_have_all_that_is_wanted() -> None:
    values = {"variant": "base", "shots": 1}
    for wanted in ({}, {"shots": 1}, {"seed": None}):
        assert matches(values, wanted)
    for wanted in ({"shots": 2}, {"shots": 1, "seed": 1}):
        assert not matches(values, wanted)


POINTS = [
    SimpleNamespace(name="base_1", values={"variant": "base", "shots": 1}, status="done"),
    SimpleNamespace(name="base_2", values={"variant": "base", "shots": 2}, status="missing"),
]


@pytest.mark.parametrize(
    ("wanted", "name", "reason"),
    [
        ({"variant": "base", "shots": 1}, "base_1", None),
        ({"shots": 2}, "base_2", "the baseline base_2 is missing"),
        ({"variant": "base"}, None, "evaluate.baseline matches 2 of these points, expected one"),
        ({"seed": 1}, None, "evaluate.baseline matches 0 of these points, expected one"),
    ],
)
def test_the_one_point_that_matches_is_the_baseline(wanted, name, reason) -> None:
    def fault(point) -> str | None:
        return None if point.status == "done" else f"is {point.status}"

    assert find_baseline(POINTS, SimpleNamespace(baseline=wanted), fault) == (name, reason)
