"""Metrics of a point, comparisons, theory, criteria and findings, on made-up studies."""

import json
import math
import subprocess
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import yaml

from lib.analysis.statistics import wilson
from lib.config.errors import BadInput
from lib.config.schema import Evaluate
from lib.config.study import load_study
from lib.config.tasks import PointResult
from lib.tasks.decision import comparison, theory
from lib.tasks.decision.analysis import compare
from lib.tasks.decision.evaluate import METRICS, evaluate

CONFIGS = Path(__file__).parents[3] / "configs"
GRID_19 = str(CONFIGS / "weighted_loss.yaml")
SETTINGS = Evaluate(baseline={"variant": "baseline"}, resamples=200)


def paper(number, decision, **more):
    return {"id": f"p{number}", "decision": decision, **more}


def answer(number, z, prediction=None, neither=0.0):
    """A graded prediction with log-odds z (None: no scores), decided by its sign if not said."""
    said = prediction or ("accept" if z > 0 else "reject")
    p = None if z is None else 1 / (1 + math.exp(-z))
    return {
        "id": f"p{number}",
        "prediction": said,
        "log_odds": z,
        "p_accept": p,
        "neither": None if z is None else neither,
    }


def answers(z):
    return [answer(i, float(value)) for i, value in enumerate(z)]


def papers(n=400, seed=0, separation=1.0, years=()):
    """Balanced rows whose true log LR is normal with variance separation²: rows, labels, log LR."""
    y = np.arange(n) % 2
    half = separation**2 / 2
    z = np.random.default_rng(seed).normal(np.where(y == 1, half, -half), separation)
    rows = [paper(i, "accept" if y[i] else "reject", log_odds_true=float(z[i])) for i in range(n)]
    for i, row in enumerate(rows if years else ()):
        row["year"] = years[i % len(years)]
    return rows, y, z


def log_of(steps=60, diverges=False):
    rows = [
        {"step": i + 1, "loss": 0.6 + math.exp(-i / 20), "grad_norm": 1.0} for i in range(steps)
    ]
    return [*rows[: steps // 2], {"step": steps // 2 + 1, "loss": None}] if diverges else rows


def study_points(
    path=GRID_19,
    n=400,
    learned=1.0,
    noise=0.3,
    separation=1.0,
    years=(),
    absent=None,
    scored=True,
    overrides=(),
):
    """Rows and evaluated points of a study whose scores are learned·(log LR + offset) + noise.

    absent: index → status of points without predictions.
    """
    rows, _, truth = papers(n, separation=separation, years=years)
    points = []
    study = load_study(path, overrides)
    for point in study.points():
        status = (absent or {}).get(point.index, "done")
        result = PointResult(point.name, point.values, point.config, status, axes=study.axes)
        if status != "missing":
            result.train_log = log_of(diverges=status == "diverged")
        if status == "done":
            z = learned * (truth + theory.cells([result])[result.name].offset)
            z = z + noise * np.random.default_rng([1, point.index]).normal(size=n)
            result.predictions = answers(z)
            if not scored:
                result.predictions = [
                    p | dict.fromkeys(("log_odds", "p_accept", "neither"))
                    for p in result.predictions
                ]
            result.metrics = evaluate(rows, result.predictions, SETTINGS)
        points.append(result)
    return rows, points


def unmeasured(path):
    """The points of a study, none of them trained."""
    study = load_study(path)
    return [
        PointResult(p.name, p.values, p.config, "missing", axes=study.axes) for p in study.points()
    ]


def write_study(tmp_path, **sections):
    """A study file: the demo with other sections."""
    text = yaml.safe_load((CONFIGS / "weighted_loss.yaml").read_text())
    (tmp_path / "made.yaml").write_text(yaml.safe_dump(text | sections))
    return str(tmp_path / "made.yaml")


@pytest.fixture(scope="module")
def grid():
    """The 19 points with one missing and one diverged: rows, points, comparison."""
    rows, points = study_points(absent={9: "missing", 16: "diverged"})
    return rows, points, compare(points, rows, SETTINGS)


def by_name(made, start):
    """The table of the one point whose name starts so."""
    (name,) = [name for name in made.tables["points"] if name.startswith(start)]
    return made.tables["points"][name]


def verdict(made, start):
    (row,) = [row for row in made.tables["criteria"] if row["criterion"].startswith(start)]
    return row["verdict"], row["number"]


# -- one point -------------------------------------------------------------------------------------


def test_hand_worked_point():
    """Two accepts, two rejects; one accept found, one unknown, one reject wrongly accepted."""
    rows = [paper(0, "accept"), paper(1, "accept"), paper(2, "reject"), paper(3, "reject")]
    predictions = [
        answer(0, 2.0, neither=0.1),
        answer(1, -1.0, "unknown", neither=0.3),
        answer(2, 1.0),
        answer(3, -2.0),
    ]
    made = evaluate(rows, predictions, SETTINGS)
    values = {name: metric["value"] for name, metric in made["metrics"].items()}
    assert tuple(values) == METRICS
    assert values["accuracy"] == 0.5  # an unknown is wrong
    assert values["precision"] == 0.5
    assert values["recall"] == 0.5
    assert values["f1"] == 0.5
    assert values["acceptance_rate"] == 0.5
    assert values["actual_acceptance_rate"] == 0.5
    assert values["auc"] == 0.75  # of four pairs one is in the wrong order
    assert (made["rows"], made["unknown"], made["unscored"]) == (4, 1, 0)
    assert made["confusion"]["accept"] == {"accept": 1, "reject": 0, "unknown": 1}
    assert made["confusion"]["reject"] == {"accept": 1, "reject": 1, "unknown": 0}
    assert made["neither_mean"] == pytest.approx(0.1)
    assert made["neither_max"] == 0.3
    assert made["score_agreement"] == 1.0
    assert made["by_year"] == {}
    assert sum(row["n"] for row in made["reliability"]) == 4
    assert (made["metrics"]["accuracy"]["low"], made["metrics"]["accuracy"]["high"]) == wilson(2, 4)
    json.dumps(made, allow_nan=False)


def test_agrees_with_sklearn():
    from sklearn import metrics as sk

    rows, y, truth = papers(300)
    z = truth + np.random.default_rng(1).normal(size=300)
    made = evaluate(rows, answers(z), SETTINGS)["metrics"]
    pred, p = z > 0, 1 / (1 + np.exp(-z))
    expected = {
        "accuracy": sk.accuracy_score(y, pred),
        "precision": sk.precision_score(y, pred),
        "recall": sk.recall_score(y, pred),
        "f1": sk.f1_score(y, pred),
        "auc": sk.roc_auc_score(y, z),
        "brier": sk.brier_score_loss(y, p),
    }
    assert {name: made[name]["value"] for name in expected} == pytest.approx(expected)
    for name in expected:
        assert made[name]["low"] < made[name]["value"] < made[name]["high"]


def test_undefined_is_null_and_never_zero():
    rows = [paper(0, "accept"), paper(1, "reject")]
    made = evaluate(rows, [answer(i, None, "reject") for i in range(2)], SETTINGS)
    empty = {"value": None, "low": None, "high": None}
    for name in ("precision", "auc", "brier", "ece"):
        assert {key: made["metrics"][name][key] for key in empty} == empty
    assert made["metrics"]["recall"]["value"] == 0.0
    assert (made["unscored"], made["reliability"], made["neither_mean"]) == (2, None, None)
    assert made["score_agreement"] is None


def test_one_row_without_a_score_leaves_the_point_without():
    rows, _, z = papers(20)
    predictions = answers(z)
    predictions[3] |= {"log_odds": None, "p_accept": None}
    made = evaluate(rows, predictions, SETTINGS)
    assert made["unscored"] == 1
    assert made["metrics"]["auc"]["value"] is None
    assert made["metrics"]["accuracy"]["value"] is not None


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows(n):
    rows, _, z = papers(n)
    json.dumps(evaluate(rows, answers(z), SETTINGS), allow_nan=False)


def test_auc_ranks_by_log_odds_where_probabilities_round_to_one():
    rows = [paper(i, "accept" if i % 2 else "reject") for i in range(4)]
    z = [40.0, 43.0, 41.0, 44.0]
    made = evaluate(rows, answers(z), SETTINGS)
    assert made["metrics"]["auc"]["value"] == 1.0


def test_a_perfect_precision_of_few_papers_keeps_an_interval():
    rows, y, _ = papers(200)
    z = np.where(np.arange(200) < 6, 1.0, -1.0) * np.where(y == 1, 1, -1)
    z[6:] = -1.0
    made = evaluate(rows, answers(z), SETTINGS)["metrics"]["precision"]
    assert made["value"] == 1.0
    assert (made["low"], made["high"], made["method"]) == (*wilson(3, 3), "wilson")


def test_by_year():
    rows = [
        paper(0, "accept", year=2021),
        paper(1, "reject", year=2021),
        paper(2, "accept", year=2020),
        paper(3, "reject", year=None),
    ]
    made = evaluate(rows, [answer(i, z) for i, z in enumerate((1, 1, -1, -1))], SETTINGS)["by_year"]
    assert list(made) == ["2020", "2021"]
    assert made["2021"]["rows"] == 2
    rates = {name: metric["value"] for name, metric in made["2021"]["metrics"].items()}
    assert (rates["accuracy"], rates["precision"], rates["recall"]) == (0.5, 0.5, 1.0)
    assert (rates["acceptance_rate"], rates["actual_acceptance_rate"]) == (1.0, 0.5)
    assert rates["f1"] == pytest.approx(2 / 3)
    assert made["2020"]["metrics"]["precision"]["value"] is None
    accuracy = made["2020"]["metrics"]["accuracy"]
    assert (accuracy["low"], accuracy["high"], accuracy["method"]) == (*wilson(0, 1), "wilson")


# -- theory ----------------------------------------------------------------------------------------


def test_offsets_of_the_grid():
    """log(γ/k) for weighted accepts, −log(γk) for weighted rejects, −log k for the baseline."""
    points = unmeasured(GRID_19)
    odds = [math.exp(cell.offset) for cell in theory.cells(points).values()]
    expected = [
        1 / 2,
        2 / 2,
        4 / 2,
        8 / 2,
        1 / 4,
        1 / 8,
        1 / 16,
        2 / 3,
        4 / 3,
        1 / 6,
        1 / 12,
        2 / 4,
        4 / 4,
        1 / 8,
        1 / 16,
        2 / 8,
        4 / 8,
        1 / 16,
        1 / 32,
    ]
    assert odds == pytest.approx(expected)


def test_lines_start_at_the_unweighted_point_of_the_same_ratio():
    points = unmeasured(GRID_19)
    found = theory.lines(theory.cells(points))
    gammas = {
        (line[0], line[2]): [theory.cells(points)[name].gamma for name in names]
        for line, names in found.items()
    }
    assert gammas == {
        ("accept", "1:2"): [1, 2, 4, 8],
        ("reject", "1:2"): [1, 2, 4, 8],
        **{(v, r): [2, 4] for v in ("accept", "reject") for r in ("1:3", "1:4", "1:8")},
    }


def test_a_class_without_meaning_is_refused(tmp_path):
    path = write_study(
        tmp_path,
        variants={"baseline": {"train.weighted_class": None}, "odd": {"train.weighted_class": "x"}},
        grid=[{"variant": "baseline"}, {"variant": "odd", "gamma": 2}],
    )
    points = unmeasured(path)
    with pytest.raises(BadInput, match="weighted_class: found 'x', expected accept or reject"):
        theory.cells(points)


def test_scores_shifted_by_delta_reproduce_the_theory():
    """learned = 1 without noise: every point is the baseline with a shift, as Elkan has it."""
    rows, points = study_points(noise=0.0)
    made = compare(points, rows, SETTINGS)
    z2 = NormalDist().inv_cdf((1 + SETTINGS.level) / 2) ** 2
    half = z2 / (len(rows) + z2)
    for name, table in made.tables["points"].items():
        same = {"value": 0, "low": -half, "high": half}
        assert table["theory"]["acceptance_minus_expected"] == pytest.approx(same)
        shift = table["theory"]["logit_shift"]
        assert shift["value"] == pytest.approx(table["theory"]["delta"], abs=1e-9)
        assert shift["low"] is None  # every paper is shifted alike
        assert table["truth"]["correlation"] == pytest.approx(1)
        assert table["truth"]["expected_accuracy"] == table["metrics"]["accuracy"]["value"]
        assert table["control"]["accuracy_difference"] == pytest.approx(same)
        assert table["control"]["f1_difference"]["value"] in (0, None)
        assert table["control"]["mcnemar"]["p_value"] == 1
        if name != made.tables["baseline"]["name"]:
            assert table["auc_difference"]["value"] == pytest.approx(0)
    line = made.tables["shift_line"]
    assert [line[k] for k in ("slope", "correlation")] == pytest.approx([1, 1])
    assert line["low"] is line["high"] is None
    assert line["intercept"] == pytest.approx(0, abs=1e-9)
    assert all(group["acceptance_range"] == 0 for group in made.tables["equal_odds"])
    assert "misses the measured acceptance rate by 0.0 points on average" in made.criteria


def test_half_the_shift_gives_half_the_slope():
    rows, points = study_points(learned=0.5, noise=0.0)
    line = compare(points, rows, SETTINGS).tables["shift_line"]
    assert (line["slope"], line["correlation"]) == pytest.approx((0.5, 1))


def test_equal_odds_of_the_grid(grid):
    """(2, 1:2) and (4, 1:4) of accepts, and so on; the diverged (4, 1:8) is in no group."""
    groups = [
        (group["odds"], [name.removesuffix("_seed42") for name in group["points"]])
        for group in grid[2].tables["equal_odds"]
    ]
    assert [odds for odds, _ in groups] == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8, 1 / 16])
    assert [names for _, names in groups] == [
        ["accept_gamma2_ratio1-2", "accept_gamma4_ratio1-4"],
        ["baseline_gamma1_ratio1-2", "accept_gamma2_ratio1-4"],
        ["reject_gamma2_ratio1-2", "accept_gamma2_ratio1-8"],
        ["reject_gamma4_ratio1-2", "reject_gamma2_ratio1-4"],
        ["reject_gamma8_ratio1-2", "reject_gamma4_ratio1-4", "reject_gamma2_ratio1-8"],
    ]


def test_bayes_accuracy_of_hand_worked_rows():
    truth = np.array([2.0, -2.0, 1.0, -1.0])
    y = np.array([1, 0, 0, 0])
    found = theory.bayes(y, truth)
    assert found["bayes_accuracy"] == 0.75
    mean = (1 / (1 + math.exp(-2)) + 1 / (1 + math.exp(-1))) / 2
    assert found["bayes_accuracy_on_average"] == pytest.approx(mean)
    shifted = theory.against_truth(y, truth, 1.5, z=2 * truth)
    assert shifted["expected_acceptance"] == 0.75
    assert shifted["expected_accuracy"] == 0.5
    assert shifted["correlation"] == pytest.approx(1)


def test_without_true_log_odds_there_is_no_truth():
    rows, points = study_points(n=40)
    rows = [{key: row[key] for key in ("id", "decision")} for row in rows]
    made = compare(points, rows, SETTINGS)
    assert made.tables["truth"] is None
    assert all(table["truth"] is None for table in made.tables["points"].values())
    assert not any(key.startswith("truth") for key in made.rows[0])


# -- comparison ------------------------------------------------------------------------------------


def test_hand_worked_control():
    """The point accepts 2 of 4; the baseline's two highest scores hold one accept."""
    y, z = np.array([1, 0, 1, 0]), np.array([3.0, 2.0, 1.0, 0.0])
    counts = np.ones((3, 4), dtype=np.float32)
    control = comparison._control(y, np.array([1, 0, 1, 0]), z, counts, 0.95)
    assert (control["threshold"], control["acceptance_rate"]) == (1.0, 0.5)
    assert (control["accuracy"], control["f1"]) == (0.5, 0.5)
    assert control["accuracy_difference"]["value"] == 0.5
    assert control["f1_difference"]["value"] == 0.5
    assert (control["mcnemar"]["b"], control["mcnemar"]["c"]) == (2, 0)


def test_a_better_ranking_beats_the_moved_threshold():
    rows, points = study_points(n=1000, noise=0.0)
    for point in points[1:]:
        point.predictions = answers(np.where(papers(1000)[1] == 1, 1.0, -1.0))
        point.metrics = evaluate(rows, point.predictions, SETTINGS)
    made = compare(points, rows, SETTINGS)
    assert all(
        table["control"]["mcnemar"]["p_holm"] < 1e-9
        for name, table in made.tables["points"].items()
        if not name.startswith("baseline")
    )
    assert "18 points of the grid significantly more accurate and 0 less" in made.criteria
    assert "weighting did more than a moved threshold at accept_gamma2" in made.criteria


def test_families_are_adjusted_by_holm(grid):
    from scipy.stats import binomtest

    rows, points, made = grid
    assert made.tables["families"] == {"baseline": 16, "control": 16, "trend": 2}
    tests = [t["mcnemar"] for t in made.tables["points"].values() if t["mcnemar"]]
    assert len(tests) == 16
    first = tests[0]
    assert first["p_value"] == pytest.approx(binomtest(first["b"], first["b"] + first["c"]).pvalue)
    lowest = min(tests, key=lambda test: test["p_value"])
    assert lowest["p_holm"] == pytest.approx(min(1, 16 * lowest["p_value"]))


def test_trends(grid):
    from scipy.stats import page_trend_test

    rows, points, made = grid
    trends = {(t["variant"], t["ratio"]): t for t in made.tables["trends"]}
    accept, reject = trends["accept", "1:2"], trends["reject", "1:2"]
    assert accept["gammas"] == reject["gammas"] == [1, 2, 4, 8]
    assert accept["pairs"] == {
        "in_order": 3,
        "equal": 0,
        "reversed": 0,
        "reversed_significantly": 0,
    }
    assert accept["monotonic"]
    z = {p.name: [r["log_odds"] for r in p.predictions] for p in points if p.predictions}
    for trend, sign in ((accept, 1), (reject, -1)):
        levels = np.array([z[name] for name in trend["points"]]).T
        expected = page_trend_test(sign * levels, method="asymptotic")
        assert trend["page"]["statistic"] == pytest.approx(expected.statistic)
        assert trend["page"]["p_value"] == pytest.approx(expected.pvalue)
    short = trends["accept", "1:3"]
    assert short["gammas"] == [2, 4]
    assert (short["page"]["p_value"], short["monotonic"]) == (None, True)
    assert "2 levels" in short["page"]["reason"]
    broken = trends["accept", "1:8"]
    assert broken["absent"] == ["accept_gamma4_ratio1-8_seed42"]
    assert broken["monotonic"] is None


def test_a_reversed_pair_fails_the_criterion():
    rows, points = study_points()
    two, eight = points[1], points[3]
    two.predictions, eight.predictions = eight.predictions, two.predictions
    two.metrics, eight.metrics = eight.metrics, two.metrics
    made = compare(points, rows, SETTINGS)
    trend = made.tables["trends"][0]
    assert trend["pairs"] == {"in_order": 1, "equal": 0, "reversed": 2, "reversed_significantly": 2}
    assert not trend["monotonic"]
    word, number = verdict(made, "effect of γ")
    assert word == "fail"
    assert "10 of 12 neighbouring pairs of γ in order, 0 equal" in number
    assert "2 reversed (2 significantly)" in number


def test_acceptance_that_never_moves_is_no_effect():
    rows, points = study_points(learned=0.0, noise=0.0)  # every score is 0: nothing is accepted
    made = compare(points, rows, SETTINGS)
    assert verdict(made, "effect of γ")[0] == "fail"
    assert "0 of 12 neighbouring pairs of γ in order, 12 equal" in made.criteria


@pytest.mark.parametrize("status", ["missing", "diverged"])
def test_without_the_baseline_the_rest_is_computed(status):
    rows, points = study_points(n=100, absent={0: status})
    made = compare(points, rows, SETTINGS)
    assert made.tables["baseline"]["reason"] == f"the baseline {points[0].name} is {status}"
    assert made.tables["shift_line"]["slope"] is None
    assert made.tables["control_curve"] is None
    table = by_name(made, "accept_gamma4_ratio1-2")
    for key in ("theory", "control", "mcnemar", "auc_difference", "accuracy_difference"):
        assert table[key] is None
    assert table["metrics"]["auc"]["value"] > 0.5
    assert table["truth"]["correlation"] > 0.5
    assert f"the baseline {points[0].name} is {status}" in made.criteria
    assert made.rows[1]["delta"] is not None  # known from the configs
    json.dumps(made.tables, allow_nan=False)


def test_a_baseline_that_fits_several_points_is_named_as_such():
    rows, points = study_points(n=20)
    settings = SETTINGS.model_copy(update={"baseline": {"ratio": "1:2"}})
    made = compare(points, rows, settings)
    assert (
        made.tables["baseline"]["reason"]
        == "evaluate.baseline matches 7 of these points, expected one"
    )


def test_without_scores_decisions_are_still_compared():
    rows, points = study_points(n=100, scored=False)
    made = compare(points, rows, SETTINGS)
    table = by_name(made, "accept_gamma8")
    assert table["mcnemar"]["p_holm"] is not None
    assert (table["theory"], table["control"]) == (None, None)
    assert made.tables["families"] == {"baseline": 18, "control": 0, "trend": 0}
    assert made.tables["trends"][0]["page"]["reason"].endswith("4 points have no scores")
    assert "AUC is unknown" in made.criteria
    json.dumps(made.tables, allow_nan=False)


def test_nothing_measured():
    rows, points = study_points(n=20, absent=dict.fromkeys(range(19), "missing"))
    made = compare(points, rows, SETTINGS)
    assert made.tables["findings"] == ["No point is measured yet."]
    assert [row["verdict"] for row in made.tables["criteria"]] == ["fail"] + 5 * ["not measurable"]
    assert len(made.rows) == 19


def test_flat_rows(grid):
    rows, points, made = grid
    assert [row["point"] for row in made.rows] == [point.name for point in points]
    assert len({tuple(row) for row in made.rows}) == 1
    first, missing = made.rows[0], made.rows[9]
    assert (first["variant"], first["gamma"], first["ratio"], first["status"]) == (
        "baseline",
        1,
        "1:2",
        "done",
    )
    assert first["acceptance_minus_expected"] == pytest.approx(0)
    assert (first["mcnemar_p"], first["delta"]) == (None, 0)
    assert missing["status"] == "missing"
    assert {missing[key] for key in ("unknown", "accuracy", "auc_low", "control_f1")} == {None}
    assert made.rows[16]["status"] == "diverged"
    assert "seeds" not in first
    json.dumps(made.rows, allow_nan=False)
    json.dumps(made.tables, allow_nan=False)


def test_seeds_are_shown_one_by_one_and_summed_up(tmp_path):
    path = write_study(
        tmp_path,
        evaluate={"baseline": {"variant": "baseline", "seed": 1}},
        grid=[
            {"variant": "baseline", "seed": [1, 2, 3]},
            {"variant": "accept", "gamma": [2, 4], "seed": [1, 2, 3]},
        ],
    )
    rows, points = study_points(path, absent={8: "diverged"})
    settings = SETTINGS.model_copy(update={"baseline": {"variant": "baseline", "seed": 1}})
    made = compare(points, rows, settings)
    trends = [(trend["seed"], len(trend["points"])) for trend in made.tables["trends"]]
    assert trends == [(1, 3), (2, 3), (3, 2)]  # each seed starts at the baseline of its own
    assert [group["seeds"] for group in made.tables["seeds"]] == 3 * [[1, 2, 3]]
    values = [p.metrics["metrics"]["accuracy"]["value"] for p in points[3:6]]
    for row in made.rows[3:6]:  # γ = 2
        assert row["seeds"] == 3
        assert row["accuracy_seeds_mean"] == pytest.approx(np.mean(values))
        assert row["accuracy_seeds_sd"] == pytest.approx(np.std(values, ddof=1))
    assert made.tables["seeds"][2]["metrics"]["accuracy"]["values"][2] is None
    assert "over seeds the standard deviation of accuracy is" in made.criteria


def test_other_axes_make_lines_of_their_own(tmp_path):
    path = write_study(
        tmp_path,
        evaluate={"baseline": {"variant": "baseline", "lr": 1e-5}},
        axes={"weight": "train.gamma", "lr": "train.learning_rate"},
        grid=[
            {"variant": "baseline", "lr": [1e-5, 1e-4]},
            {"variant": "accept", "weight": [2, 4], "lr": [1e-5, 1e-4]},
        ],
    )
    points = unmeasured(path)
    lines = theory.lines(theory.cells(points))
    assert [line[-1] for line in lines] == [(("lr", 1e-5),), (("lr", 1e-4),)]
    assert [len(names) for names in lines.values()] == [3, 3]


# -- criteria and findings -------------------------------------------------------------------------


def test_criteria_of_a_grid_with_gaps(grid):
    made = grid[2]
    names = "diverged: accept_gamma4_ratio1-8_seed42; missing: reject_gamma2_ratio1-3_seed42"
    assert verdict(made, "all points trained") == ("fail", f"17 of 19; {names}")
    assert verdict(made, "all predictions")[0] == "fail"
    assert verdict(made, "effect of γ")[0] == "not measurable"  # a missing point may still come
    assert verdict(made, "acceptance rates span 30 % to 70 %")[0] == "pass"
    assert verdict(made, "plots")[0] == "not measurable"
    assert made.criteria.count("\n| ") == 8
    assert f"Not in these numbers: {names}." in made.criteria


def test_criteria_of_a_whole_grid():
    rows, points = study_points(separation=1.6)
    made = compare(points, rows, SETTINGS)
    verdicts = [row["verdict"] for row in made.tables["criteria"]]
    assert verdicts == 5 * ["pass"] + ["not measurable"]
    assert verdict(made, "all points trained")[1] == "19 of 19"
    above = sum(p.metrics["metrics"]["accuracy"]["value"] > 0.6 for p in points)
    assert verdict(made, "accuracy above 60 %")[1].startswith(f"{above} of 19 points; lower bound")


def test_a_trained_point_without_predictions_is_trained():
    rows, points = study_points(n=40, absent={3: "trained"})
    made = compare(points, rows, SETTINGS)
    assert verdict(made, "all points trained") == ("pass", "19 of 19")
    assert verdict(made, "all predictions")[0] == "fail"
    assert "trained: accept_gamma8" in made.criteria


def test_unknown_answers_are_counted():
    rows, points = study_points(n=40)
    points[2].predictions[5]["prediction"] = "unknown"
    points[2].metrics = evaluate(rows, points[2].predictions, SETTINGS)
    word, number = verdict(compare(points, rows, SETTINGS), "all predictions")
    assert word == "fail"
    assert number.startswith(f"1 of 760 answers unknown ({points[2].name}: 1)")


def test_scores_without_signal_are_said_to_be_so():
    rows, points = study_points(n=100)
    for i, point in enumerate(points):
        noise = np.random.default_rng([2, i]).normal(size=50)
        point.predictions = answers(np.repeat(noise, 2))  # an accept and a reject tie: AUC is ½
        point.metrics = evaluate(rows, point.predictions, SETTINGS)
    made = compare(points, rows, SETTINGS)
    assert "AUC lies between 0.500 and 0.500" in made.criteria
    assert "Every 95 % interval of AUC includes 0.5: the scores carry (almost) no" in made.criteria


# -- the module ------------------------------------------------------------------------------------


def test_imports_nothing_slow():
    slow = ("torch", "transformers", "matplotlib", "scipy", "sklearn", "pandas")
    code = (
        "import sys, lib.tasks.decision.evaluate, lib.tasks.decision.comparison; "
        f"print([name for name in {slow} if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=CONFIGS.parent, text=True, capture_output=True, check=True
    )
    assert ran.stdout.strip() == "[]"
