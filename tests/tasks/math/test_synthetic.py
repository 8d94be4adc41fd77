"""Synthetic problems are worked rightly, and depend on seed and number alone."""

import re
from decimal import Decimal

from lib.tasks.math import synthetic
from lib.tasks.math.grading import final, steps


def test_every_step_is_right_and_the_last_one_is_the_answer():
    rows = synthetic.generate(300, "a")
    for row in rows:
        worked = re.findall(r"<<(\d+)([-+*])(\d+)=(\d+)>>(\d+)", row["answer"])
        assert 1 <= len(worked) == steps(row["answer"]) <= synthetic.MOST
        for one, operator, other, result, told in worked:
            apply = {"+": Decimal.__add__, "-": Decimal.__sub__, "*": Decimal.__mul__}[operator]
            assert apply(Decimal(one), Decimal(other)) == Decimal(result) == Decimal(told) >= 0
        assert final(row["answer"]) == worked[-1][3]
        started = int(re.search(r"has (\d+)", row["question"])[1])
        chain = [started, *(int(step[3]) for step in worked)]
        assert [int(step[0]) for step in worked] == chain[:-1]
        for step in worked:
            assert re.search(rf"\b{step[2]}\b", row["question"])
    assert {steps(row["answer"]) for row in rows} == {1, 2, 3, 4}


def test_a_row_depends_on_seed_and_number():
    assert synthetic.generate(5, "a") == synthetic.generate(50, "a")[:5]
    assert synthetic.generate(5, "a") != synthetic.generate(5, "b")
