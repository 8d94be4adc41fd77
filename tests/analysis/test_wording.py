"""How numbers and verdicts are put."""

from lib.analysis.wording import markdown, signed


def test_signed():
    assert [signed(v) for v in (1.25, -0.31, -0.01, 0.04)] == ["+1.2", "−0.3", "0.0", "0.0"]


def test_a_study_without_claims_says_so():
    assert "no claims" in markdown([])
    rows = [{"criterion": "a | b", "verdict": "pass", "number": "3 of 3"}]
    assert markdown(rows).splitlines()[-1] == "| a \\| b | pass | 3 of 3 |"
