from types import SimpleNamespace

import pytest

from lib.cells import SEED, grouped, rest_of
from lib.study import load_study
from lib.tasks import PointResult
from lib.tasks.decision import theory
from lib.tasks.glue import cells as glue
from lib.tasks.preference import cells as preference

AXES = {"run": "train.seed", "shots": "data.shots"}


def point(name: str, values: dict, seed: int = 1, shots: int = 4) -> PointResult:
    config = SimpleNamespace(train=SimpleNamespace(seed=seed), data=SimpleNamespace(shots=shots))
    return PointResult(name, {"variant": "a", **values}, config, "done", axes=AXES)


def test_axes_that_rise_together_stay_apart() -> None:
    """Shots 1, 2, 3 with seeds 1, 2, 3: three settings of one seed each, not one of three seeds."""
    points = [point(f"p{n}", {"run": n, "shots": n}, n, n) for n in (1, 2, 3)]
    assert rest_of(points, [SEED]) == {f"p{n}": (("shots", n),) for n in (1, 2, 3)}
    assert rest_of(points, ["data.shots"]) == {f"p{n}": (("run", n),) for n in (1, 2, 3)}
    assert rest_of(points, AXES.values()) == {"p1": (), "p2": (), "p3": ()}


def test_a_point_that_leaves_an_axis_out_has_the_value_of_its_config() -> None:
    given = {"listed": {"shots": 4}, "unlisted": {}, "other": {"variant": "b"}}
    points = [point(name, values) for name, values in given.items()]
    found = rest_of(points, [SEED])
    assert found["listed"] == found["unlisted"] == (("shots", 4),)
    assert found["other"] == ()  # no point of its variant lists the axis


OTHER = {"axes": {"seed": "train.seed", "draw": "data.seed"}, "evaluate.baseline": {"seed": 1},
         "grid": [{"seed": n, "draw": n} for n in (1, 2, 3)], "variants": {}}  # fmt: skip
PAIRS = {"tasks": ["preference"], "data": {"source": "synthetic"}, "train.objective": "dpo"}
CLASSES = {"tasks": ["glue"], "data": {"source": "synthetic"}, "train.objective": "classification"}


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({}, lambda points: [c.but_seed for c in theory.cells(points).values()]),
        (PAIRS, lambda points: [c.setting for c in preference.cells(points).values()]),
        (CLASSES, lambda points: [c.setting for c in glue.cells(points).values()]),
    ],
    ids=["decision", "preference", "glue"],
)
def test_what_differs_in_more_than_the_seed_is_another_setting(write_study, changes, setting):
    def settings(draws):
        grid = [{"seed": seed, "draw": draw} for seed, draw in zip((1, 2, 3), draws, strict=True)]
        study = load_study(write_study(OTHER | changes | {"grid": grid}, drop=["trial"]))
        return len(set(setting([PointResult(p.name, p.values, p.config, "done", axes=study.axes)
                                for p in study.points()])))  # fmt: skip

    assert settings((1, 2, 3)) == 3  # the draw rises with the seed
    assert settings((7, 7, 7)) == 1


def test_points_are_grouped_in_grid_order() -> None:
    assert grouped({"p": 2, "q": 1, "r": 2}) == {2: ["p", "r"], 1: ["q"]}
