"""Metrics of a preference point by hand, and its comparison on made-up studies."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from lib.analysis.statistics import wilson
from lib.tasks.preference import measures, variance
from lib.tasks.preference.analysis import compare
from lib.tasks.preference.cells import Line, Setting, cells, lines_of, settings_of
from lib.tasks.preference.evaluate import evaluate
from lib.tasks.preference.metrics import wins
from tests.tasks.preference.made import (
    SEEDS,
    SETTINGS,
    grid,
    log,
    measure,
    prediction,
    ratings,
    study,
)


def rows(n):
    return [{"id": f"r{i}"} for i in range(n)]


def strict(value):
    """Through JSON, which must hold no nan."""
    return json.loads(json.dumps(value, allow_nan=False))


def criterion(made, start):
    (row,) = [row for row in made.tables["criteria"] if row["criterion"].startswith(start)]
    return row["verdict"], row["number"]


def setting(made, label):
    (found,) = [s for s in made.tables["settings"] if s["label"] == label]
    return found


@pytest.fixture(scope="module")
def whole():
    """All 60 points, rated."""
    made_rows, points = study(rated=True)
    return made_rows, points, compare(points, made_rows, SETTINGS)


# -- one point -------------------------------------------------------------------------------------


def test_hand_worked_point():
    """ℓ: (1, −1) right, (−2, −1) wrong, (½, ½) a tie, (−1, −3) right."""
    predictions = [
        prediction(0, (-9, -21), (-10, -20), (10, 30)),
        prediction(1, (-12, -11), (-10, -10), (20, 10)),
        prediction(2, (-9.5, -19.5), (-10, -20), (10, 10)),
        prediction(3, (-31, -13), (-30, -10), (31, 10)),
    ]
    found = strict(evaluate(rows(4), predictions, SETTINGS))
    values = {name: entry["value"] for name, entry in found["metrics"].items()}
    assert values == {
        "accuracy": 0.625,
        "ranking_sum": 0.5,  # rows 0 and 2
        "ranking_mean": 0.75,  # −.9/−.7, −.6/−1.1, −.95/−1.95, −1/−1.3
        "reference_ranking_sum": 0.625,
        "reference_ranking_mean": 0.75,  # −1/−.67, −.5/−1, −1/−2, −.97/−1
        "longer_wins": 0.625,
        "shorter_wins": 0.375,
    }
    assert found["ties"]["accuracy"] == 1
    assert found["kl"]["chosen"]["value"] == pytest.approx((1 - 2 + 0.5 - 1) / 4)
    assert found["kl"]["rejected"]["value"] == pytest.approx((-1 - 1 + 0.5 - 3) / 4)
    token = (0.1 - 0.1 + 0.05 - 1 / 31) / 4
    assert found["kl"]["chosen_per_token"]["value"] == pytest.approx(token)
    assert found["margin"]["mean"]["value"] == pytest.approx((2 - 1 + 0 + 2) / 4)
    assert found["margin"]["quantiles"]["0.5"] == pytest.approx(1.0)
    assert found["margin"]["quantiles"]["0.25"] == pytest.approx(-0.25)
    assert found["length"] == {"chosen": 17.75, "rejected": 15.0}
    assert found["metrics"]["ranking_sum"]["method"] == "wilson"
    assert found["metrics"]["accuracy"]["method"] == "bootstrap"


def test_rates_of_independent_rows_have_wilsons_interval():
    predictions = [prediction(i, (-9 if i < 7 else -11, -10), (-10, -10)) for i in range(10)]
    found = evaluate(rows(10), predictions, SETTINGS)["metrics"]["accuracy"]
    assert (found["low"], found["high"]) == wilson(7, 10)
    assert found["method"] == "wilson"


def test_a_model_that_did_not_move_has_no_certain_accuracy():
    """All ties: ½, and Wilson's interval rather than one of no width."""
    predictions = [prediction(i, (-10, -10), (-10, -10)) for i in range(20)]
    found = evaluate(rows(20), predictions, SETTINGS)
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["value"] == 0.5
    assert (accuracy["low"], accuracy["high"]) == wilson(10, 20)
    assert found["ties"]["accuracy"] == 20


def test_pairs_of_one_prompt_are_resampled_together():
    """Ten copies of each of 8 prompts: the interval is that of 8 rows, not of 80."""
    right = np.random.default_rng(0).random(8) < 0.6
    predictions = [
        prediction(10 * i + j, (-9 if right[i] else -11, -10), (-10, -10), prompt=f"p{i}")
        for i in range(8)
        for j in range(10)
    ]
    found = evaluate(rows(80), predictions, SETTINGS)
    accuracy = found["metrics"]["accuracy"]
    assert (found["prompts"], accuracy["method"]) == (8, "bootstrap")
    narrow = wilson(int(10 * right.sum()), 80)
    assert accuracy["high"] - accuracy["low"] > 2 * (narrow.high - narrow.low)


@pytest.mark.parametrize("prompts", [1, 8])
def test_prompts_that_win_alike_have_the_interval_of_one_row_each(prompts):
    """Ten copies of each prompt, all right: no resample varies, and 8 rows stay 8."""
    predictions = [
        prediction(10 * i + j, (-9, -10), (-10, -10), prompt=f"p{i}")
        for i in range(prompts)
        for j in range(10)
    ]
    found = evaluate(rows(10 * prompts), predictions, SETTINGS)["metrics"]["accuracy"]
    assert (found["low"], found["high"]) == wilson(prompts, prompts)


@pytest.mark.parametrize("broken", [None, (math.nan, -10), (-math.inf, -10)])
def test_a_pair_without_finite_scores_leaves_nulls(broken):
    predictions = [prediction(i, (-9, -10), (-10, -10), (4, 2)) for i in range(5)]
    predictions[2]["scores"] = list(broken) if broken else None
    found = strict(evaluate(rows(5), predictions, SETTINGS))
    assert found["unscored"] == 1
    assert found["metrics"]["accuracy"]["value"] is None
    assert found["kl"]["chosen"]["value"] is None
    assert found["margin"] == {"mean": dict.fromkeys(found["kl"]["chosen"]), "quantiles": None}
    assert found["metrics"]["longer_wins"]["value"] == 1.0


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_any_rows(n):
    found = strict(evaluate(rows(n), [prediction(0, (-9, -10), (-10, -10))] * n, SETTINGS))
    assert found["rows"] == n
    assert (found["metrics"]["accuracy"]["value"] is None) == (n == 0)


def test_accuracy_by_source():
    predictions = [prediction(i, (-9 if i else -11, -10), (-10, -10)) for i in range(4)]
    sourced = [{"id": f"r{i}", "source": "ab"[i % 2]} for i in range(4)]
    found = evaluate(sourced, predictions, SETTINGS)["by_source"]
    assert {s: (t["rows"], t["accuracy"]["value"]) for s, t in found.items()} == {
        "a": (2, 0.5),
        "b": (2, 1.0),
    }
    assert evaluate(rows(4), predictions, SETTINGS)["by_source"] == {}


def test_wins():
    assert wins(np.array([[2, 1], [1, 2], [1, 1.0]])).tolist() == [1, 0, 0.5]


# -- measures --------------------------------------------------------------------------------------


def test_ratings_of_two_judges_are_not_compared():
    _, points = study(n=6, betas=(0.05,), seeds=(42,))
    for i, point in enumerate(points):
        point.others = {"mt_bench": ratings(5, i, judge=f"judge-{i % 2}")}
    made, reason = measures.mt_bench(points, SETTINGS)
    assert made is None
    assert "2 judges" in reason
    assert measures.mt_bench([], SETTINGS) == (None, "no point was judged")


def test_a_judge_that_never_rates_is_told_from_none():
    _, points = study(n=6, betas=(0.05,), seeds=(42,))
    for point in points:
        silent = {"mean": None, "questions": {}, "judge": "tiny", "parse_failures": 16}
        point.others = {"mt_bench": silent}
    _, reason = measures.mt_bench(points, SETTINGS)
    assert reason == f"none of {16 * len(points)} judgements by tiny holds a rating"


@pytest.mark.parametrize(
    "values, step", [([1, 9], 1), ([1.5, 2], 0.5), ([7.3], 0.1), ([7.33], 0.05)]
)
def test_step_of_ratings(values, step):
    assert measures._step({"a": np.array([*values, math.nan])}) == step


# -- cells and variance ----------------------------------------------------------------------------


def test_cells_and_lines():
    _, points = study(n=2)
    found = cells(points)
    assert len(found) == 60
    assert found["td_dpo_beta0.05_tau1_seed43"].setting == Setting(Line("td_dpo", 1.0), 0.05)
    assert found["dpo_beta0.05_seed43"].setting == Setting(Line("dpo", None), 0.05)
    lines = lines_of(settings_of(found))
    labels = ["DPO", "DiscoPOP", "TD-DPO τ 0.5", "TD-DPO τ 1", "TD-DPO τ 2"]
    assert [line.label for line in lines] == labels
    assert all([s.beta for s in members] == [0.01, 0.05, 0.5, 2.5] for members in lines.values())


def over_beta(values):
    """variance.over_beta of "line_β" → values, one seed."""
    members = {}
    for name in values:
        variant, beta = name.split("_")
        tau = float(variant[2:]) if variant.startswith("td") else None
        members[Setting(Line(variant[:2] if tau else variant, tau), float(beta))] = [name]
    known = {name: v for name, v in values.items() if v is not None}
    lines = lines_of(members)
    return variance.over_beta(measure(known), members, lines, {}, "dpo", 0.95)


def test_variance_and_reduction_by_hand():
    """DPO's means 0, ½, 1: variance ¼. τ 1: ½, ½, 1: 1/12. τ 2: ½, ½, ½: 0."""
    none, half, full = [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]
    found = over_beta(
        {"dpo_1": none, "dpo_2": half, "dpo_3": full}
        | {"td1_1": half, "td1_2": half, "td1_3": full}
        | {"td2_1": half, "td2_2": half, "td2_3": half}
    )
    values = [line["variance"]["value"] for line in found["lines"]]
    assert values == pytest.approx([1 / 4, 1 / 12, 0])
    reductions = {r["label"]: r["value"] for r in found["reductions"]}
    assert list(reductions.values()) == pytest.approx([2 / 3, 1, 5 / 6])
    assert list(reductions)[-1] == "td (all τ)"


def test_reduction_uses_the_betas_of_both():
    none, half, full = [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]
    found = over_beta(
        {"dpo_1": none, "dpo_2": half, "dpo_3": full, "td1_1": None, "td1_2": half, "td1_3": full}
    )
    (reduction,) = found["reductions"]
    assert (reduction["betas"], reduction["left_out"]) == ([2, 3], [1])
    assert reduction["value"] == pytest.approx(0)
    assert found["lines"][1]["absent"] == [1]
    alone = over_beta({"dpo_1": none, "td1_1": half})["reductions"][0]
    assert alone["value"] is None
    assert "1 β" in alone["reason"]
    still = over_beta({"dpo_1": half, "dpo_2": half, "td1_1": half, "td1_2": full})
    assert "does not vary" in still["reductions"][0]["reason"]


def drawn(means, seed, n=120):
    """variance.over_beta of n items a point, won with these chances at four β."""
    rng = np.random.default_rng([4, seed])
    return over_beta(
        {
            f"{variant}_{beta}": (rng.random(n) < mean).astype(float)
            for variant, of_variant in means.items()
            for beta, mean in enumerate(of_variant, 1)
        }
    )


@pytest.mark.parametrize("seed", range(8))
def test_what_the_draw_of_items_adds_is_no_variance(seed):
    """A method with one chance at all β: its true variance, 0, is in the interval."""
    found = drawn({"dpo": (0.2, 0.5, 0.8, 0.5), "td1": [0.6] * 4}, seed)
    line, (reduction,) = found["lines"][1]["variance"], found["reductions"]
    assert line["low"] == 0 < line["value"] <= line["high"]
    assert reduction["low"] <= reduction["value"] < reduction["high"]
    assert reduction["high"] == pytest.approx(1)


def test_a_base_that_the_draw_explains_gives_no_interval():
    found = drawn({"dpo": [0.6] * 4, "td1": (0.2, 0.5, 0.8, 0.5)}, 1)["reductions"][0]
    assert found["value"] < 0
    assert (found["low"], found["high"]) == (None, None)
    assert found["reason"].startswith("no interval: DPO varies no more")


def test_the_whole_of_a_method_names_what_its_lines_differ_in():
    half, full = [1, 0, 1, 0], [1, 1, 1, 1]
    values, members = {}, {}
    for line in (Line("dpo", None), Line("x", None, (("r", 1),)), Line("x", None, (("r", 2),))):
        for beta, won in ((1, half), (2, full)):
            members[Setting(line, beta)] = [f"{line.label} {beta}"]
            values[f"{line.label} {beta}"] = won
    found = variance.over_beta(measure(values), members, lines_of(members), {}, "dpo", 0.95)
    assert [r["label"] for r in found["reductions"]] == ["x, r 1", "x, r 2", "x (all lines)"]


# -- comparison ------------------------------------------------------------------------------------


def test_tables_are_json_and_the_same_again(whole):
    made_rows, points, made = whole
    assert strict(made.tables) == strict(compare(points, made_rows, SETTINGS).tables)
    assert len(made.rows) == 60
    assert {tuple(row) for row in made.rows} == {tuple(made.rows[0])}


def test_settings_show_every_seed(whole):
    _, points, made = whole
    found = setting(made, "DPO, β 0.5")
    values = [
        p.metrics["metrics"]["accuracy"]["value"] for p in points if p.name in found["points"]
    ]
    accuracy = found["metrics"]["accuracy"]
    assert (found["seeds"], accuracy["values"]) == (list(SEEDS), values)
    assert accuracy["mean"] == pytest.approx(np.mean(values))
    assert accuracy["sd"] == pytest.approx(np.std(values, ddof=1))
    bounds = found["interval"]["accuracy"]
    assert bounds["low"] < accuracy["mean"] < bounds["high"]


def test_families_and_holm(whole):
    families = whole[2].tables["significance"]["families"]
    sizes = {name: family["size"] for name, family in families.items()}
    assert sizes == {
        "methods": 28,
        "baseline": 19,
        "methods_mt_bench": 28,
        "baseline_mt_bench": 19,
    }
    for family in families.values():
        for test in family["members"]:
            assert test["p_value"] <= test["p_holm"] <= 1
            assert len(test["points_a"]) == len(test["points_b"]) == 3
    assert families["methods_mt_bench"]["members"][0]["independent"] == 16
    assert families["methods_mt_bench"]["members"][0]["items"] == 32


def test_the_baseline_is_all_seeds_of_its_setting(whole):
    made = whole[2]
    found = made.tables["baseline"]
    assert found["points"] == [f"dpo_beta0.05_seed{seed}" for seed in SEEDS]
    assert setting(made, "DPO, β 0.05")["against_baseline"] == {}
    other = setting(made, "DiscoPOP, β 2.5")["against_baseline"]["accuracy"]
    base = setting(made, "DPO, β 0.05")["metrics"]["accuracy"]["mean"]
    mean = setting(made, "DiscoPOP, β 2.5")["metrics"]["accuracy"]["mean"]
    assert other["difference"]["value"] == pytest.approx(mean - base)
    assert other["rate"]["value"] == pytest.approx(mean / base - 1)
    row = next(row for row in made.rows if row["point"] == "discopop_beta2.5_seed42")
    assert row["accuracy_improvement_rate"] == other["rate"]["value"]


@pytest.mark.parametrize(
    "baseline, reason",
    [
        ({"variant": "dpo"}, "fits 4 settings"),
        ({"variant": "dpo", "beta": 7}, "fits 0 settings"),
        ({"variant": "dpo", "beta": 0.01}, "no measured point (3 diverged)"),
    ],
)
def test_without_a_baseline(baseline, reason):
    settings = SETTINGS.model_copy(update={"baseline": baseline})
    gone = {f"dpo_beta0.01_seed{seed}": "diverged" for seed in SEEDS}
    made_rows, points = study(n=10, absent=gone, betas=(0.01, 0.05, 0.5, 2.5))
    made = compare(points, made_rows, settings)
    assert reason in made.tables["baseline"]["reason"]
    assert "baseline" not in made.tables["significance"]["families"]
    assert reason in " ".join(made.tables["findings"])


def test_diverged_points_are_counted_and_in_no_average():
    gone = {"discopop_beta2.5_seed42": "diverged", "td_dpo_beta2.5_tau2_seed43": "diverged"}
    made_rows, points = study(n=40, rated=True, absent=gone)
    for point in points:
        if point.status == "diverged":  # what an earlier run may have left must not be read
            point.metrics = points[0].metrics
            point.predictions = points[0].predictions
    made = compare(points, made_rows, SETTINGS)
    found = setting(made, "DiscoPOP, β 2.5")
    assert (found["diverged"], found["statuses"]) == (1, ["diverged", "done", "done"])
    assert found["metrics"]["accuracy"]["values"][0] is None
    assert found["metrics"]["accuracy"]["mean"] is not None
    assert criterion(made, "β=2.5")[0] == "fail"
    assert "1 diverged" in criterion(made, "β=2.5")[1]
    assert criterion(made, "variance of the accuracy")[0] == "undecided"
    assert "2 diverged" in " ".join(made.tables["findings"])
    row = next(row for row in made.rows if row["point"] == "discopop_beta2.5_seed42")
    assert (row["status"], row["accuracy"], row["seeds_diverged"]) == ("diverged", None, 1)


def test_expectations_of_a_whole_study(whole):
    """Made-up methods: TD-DPO hardly varies with β and is a little below the best DPO."""
    made = whole[2]
    verdict, number = criterion(made, "β=0.01")
    assert "chosen on validation pairs" in number
    assert verdict in ("fail", "undecided")
    verdict, number = criterion(made, "β=0.05")
    assert verdict == "undecided"
    assert "cannot resolve 0.1" in number
    verdict, number = criterion(made, "variance of the accuracy")
    assert verdict == "pass"
    assert "TD-DPO (all τ): reduction +9" in number
    assert made.criteria.startswith("# What the study found")
    assert len([line for line in made.criteria.splitlines() if line.startswith("| ")]) == 2 + 5


@pytest.mark.parametrize("seeds, verdict", [((42,), "fail"), (SEEDS, "fail")])
def test_a_setting_that_diverged_matches_nothing(seeds, verdict):
    gone = {f"td_dpo_beta0.01_tau0.5_seed{seed}": "diverged" for seed in seeds}
    made_rows, points = study(n=40, absent=gone)
    found, number = criterion(compare(points, made_rows, SETTINGS), "β=0.01")
    assert found == verdict
    assert f"{len(seeds)} diverged" in number


def test_the_best_dpo_is_chosen_on_validation_pairs_though_a_seed_diverged():
    gone = {"dpo_beta2.5_seed42": "diverged"}
    made_rows, points = study(n=40, absent=gone)
    assert (
        "chosen on validation pairs" in criterion(compare(points, made_rows, SETTINGS), "β=0.01")[1]
    )
    points[0].train_log = log(validation=False)
    assert (
        "the test pairs themselves" in criterion(compare(points, made_rows, SETTINGS), "β=0.01")[1]
    )


def gain(shift, absent=None):
    """A study in which TD-DPO at β 2.5, τ 2 is rated `shift` ± ½ above DiscoPOP."""
    made_rows, points = study(n=8, betas=(0.05, 2.5), absent=absent)
    for i, point in enumerate(points):
        point.others = {"mt_bench": ratings(5, i % 3, questions=40)}
    for point in points:
        if point.name.startswith("td_dpo_beta2.5_tau2"):
            table = point.others["mt_bench"]["questions"]
            for question, pair in table.items():
                apart = shift + (0.5 if int(question) % 2 else -0.5)
                table[question] = [value + apart for value in pair]
    return criterion(compare(points, made_rows, SETTINGS), "β=2.5")


@pytest.mark.parametrize("shift, verdict", [(2, "pass"), (1, "fail")])
def test_gain_over_discopop(shift, verdict):
    found, number = gain(shift)
    assert found == verdict
    assert f"gain +{shift:.2f}" in number


@pytest.mark.parametrize("shift, verdict", [(2, "pass"), (1, "undecided")])
def test_a_rival_is_not_rated_where_it_diverged(shift, verdict):
    """What is left of DiscoPOP is its better half: enough to pass against, not to fail."""
    found, number = gain(shift, {"discopop_beta2.5_seed42": "diverged"})
    assert found == verdict
    assert "1 diverged, 2 done" in number


def test_the_order_of_the_grid_changes_no_gain():
    made_rows, points = study(n=20, rated=True)
    found = [compare(made, made_rows, SETTINGS) for made in (points, points[::-1])]
    there, back = (criterion(made, "β=2.5") for made in found)
    assert there == back
    assert "gain +" in there[1]


@pytest.mark.parametrize(
    ("questions", "verdict", "bounds"),
    [(16, "undecided", "[−1.74, +1.74]"), (400, "pass", "[−0.09, +0.09]")],
)
def test_parity_of_equal_ratings_takes_many_questions(questions, verdict, bounds):
    """9·z²/(n + z²): 16 questions that agree are no certainty."""
    made_rows, points = study(n=8, betas=(0.05,))
    for i, point in enumerate(points):
        point.others = {"mt_bench": ratings(5, i % 3, questions)}
    found, number = criterion(compare(points, made_rows, SETTINGS), "β=0.05")
    assert found == verdict
    assert number.startswith(f"0.00 {bounds} points on {questions} questions")


def test_without_mt_bench_and_with_one_seed():
    made_rows, points = study(n=60, seeds=(42,))
    made = compare(points, made_rows, SETTINGS)
    strict(made.tables)
    assert criterion(made, "β=2.5")[0] == "not measurable"
    assert "no point was judged" in criterion(made, "β=0.05")[1]
    assert criterion(made, "variance of the MT-Bench")[0] == "not measurable"
    assert set(made.tables["significance"]["families"]) == {"methods", "baseline"}
    assert setting(made, "DPO, β 0.05")["metrics"]["accuracy"]["sd"] is None
    assert "one seed a setting tells nothing" in made.criteria


def test_no_mean_over_seeds_where_one_of_three_has_run():
    absent = {name: "missing" for name, values, _ in grid() if values["seed"] != 42}
    made_rows, points = study(n=60, absent=absent)
    assert "means over seeds" not in compare(points, made_rows, SETTINGS).criteria
    assert "means over seeds" in compare(*reversed(study(n=60)), SETTINGS).criteria


@pytest.mark.parametrize(
    "chosen",
    [
        ["dpo_beta0.05_seed42", "td_dpo_beta0.05_tau1_seed42"],
        ["td_dpo_beta2.5_tau2_seed44"],
        ["discopop_beta0.5_seed42", "discopop_beta2.5_seed42"],
        [],
    ],
)
def test_any_subset(chosen):
    made_rows, points = study(n=20, rated=True)
    made = compare([p for p in points if p.name in chosen], made_rows, SETTINGS)
    strict(made.tables)
    assert [row["point"] for row in made.rows] == chosen
    assert len(made.tables["criteria"]) == 5


@pytest.mark.parametrize("status", ["missing", "diverged", "trained"])
def test_nothing_measured(status):
    made_rows, points = study(n=4, betas=(0.05,), taus=(1.0,), seeds=(42,))
    for point in points:
        point.status, point.predictions, point.metrics = status, None, None
    made = compare(points, made_rows, SETTINGS)
    strict(made.tables)
    assert made.tables["findings"][0] == "No point is measured yet."
    assert made.tables["variance"] == {}


def test_other_values_and_beta_zero():
    made_rows, points = study(n=20, betas=(0.0, 0.3), taus=(0.25,), seeds=(1, 2))
    made = compare(points, made_rows, SETTINGS)
    verdict, number = criterion(made, "β=0.01")
    assert verdict == "not measurable"
    assert "0 settings of td_dpo have β=0.01 & τ=0.5" in number
    assert criterion(made, "variance of the accuracy")[0] != "not measurable"


def test_missing_points_leave_undecided_what_they_could_change():
    made_rows, points = study(n=120, absent={"dpo_beta0.5_seed42": "missing"})
    verdict, number = criterion(compare(points, made_rows, SETTINGS), "variance of the accuracy")
    assert verdict == "undecided"
    assert "may still come" in number


def test_parse_failures_are_shown():
    made_rows, points = study(n=20, betas=(0.05,), seeds=(42,))
    for i, point in enumerate(points):
        point.others = {"mt_bench": ratings(5, i, failures=2)}
    made = compare(points, made_rows, SETTINGS)
    assert made.tables["mt_bench"]["parse_failures"] == 10
    assert made.rows[0]["mt_bench_parse_failures"] == 2
    assert "10 of 160 judgements have no rating. Were every turn" in made.criteria
    assert made.rows[0]["mt_bench_if_failures_were_1"] < made.rows[0]["mt_bench"]
    points[0].others["mt_bench"]["unjudged"] = 3
    assert "3 turns were never judged" in compare(points, made_rows, SETTINGS).criteria


def test_validation_accuracy_is_that_of_the_kept_weights():
    from lib.runs.train_log import validation_accuracy

    _, (point, *_) = study(n=2, betas=(0.05,), taus=(1.0,), seeds=(42,))
    point.train_log = [
        {"step": i, "validation_accuracy": v} for i, v in enumerate((0.6, None, 0.5))
    ]
    assert validation_accuracy(point) == 0.5
    point.config.train.keep = "best"
    assert validation_accuracy(point) == 0.6
    point.train_log = log(validation=False)
    assert validation_accuracy(point) is None


def test_no_torch():
    code = (
        "import sys, lib.tasks.preference.figures, lib.tasks.preference.comparison, "
        "lib.tasks.preference.findings; "
        "assert not {'torch', 'transformers', 'vllm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
