"""Metrics of templated problems by hand, and what points say together."""

import csv
import json
import subprocess
import sys
from io import StringIO

import numpy as np
import pytest

from lib.analysis.metrics import weighted_mean
from lib.analysis.statistics import holm, mcnemar, percentile_interval, resample_counts, wilson
from lib.analysis.wording import FAIL, PASS, UNDECIDED, UNKNOWN
from lib.config.errors import BadInput
from lib.config.schema import Evaluate
from lib.runs.files import as_csv
from lib.tasks.symbolic.analysis import compare
from lib.tasks.symbolic.comparison import reference_of, tabulate
from lib.tasks.symbolic.evaluate import SHARES, evaluate
from lib.tasks.symbolic.samples import places, read_samples, templates
from tests.tasks.symbolic.simulated import JUDGE, SETTINGS, measured, predicted, row, rows, study

TWO = Evaluate(baseline={"variant": "base"}, resamples=200, draws=[1, 2, 3])


def by_hand():
    """Two in-distribution questions and one of a new template, three samples each; gold is 7.

    a: 7 7 1, rewards 1 2 3: the majority is right, the best is not.
    b: 1 2 7, rewards 1 2 3: a tie of three, the first seen is wrong; the best is right.
    c: 1 1 −, no right sample.
    """
    test = [row("a"), row("b"), row("c", "new_templates")]
    predictions = [
        predicted(test[0], ["7", "7", "1"], "7", [1, 2, 3]),
        predicted(test[1], ["1", "2", "7"], "1", [1, 2, 3]),
        predicted(test[2], ["1", "1", None], None, [1, 2, None]),
    ]
    return test, predictions


def of(found, place, strategy, n, how="subsets"):
    return found["sets"][place]["votes"][strategy][how][str(n)]["value"]


# -- one point -------------------------------------------------------------------------------------


def test_metrics_of_a_point_by_hand():
    test, predictions = by_hand()
    found = evaluate(test, predictions, TWO)
    assert list(found["sets"]) == ["in_distribution", "new_templates", "all"]
    home, new = found["sets"]["in_distribution"], found["sets"]["new_templates"]
    assert (home["rows"], home["templates"], found["samples"]) == (2, 2, 3)
    accuracy = home["accuracy"]
    assert (accuracy["value"], accuracy["low"], accuracy["high"]) == (0.5, *wilson(1, 2))
    # One sample: 2 of 3 right of a, 1 of 3 of b. Three: a certain, b a tie of three.
    assert of(found, "in_distribution", "majority", 1) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert of(found, "in_distribution", "majority", 3) == pytest.approx((1 + 1 / 3) / 2)
    assert of(found, "in_distribution", "best", 3) == 0.5
    # Pairs of a: 77, 71, 71 with the best right, wrong, wrong; of b: 12, 17, 27: two are right.
    assert of(found, "in_distribution", "best", 2) == pytest.approx((1 / 3 + 2 / 3) / 2)
    # a: e + e² < e³, so 1 wins over 7 with 20.1 to 10.1; b: 7 has most.
    assert of(found, "in_distribution", "weighted", 3) == 0.5
    assert of(found, "in_distribution", "pass", 3) == 1.0
    assert of(found, "in_distribution", "pass", 2) == pytest.approx((1 + 2 / 3) / 2)
    assert of(found, "in_distribution", "majority", 2, "first") == pytest.approx((1 + 0) / 2)
    assert home["first_seen"]["3"]["value"] == 0.5
    assert of(found, "new_templates", "majority", 3) == 0.0
    assert home["gain"]["majority"]["value"] == pytest.approx((1 + 1 / 3) / 2 - 0.5)
    assert home["gain"]["best_over_majority"]["value"] == pytest.approx(0.5 - (1 + 1 / 3) / 2)
    assert home["unique"] == {"mean": 2.5, "questions": {"0": 0, "1": 0, "2": 1, "3": 1}}
    assert (home["solvable"], home["failures"]) == (2, {"majority": 1, "best": 1})
    assert (new["solvable"], new["failures"]) == (0, {"majority": 0, "best": 0})
    assert new["no_number"] == {"greedy": 1, "samples": 1}
    assert found["judge_unread"] == 1
    reward = home["reward"]
    assert (reward["right"]["samples"], reward["wrong"]["samples"]) == (3, 3)
    assert reward["right"]["mean"] == pytest.approx(2)  # 1, 2 and 3
    assert reward["wrong"]["quantiles"][SHARES.index(0.5)] == 2  # 3, 1 and 2
    assert reward["auc"]["value"] == pytest.approx((0 + 1) / 2)
    assert new["reward"]["questions"] == 0
    assert new["reward"]["auc"]["value"] is None
    assert found["subsets"]["2"] == {"count": 3, "all": True}
    json.dumps(found, allow_nan=False)


def test_with_all_samples_the_first_ones_are_all_of_them():
    test, predictions = by_hand()
    found = evaluate(test, predictions, TWO)
    for strategy in ("majority", "best", "weighted", "pass"):
        assert of(found, "all", strategy, 3) == of(found, "all", strategy, 3, "first")


def test_intervals_keep_the_questions_of_a_template_together():
    """Two sets share their templates, and one template of the first has three questions."""
    shared = [row(f"{i}{k}", template=f"t{i}") for i in range(6) for k in range(3)]
    shared += [row(i, "same_templates", template=f"t{i}") for i in range(6)]
    right = [i % 4 != 0 for i in range(len(shared))]
    predictions = [predicted(one, [], "7" if ok else "1") for one, ok in zip(shared, right,
                   strict=True)]  # fmt: skip
    found = evaluate(shared, predictions, SETTINGS)["sets"]
    assert found["in_distribution"]["templates"] == 6
    assert found["in_distribution"]["accuracy"]["method"] == "bootstrap"
    assert found["same_templates"]["accuracy"]["method"] == "wilson"
    clusters = [one["template"] for one in shared]
    counts = resample_counts(len(shared), SETTINGS.resamples, SETTINGS.seed, clusters)
    expected = percentile_interval(weighted_mean(np.array(right, float), counts))
    whole = found["all"]["accuracy"]
    assert (whole["low"], whole["high"]) == pytest.approx(tuple(expected))


def test_without_rewards_they_are_unknown_and_not_zero():
    test, predictions = by_hand()
    del predictions[1]["judgments"]
    found = evaluate(test, predictions, TWO)
    home = found["sets"]["in_distribution"]
    for strategy in ("best", "weighted"):
        assert of(found, "in_distribution", strategy, 2) is None
        assert home["gain"][strategy]["value"] is None
    assert home["failures"] == {"majority": 1, "best": None}
    assert (home["reward"], found["judge_unread"]) == (None, None)
    assert of(found, "in_distribution", "majority", 2) is not None


def test_without_samples_there_is_the_greedy_answer_alone():
    test = rows(2)
    found = evaluate(test, [predicted(one, [], "7") for one in test], SETTINGS)
    assert (found["samples"], found["draws"]) == (0, [])
    whole = found["sets"]["all"]
    assert whole["accuracy"]["value"] == 1.0
    assert whole["votes"]["majority"] == {"first": {}, "subsets": {}}
    assert (whole["solvable"], whole["unique"]["mean"]) == (None, None)
    assert whole["gain"]["majority"]["value"] is None


def test_questions_that_are_alike_give_a_gain_no_interval():
    """Every resample of equal values is the same: an interval of no width says nothing."""
    test = rows(4)
    found = evaluate(test, [predicted(one, ["7"] * 8, "7") for one in test], SETTINGS)
    gain = found["sets"]["all"]["gain"]["majority"]
    assert gain == {"value": 0.0, "low": None, "high": None, "method": None}
    votes = found["sets"]["all"]["votes"]["majority"]["subsets"]["8"]
    assert votes["value"] == 1.0 > votes["low"]  # a rate has Wilson's interval there


def test_no_rows_are_unknown():
    found = evaluate([], [], SETTINGS)
    assert found["metrics"]["accuracy"]["value"] is None
    assert found["sets"] == {}


def test_numbers_are_compared_as_numbers():
    one = row(1, final="1800")
    prediction = predicted(one, ["1,800", "$1800.00", "18"], "1800.0")
    found = evaluate([one], [prediction], Evaluate(baseline={}, draws=[3]))
    home = found["sets"]["in_distribution"]
    assert (home["unique"]["mean"], home["accuracy"]["value"]) == (2.0, 1.0)
    assert of(found, "in_distribution", "majority", 3) == 1.0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p[1]["answers"].pop(),
         "row in_distribution-b: found 2 samples, expected 3, as row in_distribution-a has"),
        (lambda p: p[2]["judgments"]["rewards"].pop(),
         "row new_templates-c: found 2 rewards in its judgments, expected 3, one a sample"),
    ],
)  # fmt: skip
def test_rows_with_unequal_n_are_refused(spoil, message):
    test, predictions = by_hand()
    spoil(predictions)
    with pytest.raises(BadInput, match=message):
        evaluate(test, predictions, TWO)


def test_more_draws_than_samples_are_refused():
    test, predictions = by_hand()
    with pytest.raises(BadInput, match="evaluate.draws: found 8, expected at most 3: so many samp"):
        evaluate(test, predictions, SETTINGS)


def test_evaluation_needs_no_torch():
    heavy = "torch", "transformers", "vllm", "matplotlib", "pandas"
    code = (
        "import sys, lib.tasks.symbolic.evaluate, lib.tasks.symbolic.comparison, "
        "lib.tasks.symbolic.findings, lib.tasks.symbolic.failures\n"
        f"assert not [m for m in {heavy} if m in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- points together -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    test, points = study()
    return test, points, compare(points, test, SETTINGS)


def test_a_tuned_point_meets_the_untrained_one_of_its_model(made):
    told = {n: t["reference"] for n, t in made[2].tables["points"].items()}
    assert told == {
        "base_0": None,
        "sft_0_lr1e-05": "base_0",
        "sft_0_lr2e-05": "base_0",
        "base_1": None,
        "sft_1_lr1e-05": "base_1",
        "sft_1_lr2e-05": "base_1",
        "sft_1_lr1": None,
        "sft_1_lr2": None,
    }


def test_without_an_untrained_point_of_its_model_the_baseline_serves():
    test, points = study(2)
    other = measured("other", test, points[0].predictions, variant="x", model="b", epochs=1.0)
    assert reference_of(other, [*points, other], "base_0").name == "base_0"
    assert reference_of(other, [*points, other], None) is None
    assert reference_of(other, [*points, other], "other") is None
    adapter = measured("a", test, points[0].predictions, variant="x", model="a/small", adapter="d")
    assert reference_of(adapter, [*points, adapter], None).name == "base_0"


def test_paired_differences_are_mcnemars(made):
    test, points, found = made
    at = places(test)["new_templates"]
    samples = {p.name: read_samples(p.predictions) for p in points if p.predictions}
    ours, theirs = samples["sft_1_lr2e-05"], samples["base_1"]
    one = found.tables["points"]["sft_1_lr2e-05"]["differences"]["new_templates"]
    for family, a, b in (
        ("accuracy", ours.greedy, theirs.greedy),
        ("majority", ours.is_right("majority"), theirs.is_right("majority")),
        ("best", ours.is_right("best"), theirs.is_right("best")),
    ):
        test_ = mcnemar(a[at], b[at])
        assert (one[family]["only_point"], one[family]["only_reference"]) == (test_.b, test_.c)
        assert one[family]["p_value"] == pytest.approx(test_.p_value)
        assert one[family]["value"] == pytest.approx((test_.b - test_.c) / len(at))


def test_each_family_is_adjusted_over_points_and_sets(made):
    tables = made[2].tables
    assert tables["families"] == {"accuracy": 12, "majority": 12, "best": 12}
    raw = {
        (name, place): of_set["majority"]
        for name, table in tables["points"].items()
        for place, of_set in table["differences"].items()
    }
    adjusted = holm({key: test["p_value"] for key, test in raw.items()})
    assert {key: test["p_holm"] for key, test in raw.items()} == adjusted
    assert len(raw) == 12


def test_transfer_is_the_difference_of_the_sets(made):
    for table in made[2].tables["points"].values():
        for place, found in table["transfer"].items():
            rates = [table["sets"][s]["accuracy"]["value"] for s in ("in_distribution", place)]
            assert found["value"] == pytest.approx(rates[0] - rates[1])
            assert found["low"] < found["value"] < found["high"]
    assert set(made[2].tables["points"]["base_0"]["transfer"]) == {"same_templates",
                                                                  "new_templates"}  # fmt: skip


def test_a_template_in_both_sets_counts_as_one():
    """The same outcome for both questions of each template: no difference, and no width."""
    test = rows(8, ("in_distribution", "same_templates"))
    predictions = [predicted(one, [], "7" if i % 8 < 3 else "1") for i, one in enumerate(test)]
    other = [dict(one, template=f"other-{i}") for i, one in enumerate(test)]
    found = []
    for rows_ in (test, other):
        point = measured("base", rows_, predictions, variant="base", seed=1)
        table = tabulate([point], rows_, SETTINGS)["points"]["base"]
        found.append(table["transfer"]["same_templates"])
    assert (found[0]["value"], found[0]["low"], found[0]["high"]) == (0, None, None)
    assert found[1]["high"] - found[1]["low"] > 0.3


def test_equal_points_are_not_certain_and_have_a_p_value_of_one():
    test = rows(4)
    same = [predicted(one, ["7"] * 8, "7") for one in test]
    points = [
        measured("base", test, same, variant="base", seed=1),
        measured("sft", test, same, variant="sft", epochs=1.0),
    ]
    tables = tabulate(points, test, SETTINGS)
    found = tables["points"]["sft"]["differences"]["new_templates"]["accuracy"]
    assert (found["value"], found["p_value"]) == (0.0, 1.0)
    assert -found["low"] == found["high"] == pytest.approx(0.48989, abs=1e-5)  # of 4 questions
    assert tables["points"]["sft"]["differences"]["new_templates"]["best"] is None
    assert tables["families"] == {"accuracy": 3, "majority": 3, "best": 0}
    assert tables["points"]["sft"]["transfer"]["new_templates"]["low"] is None


def test_a_partial_point_is_compared_with_nothing():
    test, points = study(4)
    few = measured("sft_few", test, points[1].predictions[:3], status="partial", variant="sft",
                   epochs=1.0, model="a/small")  # fmt: skip
    found = compare([*points, few], test, SETTINGS)
    table = found.tables["points"]["sft_few"]
    assert (table["reference"], table["differences"], table["transfer"]) == (None, {}, {})
    assert table["rows"] == 3
    assert "3 of 12 questions: sft_few" in found.tables["findings"][-1]


def test_verdicts(made):
    told = {row["criterion"]: row for row in made[2].tables["criteria"]}
    assert len(told) == 6 * 3 + 6 * 2
    key = "sft_1_lr1: tuning gains accuracy on problems of new templates"
    assert (told[key]["verdict"], told[key]["number"]) == (UNKNOWN, "diverged")
    tables = made[2].tables
    for name, table in tables["points"].items():
        for place, tests in table["differences"].items():
            test = tests["accuracy"]
            clear = test["p_holm"] < 0.05
            expected = (PASS if test["value"] > 0 else FAIL) if clear else UNDECIDED
            rows_ = [r for k, r in told.items() if k.startswith(f"{name}: tuning")]
            number = rows_[list(tables["sets"]).index(place)]
            assert number["verdict"] == expected
    gain = tables["points"]["base_0"]["sets"]["all"]["gain"]["majority"]
    assert gain["low"] > 0
    assert told["base_0: the majority of 8 gains over one sample"]["verdict"] == PASS


def test_findings_say_what_there_is_and_what_is_missing(made):
    text = " ".join(made[2].tables["findings"])
    for words in ("20 new instances of trained templates", "majority of 8", "best of 8", "pass@8",
                  "weighted vote", f"by {JUDGE}", "Without a number", "Holm-adjusted",
                  "comparisons: diverged: sft_1_lr1; missing: sft_1_lr2."):  # fmt: skip
        assert words in text
    test, points = study(3, judge=None)
    tables = compare(points, test, SETTINGS).tables
    text = " ".join(tables["findings"])
    assert "no reward model has scored the samples" in text
    assert "None" not in text
    rewarded = [r for r in tables["criteria"] if "best of" in r["criterion"]]
    assert {r["verdict"] for r in rewarded} == {UNKNOWN}
    test, points = study(3, samples=0)
    text = " ".join(compare(points, test, SETTINGS).tables["findings"])
    assert "No samples were drawn" in text
    nothing = compare(points[-2:], test, SETTINGS)
    assert nothing.tables["findings"][0] == "No point has answers to the test questions."
    assert nothing.tables["baseline"]["name"] is None


def test_tables_are_whole_and_flat(made):
    test, points, found = made
    json.dumps(found.tables, allow_nan=False)
    flat = list(csv.DictReader(StringIO(as_csv(found.rows))))
    assert [row["point"] for row in flat] == [point.name for point in points]
    assert len({tuple(row) for row in flat}) == 1
    first = found.tables["points"]["base_0"]["sets"]["new_templates"]
    assert float(flat[0]["new_templates_accuracy"]) == first["accuracy"]["value"]
    assert float(flat[0]["new_templates_best"]) == first["votes"]["best"]["subsets"]["8"]["value"]
    assert flat[-1]["new_templates_accuracy"] == ""
    votes = found.files["votes.csv"]
    # 6 points × 4 sets × 4 n × (4 strategies × 2 estimators + first seen)
    assert len(votes) == 6 * 4 * 4 * 9
    assert len(found.files["differences.csv"]) == 36
    assert {p.name for p in points[:6]} == {
        name[len("failures_") : -len(".md")] for name in found.files if name.endswith(".md")
    }
    assert templates(test)[0] == templates(test)[20] != templates(test)[40]
