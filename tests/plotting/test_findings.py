from dataclasses import replace

import pandas as pd
import pytest

from lib.plotting.findings import findings
from tests.plotting.study_tables import study_view


@pytest.fixture(scope="module")
def view():
    return study_view()


def with_parsed(view, shares):
    """The view with the parse rate of each setting; 0.95 where none is given."""
    estimates = view.tables["estimates"]
    settings = estimates[estimates["of"] == "setting"].drop_duplicates("name")
    parsed = settings.assign(metric="parsed", value=[shares.get(n, 0.95) for n in settings.name])
    return replace(view, tables={**view.tables, "estimates": pd.concat([parsed, estimates])})


def test_findings_lead_with_the_share_of_answers_that_could_be_parsed(view):
    parsed = with_parsed(view, {"baseline 1:2 gamma1": 0.9})
    first, second, *rest = findings(parsed, "decision").splitlines()
    assert first == ("- Answers that could be parsed: 90.0 % (baseline 1:2 gamma1) to 95.0 % of "
                     "500 a point.")  # fmt: skip
    assert second.startswith("- Accuracy runs from")
    assert "0 of 18 settings are higher" in rest[0]
    assert rest[-1].startswith("- Not in these numbers: 1 diverged: accept_1to2_gamma4_seed2;")


def test_settings_whose_answers_could_not_be_parsed_are_in_no_sentence(view):
    worst = "reject 1:8 gamma4"  # the least accurate
    text = findings(with_parsed(view, {worst: 0.79}), "decision")
    lines = text.splitlines()
    assert lines[1].startswith(f"- **Not interpretable: more than 20 % of the answers of {worst}")
    assert not any(worst in line for line in lines[2:])
    assert "over 18 settings" in lines[2]


def test_nothing_is_said_of_answers_where_none_could_be_parsed(view):
    every = dict.fromkeys(view.points.setting, 0.1)
    text = findings(with_parsed(view, every), "decision")
    assert "No sentence below rests on answers;" in text
    assert "Accuracy" not in text


def test_a_study_without_numbers_says_so(view):
    empty = {**view.tables, "estimates": view.tables["estimates"][:0]}
    text = findings(replace(view, tables=empty), "decision")
    assert text.startswith("- No point is measured yet.")


def test_decisions_compare_scores_with_scores(view):
    control = pd.DataFrame({"point": view.points.point, "accuracy_difference": -0.01, "p_holm": 1})
    line = pd.DataFrame({"seed": ["all"], "slope": [0.5], "low": [0.4], "high": [0.6]})
    theory = view.tables["theory"].assign(acceptance_minus_expected=0.02)
    tables = {**view.tables, "control": control, "shift_line": line, "theory": theory}
    unread = with_parsed(replace(view, tables=tables), dict.fromkeys(view.points.setting, 0.1))
    text = findings(unread, "decision", "decision.md.jinja")
    assert "misses the share of positive scores by 2.0 percentage points on average" in text
    assert "Scores move by 0.500 [0.4, 0.6] logits for each logit" in text
    assert "not as theory says" in text
    assert "no sign that a weight buys what a moved threshold does not" in text
