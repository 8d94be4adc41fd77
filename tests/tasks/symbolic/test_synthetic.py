"""Our own templates: right answers, and nothing but seed, template and number behind a row."""

import re

from lib.tasks.math.grading import final
from lib.tasks.symbolic.synthetic import ORDERS, TEMPLATES, generate


def test_worked_answers_are_right_and_templates_differ() -> None:
    rows, _ = generate(5, 3)
    assert len(rows) == 5 * TEMPLATES
    assert len(set(ORDERS[:TEMPLATES])) == TEMPLATES
    for row in rows:
        steps = re.findall(r"<<(\d+)([-+*])(\d+)=(\d+)>>", row["answer"])
        have = int(re.search(r"has (\d+)", row["question"])[1])
        for one, sign, other, result in steps:
            assert int(one) == have
            have = {"+": have + int(other), "-": have - int(other), "*": have * int(other)}[sign]
            assert have == int(result) > 0
        assert final(row["answer"]) == str(have)
        assert len(steps) == len(ORDERS[row["template"]])


def test_rows_hang_on_their_seed_template_and_number() -> None:
    rows, _ = generate(4, 3)
    assert rows == generate(4, 3)[0]
    assert generate(2, 3)[0] == [row for row in rows if row["instance"] < 2]
    assert rows != generate(4, 4)[0]
