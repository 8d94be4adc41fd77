from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib.plotting.findings import findings
from lib.plotting.view import View, with_words
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


def rows_of(task, part, **metrics):
    """Estimates of settings. metrics: name → {setting: value}; each with ± 0.05."""
    return [{"of": "setting", "name": name, "task": task, "set": part, "slice": "",
             "metric": metric, "value": value, "low": value - 0.05, "high": value + 0.05, "n": 200,
             "seeds": 1, "sd": float("nan")}
            for metric, values in metrics.items() for name, value in values.items()]  # fmt: skip


def hand_made(first, estimates, contrasts=(), **tables):
    settings = dict.fromkeys(row["name"] for row in estimates)
    points = pd.DataFrame({"point": list(settings), "setting": list(settings), "status": "done",
                           "baseline": ["yes", *[""] * (len(settings) - 1)]})  # fmt: skip
    columns = ["family", "task", "set", "metric", "a", "b", "difference", "low", "high", "p_holm",
               "mde"]  # fmt: skip
    frames = {name: pd.DataFrame(table) for name, table in tables.items()}
    contrasts = pd.DataFrame(list(contrasts), columns=columns)
    frames |= {"points": points, "estimates": pd.DataFrame(estimates), "contrasts": contrasts}
    metrics = {"accuracy": ("Accuracy", "share"), "safety.safety": ("Safe answers", "share"),
               "safety.judged": ("Answers with a verdict", "share")}  # fmt: skip
    return View(tables=frames, axes=["variant"], metrics=metrics, first=first)


SOLVED = {"base": 0.30, "simple": 0.42, "strong": 0.55}
SAFE = {"base": 0.80, "simple": 0.70, "strong": 0.60}


def problems(judged=0.95):
    both = [("same examples", task, "test", metric, "simple", "base", apart, apart - 0.03,
             apart + 0.03, p, 0.04)
            for task, metric, apart, p in (("math", "accuracy", 0.12, 0.001),
                                           ("safety", "safety", -0.10, 0.2))]  # fmt: skip
    estimates = rows_of("math", "test", parsed=dict.fromkeys(SOLVED, 0.99), accuracy=SOLVED)
    estimates += rows_of("safety", "test", safety=SAFE, judged={**dict.fromkeys(SAFE, 0.95),
                         "strong": judged}, safety_at_least={"base": 0.75, "strong": 0.55},
                         safety_at_most={"base": 0.80, "strong": 0.75})  # fmt: skip
    judges = [{"point": name, "judge": "Qwen3Guard", "kind": "qwen3guard"} for name in SAFE]
    return hand_made("math", estimates, both, safety_judge=judges)


def test_accuracy_stands_beside_safety():
    text = findings(problems(), "math", "math.md.jinja")
    assert "simple 42.0 % [37.0, 47.0] and 70.0 % [65.0, 75.0]; strong 55.0 %" in text
    assert "simple against the base model with the same examples (base): accuracy +12.0" in text
    assert "points [9.0, 15.0], safety −10.0 percentage points [−13.0, −7.0]." in text
    assert ("accuracy is higher in 1 and lower in 0 of these 1 comparisons, safety higher in 0 and"
            " lower in 0 of 1") in text  # fmt: skip


def test_safety_names_its_judge_and_what_stays_open():
    first, *rest = findings(problems(), "safety", "safety.md.jinja").splitlines()
    assert first == "- safety: answers with a verdict: 95.0 % of 200 a point."
    text = "\n".join(rest)
    assert "Judged by Qwen3Guard (qwen3guard)" in text
    assert ("open by up to 20.0 percentage points (strong: 55.0 % if they are all unsafe, 75.0 % "
            "if all safe)") in text  # fmt: skip


def test_answers_without_a_verdict_are_in_no_sentence():
    unread = problems(judged=0.7)
    text = findings(unread, "safety", "safety.md.jinja")
    assert "more than 20 % of the answers of strong have no verdict" in text
    assert "60.0 %" not in text
    assert "strong 55.0 %" not in findings(unread, "math", "math.md.jinja")


def test_what_samples_gain_and_what_carries_over():
    samples = {"base": 0.95, "tuned": 0.5}
    estimates = rows_of("symbolic", "in_distribution", parsed={"base": 0.98, "tuned": 0.97},
                        accuracy={"base": 0.40, "tuned": 0.60})  # fmt: skip
    estimates += rows_of(
        "symbolic", "all", parsed_samples=samples, accuracy={"base": 0.35, "tuned": 0.5},
        one_sample={"base": 0.33, "tuned": 0.45}, majority_4={"base": 0.1}, best_8={"base": 0.48},
        majority_8={"base": 0.44, "tuned": 0.6}, pass_8={"base": 0.7, "tuned": 0.8},
        majority_gain={"base": 0.11, "tuned": 0.15}, best_gain={"base": 0.04},
    )  # fmt: skip
    transfer = [{"point": name, "set": "new_templates", "tuned": tuned, "difference": value,
                 "difference_low": value - 0.05, "difference_high": value + 0.05}
                for name, tuned, value in (("base", "no", 0.02), ("tuned", "yes", 0.21),
                                           ("tuned_2", "yes", 0.17))]  # fmt: skip
    text = findings(hand_made("symbolic", estimates, transfer=transfer), "symbolic",
                    "symbolic.md.jinja")  # fmt: skip
    assert ("minus that on new templates, tuned points: +17.0 percentage points [12.0, 22.0] "
            "(tuned_2) to +21.0 percentage points [16.0, 26.0] (tuned).") in text  # fmt: skip
    assert ("- base: greedy 35.0 % [30.0, 40.0], one sample 33.0 % [28.0, 38.0], majority of 8 "
            "44.0 % [39.0, 49.0], best of 8 by reward 48.0 % [43.0, 53.0], any of 8 right, the "
            "bound of every choice 70.0 % [65.0, 75.0].") in text  # fmt: skip
    assert "**not interpretable, as more than 20 % could not be parsed: tuned**" in text
    assert "gains over one sample: +11.0 percentage points [6.0, 16.0] (base)." in text
    assert "15.0" not in text


def test_lines_over_an_axis_are_named_in_words():
    """Each setting gives its lines a name: all its axes but the one that is swept."""
    grid = [("dpo", 0.1, np.nan), ("td_dpo", 0.1, 0.5), ("td_dpo", 0.2, 0.5)]
    points = pd.DataFrame(grid, columns=["variant", "beta", "tau"])
    points = points.assign(point=["a", "b", "c"], setting=["a", "b", "c"], seed=42)
    lines = pd.DataFrame({"line": ["dpo", "td_dpo_tau0.5", "td_dpo (all lines)"],
                          "against": [None, "dpo", "dpo"]})  # fmt: skip
    made = hand_made("preference", rows_of("preference", "test", accuracy={"a": 0.5}))
    tables = {**made.tables, "points": points, "variance": lines}
    found = with_words(replace(made, tables=tables, axes=["variant", "beta", "tau"]))
    assert found.tables["variance"].line.tolist() == ["DPO", "TD-DPO · τ 0.5",
                                                     "TD-DPO (all lines)"]  # fmt: skip
    assert found.tables["variance"].against.tolist()[1:] == ["DPO", "DPO"]
