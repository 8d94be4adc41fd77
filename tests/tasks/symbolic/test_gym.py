"""Templates of reasoning-gym: seeded, distinct, and right where their arithmetic can be checked."""

import sys

import pytest

from lib.config.errors import BadInput
from lib.tasks.math.problems import Problem
from lib.tasks.symbolic import gym


def test_instances_are_distinct_and_hang_on_seed_template_and_number_alone() -> None:
    rows, report = gym.generate(6, 1)
    assert len(rows) == 6 * 84 == len({(row["template"], row["instance"]) for row in rows})
    assert len({row["question"] for row in rows}) == len(rows)
    assert not {row["template"] for row in rows} & gym.KEPT_BACK
    for row in rows:
        Problem(question=row["question"], answer=row["answer"])
    assert rows == gym.generate(6, 1)[0]
    fewer = gym.generate(2, 1)[0]
    assert fewer == [row for row in rows if row["instance"] < 2]
    assert rows != gym.generate(6, 2)[0]
    assert report["redrawn_wrong"] > 0
    assert report["templates_left_out"] == []


@pytest.mark.parametrize(
    ("worked", "right"),
    [
        ("She needs 80 / 24 = 3 pans.\n#### 3", False),
        ("She needs 72 / 24 = 3 pans.\n#### 3", True),
        ("that's 0.57*60 = 34 students", False),
        ("€70.26 - €27.26 = €42", False),
        ("€70.26 - €27.26 = €43 left", True),
        ("$1,250.50 + 3 = $1,253.5", True),
        ("2/3 = 0.67 of it", True),  # rounded to a hundredth
        ("5 / 0 = 1", False),
        # Parts of longer terms, percentages and units are not two plain numbers.
        ("2 + 3 * 4 = 14", True),
        ("€5 + €38 + €60 = €103", True),
        ("15 foot / 30 feet * 100% = 50%", True),
        ("11/55 = 1/5 km", True),
        ("#### 7", True),
    ],
)
def test_arithmetic_of_two_numbers_is_checked(worked: str, right: bool) -> None:
    assert gym.holds(worked) is right


def test_the_package_is_not_left_half_imported() -> None:
    gym.generate(1, 0)
    assert not [name for name in sys.modules if name.split(".")[0] == gym.SOURCE]


def test_without_the_package_one_line_says_so(monkeypatch) -> None:
    monkeypatch.setattr(gym, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="reasoning-gym is not installed; run `make setup`"):
        gym.generate(1, 0)
