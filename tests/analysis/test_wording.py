"""How numbers and verdicts are put."""

from lib.analysis.wording import FAIL, PASS, UNDECIDED, above, absent, signed, spread


def test_signed():
    assert [signed(v) for v in (1.25, -0.31, -0.01, 0.04)] == ["+1.2", "−0.3", "0.0", "0.0"]


def test_spread_has_its_interval_where_there_is_one():
    found = {"value": 0.012, "low": -0.003, "high": 0.027}
    assert spread(found, 100, "points") == "+1.2 [−0.3, +2.7] points"
    assert spread(found | {"low": None, "high": None}, 100) == "+1.2"


def test_a_bound_is_reached_where_the_whole_interval_reaches_it():
    found = {"value": 0.2, "low": 0.1, "high": 0.3}
    verdicts = [above(found, bound) for bound in (0.1, 0.2, 0.3, 0.31)]
    assert verdicts == [PASS, UNDECIDED, UNDECIDED, FAIL]
    assert above(found | {"low": None}, 0.0) == UNDECIDED


def test_absent_points_stand_by_their_status():
    statuses = {"a": "done", "b": "missing", "c": "diverged", "d": "missing"}
    tables = {"points": {name: {"status": status} for name, status in statuses.items()}}
    assert absent(tables) == "diverged: c; missing: b, d"
    assert absent(tables, ("done", "missing")) == "diverged: c"
