"""How numbers and verdicts are put."""

import pytest

from lib.analysis.wording import duration, markdown, signed


def test_signed():
    assert [signed(v) for v in (1.25, -0.31, -0.01, 0.04)] == ["+1.2", "−0.3", "0.0", "0.0"]


def test_a_study_without_claims_says_so():
    assert "no claims" in markdown([])
    rows = [{"say": "a | b", "verdict": "undecided", "number": "0.3", "needed": "3 seeds"}]
    assert markdown(rows).splitlines()[-1] == "| a \\| b | undecided | 0.3 | 3 seeds |"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4234, "0.42 s"), (22.7, "23 s"), (89, "89 s"), (90, "1.5 min"), (725, "12 min"),
     (11_160, "3.1 h"), (4_320_000, "1,200 h")],
)  # fmt: skip
def test_durations_have_a_sensible_unit(seconds, text):
    assert duration(seconds) == text
