from types import SimpleNamespace

from lib.cells import grouped, told


def point(seed: int, **values):
    return SimpleNamespace(values=values, config=SimpleNamespace(seed=seed))


def test_an_axis_is_told_by_its_values_whatever_its_name() -> None:
    points = [point(1, variant="a", run=1, other=1), point(2, variant="b", run=2, other=1)]
    assert told(points, [lambda config: config.seed]) == {"variant", "run"}
    # A point without the axis says nothing against it.
    assert told([*points, point(3, variant="c")], [lambda c: c.seed]) == {"variant", "run"}
    assert told(points, []) == {"variant"}


def test_points_are_grouped_in_grid_order() -> None:
    assert grouped({"p": 2, "q": 1, "r": 2}) == {2: ["p", "r"], 1: ["q"]}
