"""Outcomes and metrics of decisions, theory and the moved threshold, on made-up studies."""

import math
from pathlib import Path

import numpy as np
import pytest

from lib.analysis.statistics import percentile_interval, resample_counts
from lib.config.schema import Evaluate
from lib.tasks.decision.analysis import TABLES
from lib.tasks.decision.grading import outcomes
from lib.tasks.decision.metrics import ece, ece_interval, point_extras
from lib.tasks.decision.scores import offset_of
from tests.tasks.decision.made import answer, of_one, paper, study

ROOT = Path(__file__).parents[3]
GRID_19 = str(ROOT / "configs" / "weighted_loss.yaml")
EVALUATE = Evaluate(baseline={}, resamples=100)
ROWS = [paper(i, "accept" if i % 2 else "reject", year=2019) for i in range(4)]


def test_outcomes_of_four_papers():
    given = [answer(0, -1.0), answer(1, 1.0), answer(2, 2.0), answer(3, -2.0, "unknown")]
    found = outcomes(ROWS, given, EVALUATE)
    assert found["label"] == [0, 1, 0, 1]
    assert found["parsed"] == [1, 1, 1, 0]
    assert found["accepted"] == [0, 1, 1, 0]
    assert found["correct"] == [1, 1, 0, 0]
    assert found["year"] == ["2019"] * 4
    assert found["squared_error"][0] == pytest.approx((1 / (1 + math.e)) ** 2)
    extras = point_extras(ROWS, given, EVALUATE)
    assert (extras["unknown"], extras["unscored"]) == (1, 0)
    assert extras["confusion"]["accept"] == {"accept": 1, "reject": 0, "unknown": 1}
    assert extras["score_agreement"] == 1


def test_one_row_without_a_score_leaves_a_point_without():
    given = [answer(0, -1.0), answer(1, 1.0), answer(2, None, "accept"), answer(3, 1.0)]
    assert outcomes(ROWS, given, EVALUATE)["log_odds"] == [None] * 4
    assert point_extras(ROWS, given, EVALUATE)["reliability"] is None


@pytest.mark.parametrize("overrides", [(), ("train.objective=weighted_nll",)])
def test_offsets_of_the_grid(overrides):
    """log(γ/k) for weighted accepts, −log(γk) for weighted rejects, −log k for the baseline."""
    answers = study(GRID_19, n=8, overrides=overrides)
    offsets = [offset_of(point.config) for point in answers.study.points()]
    expected = [1 / 2, 1, 2, 4, 1 / 4, 1 / 8, 1 / 16]
    for k in (3, 4, 8):
        expected += [2 / k, 4 / k, 1 / (2 * k), 1 / (4 * k)]
    assert np.exp(offsets) == pytest.approx(expected)


def test_scores_shifted_by_delta_reproduce_the_theory():
    """learned = 1 without noise: every point is the baseline with a shift, as Elkan has it."""
    answers = study(GRID_19, noise=0.0)
    theory, line = (answers.tables.extras[name] for name in ("theory", "shift_line"))
    assert len(theory) == 19
    assert theory["acceptance"].tolist() == pytest.approx(theory["expected_acceptance"].tolist())
    assert theory["logit_shift"].tolist() == pytest.approx(theory["delta"].tolist(), abs=1e-6)
    assert (
        theory["acceptance_minus_expected_low"].max()
        < 0
        < (theory["acceptance_minus_expected_high"].min())
    )
    assert line["slope"].tolist() == pytest.approx([1.0])
    control = answers.tables.extras["control"]
    assert control["accuracy_difference"].abs().max() < 1e-9
    assert control["p"].tolist() == [1.0] * 19
    odds = answers.tables.extras["equal_odds"]
    assert odds["acceptance_range"].max() < 1e-9
    trends = answers.tables.extras["trends"]
    assert trends["reversed"].sum() == 0
    assert trends.loc[trends["levels"] == 4, "in_order"].tolist() == [3, 3]


def test_half_the_shift_gives_half_the_slope():
    line = study(GRID_19, learned=0.5, noise=0.0).tables.extras["shift_line"]
    assert line["slope"].tolist() == pytest.approx([0.5])


def test_a_point_is_held_against_the_baseline_of_its_own_seed(write_study):
    """Scores of seed 2 lie 1 logit above those of seed 1, of the baseline too."""
    axes = {"gamma": "train.gamma", "seed": "train.seed"}
    grid = [{"variant": "baseline", "gamma": 1, "seed": [1, 2]},
            {"variant": "accept", "gamma": [2, 4], "seed": [1, 2, 3]}]  # fmt: skip
    path = write_study({"axes": axes, "grid": grid, "evaluate.baseline": {"variant": "baseline"}})
    answers = study(path, noise=0.0)
    moved = answers.results["decision"]
    for result in moved:
        shift = {1: 0.0, 2: 1.0, 3: 0.5}[result.config.train.seed]
        for one in result.predictions:
            one["log_odds"] += shift
    from lib.analysis.engine import analyse

    again = analyse(answers.study, answers.study.points(), answers.rows, {"decision": moved})
    theory = again.tables.extras["theory"].set_index("point")
    assert theory["logit_shift"].tolist() == pytest.approx(theory["delta"].tolist(), abs=1e-9)
    line = again.tables.extras["shift_line"].set_index("seed")
    assert line.loc[["all", "1", "2", "3"], "slope"].tolist() == pytest.approx([1.0] * 4)


def test_answers_that_say_nothing_leave_theory_as_it_is():
    """Of 400 answers 40 can be parsed: rates of answers fall, scores are compared with scores."""
    answers = study(GRID_19, noise=0.0, parsed=0.1)
    one = answers.tables.points["point"][1]
    assert of_one(answers, one, "parsed")["value"] == pytest.approx(0.1)
    assert answers.tables.extras["theory"]["acceptance_minus_expected"].abs().max() < 1e-9
    assert answers.tables.points["complete"].tolist() == [0.0] * 19


def test_points_that_are_not_done_are_in_no_setting_and_no_contrast():
    answers = study(GRID_19, n=100, status={1: "missing", 2: "diverged", 3: "partial"})
    tables = answers.tables
    assert tables.points["trained"][1:4].isna().tolist() == [True, False, False]
    assert tables.points["trained"][2] == 0
    settings = tables.estimates[(tables.estimates["of"] == "setting")
                                & (tables.estimates["task"] == "decision")]  # fmt: skip
    out = set(tables.points["setting"][1:4])
    assert out.isdisjoint(settings["name"])
    assert out.isdisjoint(tables.contrasts["a"])
    assert of_one(answers, tables.points["point"][3], "accuracy")["n"] == 50
    assert set(tables.extras) <= set(TABLES)
    for name, table in tables.extras.items():
        assert list(table.columns) == list(TABLES[name])


def test_points_that_agree_on_every_item_are_not_certain():
    """Six papers, all answers right: no interval has no width."""
    rows = [paper(i, "accept" if i % 2 else "reject") for i in range(6)]
    answers = study(GRID_19, n=6)
    for result in answers.results["decision"]:
        result.predictions = [answer(i, 2.0 if i % 2 else -2.0) for i in range(6)]
    from lib.analysis.engine import analyse

    same = analyse(answers.study, answers.study.points(), {"decision": rows}, answers.results)
    for table in (same.tables.estimates, same.tables.contrasts):
        known = table[table["low"].notna()]
        assert len(known)
        assert (known["low"] < known["high"]).all()
    assert (same.tables.contrasts["p"].dropna() == 1).all()


@pytest.mark.parametrize("sharpening", [1.0, 2.0])
def test_ece_interval_covers_where_the_percentile_interval_does_not(sharpening):
    """Labels follow σ(z), the point reports σ(sharpening·z): calibrated, and overconfident."""
    rng = np.random.default_rng(0)
    counts = resample_counts(400, resamples=300)

    def columns(n):
        z = rng.normal(size=n)
        y = rng.random(n) < 1 / (1 + np.exp(-z))
        return {"label": y.astype(float), "p_accept": 1 / (1 + np.exp(-sharpening * z))}

    truth = ece(columns(300_000), None, bins=15) if sharpening != 1 else 0.0
    covered = percentile = 0
    for _ in range(60):
        drawn = columns(400)
        value, resampled = ece(drawn, None, bins=15), ece(drawn, counts, bins=15)
        low, high = ece_interval(value, resampled, drawn, 0.95, bins=15)
        assert 0 <= low <= value <= high <= 1
        covered += low <= truth <= high
        low, high = percentile_interval(resampled, 0.95)
        percentile += low <= truth <= high
    assert covered >= 0.85 * 60
    assert percentile < covered
