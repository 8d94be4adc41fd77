from types import SimpleNamespace

import pytest

from lib.baseline import find_baseline

POINTS = [
    SimpleNamespace(name="base_1", values={"variant": "base", "shots": 1}, status="done"),
    SimpleNamespace(name="base_2", values={"variant": "base", "shots": 2}, status="missing"),
]


def fault(point) -> str | None:
    return None if point.status == "done" else f"is {point.status}"


@pytest.mark.parametrize(
    "wanted, name, reason",
    [
        ({"variant": "base", "shots": 1}, "base_1", None),
        ({"shots": 2}, "base_2", "the baseline base_2 is missing"),
        ({"variant": "base"}, None, "evaluate.baseline fits 2 of these points, expected one"),
        ({"seed": 1}, None, "evaluate.baseline fits 0 of these points, expected one"),
    ],
)
def test_the_one_point_that_fits_is_the_baseline(wanted, name, reason) -> None:
    settings = SimpleNamespace(baseline=wanted)
    assert find_baseline(POINTS, settings, fault) == (name, reason)
