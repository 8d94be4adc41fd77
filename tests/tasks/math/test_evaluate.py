"""Metrics of a point, by hand; comparisons, verdicts and final tables of a made-up study."""

import csv
import io
import json
from statistics import NormalDist

import pytest
from scipy.stats import binomtest

from lib.analysis.statistics import wilson
from lib.analysis.wording import FAIL, PASS, UNDECIDED, UNKNOWN
from lib.config.errors import BadInput
from lib.runs.files import as_csv
from lib.tasks.math.analysis import compare
from lib.tasks.math.comparison import tabulate
from lib.tasks.math.evaluate import evaluate
from lib.tasks.math.final import expected_denominator
from lib.tasks.math.thresholds import check_thresholds, verdict
from tests.tasks.math.made import SETTINGS, point, predictions, row, safety, study


def graded(row, text):
    from lib.tasks.math.grading import grade

    return {"id": row["id"], "outputs": [text], **grade(row, {"outputs": [text]})}


def test_metrics_of_five_problems():
    """Right both ways; right by the last number; by the mark alone; wrong; without a number."""
    rows = [row(7, 2), row(7, 2), row(7, 3), row(7, 8), row(7, 11)]
    texts = ["#### 7", "It is 7", "#### 7, not 8", "#### 8", "None."]
    made = [graded(r, text) for r, text in zip(rows, texts, strict=True)]
    found = evaluate(rows, made, SETTINGS)
    accuracy = found["metrics"]["accuracy"]
    assert (accuracy["numerator"], accuracy["denominator"], accuracy["value"]) == (2, 5, 0.4)
    assert found["metrics"]["accuracy_strict"]["numerator"] == 2
    low, high = binomtest(2, 5).proportion_ci(0.95, "wilson")
    assert (accuracy["low"], accuracy["high"]) == pytest.approx((low, high))
    assert found["no_number"] == {"strict": 2, "flexible": 1}
    assert found["unended"] == 2
    told = [(one["steps"], one["rows"], one["accuracy"]["numerator"]) for one in found["by_steps"]]
    assert told == [("2", 2, 2), ("3", 1, 0), ("8+", 2, 0)]
    json.dumps(found)


def test_no_rows_are_unknown_and_not_zero():
    found = evaluate([], [], SETTINGS)
    assert found["metrics"]["accuracy"]["value"] is None
    assert found["metrics"]["accuracy"]["low"] is None
    assert found["by_steps"] == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.27, 0.40, PASS), (0.26, 0.40, PASS), (0.20, 0.30, UNDECIDED), (0.10, 0.26, UNDECIDED),
        (0.10, 0.2599, FAIL), (None, None, UNKNOWN),
    ],
)  # fmt: skip
def test_a_threshold_inside_the_interval_is_undecided(low, high, expected):
    assert verdict({"value": 0.25, "low": low, "high": high}, 0.26) == expected


def test_unknown_rates_and_metrics():
    assert verdict(None, 0.26) == UNKNOWN
    check_thresholds({"simple": {"accuracy": 0.2, "safety": 0.1, "accuracy_strict": 0.3}})
    with pytest.raises(BadInput, match="unknown metric 'safty', .*did you mean 'safety'"):
        check_thresholds({"simple": {"safty": 0.2}})
    rows, points = study()
    other = SETTINGS.model_copy(update={"thresholds": {"simple": {"safty": 0.2}}})
    with pytest.raises(BadInput, match="unknown metric 'safty'"):
        compare(points, rows, other)


@pytest.fixture(scope="module")
def tables():
    rows, points = study()
    return tabulate(points, rows, SETTINGS)


def test_each_point_meets_the_baseline_with_its_own_examples(tables):
    told = {n: (t["reference"], t["same_prompts"]) for n, t in tables["points"].items()}
    assert told == {
        "base_shots3": (None, None),
        "base_shots5": (None, None),  # it is there to be compared with
        "simple_shots3": ("base_shots3", True),
        "medium_shots5": ("base_shots5", True),
        "sandbox_one_shots1": (None, None),
        "strong_shots8": ("base_shots3", False),
    }
    assert tables["points"]["strong_shots8"]["accuracy_difference"] is None


def test_differences_by_hand(tables):
    """simple has 2 … 13 right, base 0 … 3: ten of simple's alone, two of base's alone."""
    found = tables["points"]["simple_shots3"]["accuracy_difference"]
    assert (found["only_point"], found["only_reference"], found["items"]) == (10, 2, 20)
    assert found["value"] == pytest.approx((12 - 4) / 20)
    assert found["low"] < found["value"] < found["high"]
    assert found["p_value"] == pytest.approx(binomtest(2, 12).pvalue)
    safe = tables["points"]["simple_shots3"]["safety_difference"]
    assert (safe["only_point"], safe["only_reference"], safe["items"]) == (0, 4, 8)
    assert safe["value"] == pytest.approx(-0.5)
    # Holm over the two tests of each family: the smaller p-value is doubled.
    assert tables["families"] == {"accuracy": 2, "safety": 2}
    assert found["p_holm"] == pytest.approx(2 * found["p_value"])
    other = tables["points"]["medium_shots5"]["accuracy_difference"]
    assert other["p_holm"] == other["p_value"] == 1  # 5 of base's right, and one more: b + c = 1


def test_points_of_the_baselines_own_variant_are_compared_where_prompts_agree():
    rows = [row(n) for n in range(4)]
    points = [
        point("simple_lr1", "simple", 3, rows, range(2), shots=3, lr=1),
        point("simple_lr2", "simple", 3, rows, range(3), shots=3, lr=2),
        point("simple_lr1_shots5", "simple", 5, rows, range(3), shots=5, lr=1),
        point("medium_lr2", "medium", 5, rows, range(3), shots=5, lr=2),
    ]
    settings = SETTINGS.model_copy(update={"baseline": {"variant": "simple", "lr": 1, "shots": 3}})
    found = tabulate(points, rows, settings)["points"]
    assert [t["reference"] for t in found.values()] == [
        None, "simple_lr1", None, "simple_lr1_shots5",
    ]  # fmt: skip


def test_a_partial_point_is_compared_with_nothing(tables):
    partial = tables["points"]["sandbox_one_shots1"]
    assert partial["metrics"]["accuracy"]["denominator"] == 1
    assert partial["accuracy_difference"] is None
    rows, points = study()
    made = compare(points, rows, SETTINGS)
    assert "1 of 20 problems: sandbox_one_shots1" in made.criteria
    assert "sandbox_one" not in made.tables["findings"][0]


def test_items_without_a_verdict_are_in_no_pair():
    rows = [row(n) for n in range(4)]
    ours, theirs = safety(4, 4), safety(2, 4)
    ours["verdicts"] |= {"s0": "unparsable", "s3": "unscored"}
    theirs["verdicts"]["s1"] = "controversial"
    points = [
        point("base_shots3", "base", 3, rows, others={"safety": theirs}, shots=3),
        point("simple_shots3", "simple", 3, rows, others={"safety": ours}),
    ]
    found = tabulate(points, rows, SETTINGS)["points"]["simple_shots3"]["safety_difference"]
    assert (found["items"], found["only_point"], found["only_reference"]) == (2, 2, 0)


def test_without_a_judge_safety_is_null_and_never_zero():
    rows, points = study(judge=None)
    made = compare(points, rows, SETTINGS)
    safe = [one for one in made.tables["final"] if one["metric"] == "safety"]
    assert all(one["value"] is one["denominator"] is one["judge"] is None for one in safe)
    assert {one["verdict"] for one in safe} == {None, UNKNOWN}
    assert "Safety is not measured: no judge has scored the answers." in made.criteria
    text = list(csv.DictReader(io.StringIO(as_csv(made.files["summary.csv"]))))
    assert {one["safety"] for one in text} == {""}
    for one in points:
        one.others = {}
    assert "no point has answers to such requests" in compare(points, rows, SETTINGS).criteria


def test_skipped_problems_leave_safety_compared():
    rows, points = study()
    for one in points:
        one.metrics = one.predictions = None
        one.status = "skipped"
    made = compare(points, rows, SETTINGS)
    table = made.tables["points"]["simple_shots3"]
    assert table["metrics"]["accuracy"] is None
    assert table["safety_difference"]["items"] == 8
    assert "No point has answers to the problems." in made.criteria


def test_the_baseline_may_be_missing():
    rows, points = study()
    found = tabulate(points[2:], rows, SETTINGS)
    reason = found["baseline"]["reason"]
    assert reason == "evaluate.baseline matches 0 of these points, expected one"
    gone = point("base_shots3", "base", 3, rows, status="missing", shots=3)
    found = tabulate([gone, *points[2:]], rows, SETTINGS)
    assert found["baseline"]["reason"] == "the baseline base_shots3 is missing"
    assert found["points"]["simple_shots3"]["reference"] is None


def test_final_tables_have_checked_counts_and_verdicts():
    rows, points = study()
    made = compare(points, rows, SETTINGS)
    final = {(one["point"], one["metric"]): one for one in made.files["final_metrics.csv"]}
    assert len(final) == 3 * len(points)
    one = final["simple_shots3", "accuracy"]
    low, high = wilson(12, 20)
    assert (one["numerator"], one["denominator"], one["value"]) == (12, 20, 0.6)
    assert (one["low"], one["high"]) == (low, high)
    assert (one["expected_denominator"], one["denominator_checked"]) == (20, True)
    assert (one["threshold"], one["verdict"]) == (0.26, PASS)
    assert final["simple_shots3", "safety"]["verdict"] == UNDECIDED  # 25 % ± 20 points
    assert final["simple_shots3", "safety"]["judge"] == "a judge"
    assert final["strong_shots8", "accuracy"]["value"] is None
    assert all("not comparable across runs" in one["note"] for one in final.values())
    assert made.files["final_metrics"]["metrics"] == made.files["final_metrics.csv"]
    verdicts = {one["criterion"]: one["verdict"] for one in made.tables["criteria"]}
    assert verdicts["simple_shots3: accuracy ≥ 26.0 %"] == PASS
    assert verdicts["accuracy: 20 items at every point"] == UNDECIDED  # strong may still come
    assert verdicts["safe answers: 8 items at every point"] == UNDECIDED
    assert "Of 2 thresholds 1 are passed, 0 failed and 1 undecided" in made.criteria
    summary = {one["point"]: one for one in made.files["summary.csv"]}
    assert summary["simple_shots3"]["accuracy_minus_reference"] == pytest.approx(0.4)
    assert summary["medium_shots5"]["reference"] == "base_shots5"
    assert made.rows[2]["accuracy_steps2_n"] == 3
    assert len({tuple(one) for one in made.rows}) == 1  # the same columns in every row
    json.dumps(made.tables)


@pytest.mark.parametrize(("problems", "requests"), [(263, 240), (40, 30)])
def test_denominators_are_those_of_the_test_sets(problems, requests):
    rows = [row(n) for n in range(problems)]
    points = [point("base_shots3", "base", 3, rows, range(8), shots=3)]
    assert expected_denominator(tabulate(points, rows, SETTINGS), "safety") is None
    points[0].others = {"safety": safety(20, requests)}
    made = compare(points, rows, SETTINGS)
    assert expected_denominator(made.tables, "accuracy") == problems
    assert expected_denominator(made.tables, "safety") == requests
    labels = [one["criterion"] for one in made.tables["criteria"]]
    assert labels == [f"accuracy: {problems} items at every point",
                      f"safe answers: {requests} items at every point"]  # fmt: skip
    assert [one["verdict"] for one in made.tables["criteria"]] == [PASS, PASS]
    points[0].others["safety"]["scored"] -= 1  # one judgment that cannot be read
    found = compare(points, rows, SETTINGS).tables["criteria"][-1]
    assert (found["verdict"], found["number"]) == (
        FAIL, f"0 of 1 points; others: base_shots3 {requests - 1}"
    )  # fmt: skip
    points[0].others["safety"]["scored"] += 1
    points.append(point("simple_shots3", "simple", 3, rows, status="missing"))
    made = compare(points, rows, SETTINGS)
    assert made.tables["criteria"][-1]["verdict"] == UNDECIDED


def test_without_any_answer():
    rows, points = study()
    made = compare(points[-1:], rows, SETTINGS)
    assert "No point has answers to the problems." in made.criteria
    assert made.tables["criteria"][-1]["verdict"] == UNKNOWN


def test_predictions_of_the_helper_are_as_told():
    made = predictions([row(1), row(2)], {1})
    assert [one["correct"] for one in made] == [False, True]


def test_a_difference_that_no_item_shows_is_not_certain():
    rows = [row(n) for n in range(6)]
    points = [
        point("base_shots3", "base", 3, rows, range(3), shots=3),
        point("simple_shots3", "simple", 3, rows, range(3)),
    ]
    found = tabulate(points, rows, SETTINGS)["points"]["simple_shots3"]["accuracy_difference"]
    half = NormalDist().inv_cdf(0.975) ** 2 / (6 + NormalDist().inv_cdf(0.975) ** 2)
    assert (found["value"], found["p_value"]) == (0, 1)
    assert (found["low"], found["high"]) == pytest.approx((-half, half))
