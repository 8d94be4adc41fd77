"""Outcomes, metrics and claims of classifiers, and what is special to them, on made-up studies."""

import math

import numpy as np
import pytest

from lib.config.schema import Evaluate
from lib.tasks.glue.analysis import TABLES, outcomes
from lib.tasks.glue.costs import pairs, point_extras
from lib.tasks.glue.metrics import f1
from tests.tasks.glue.made import SKILL, predictions, rows_of, study

EVALUATE = Evaluate(baseline={}, resamples=100)


def columns(label, predicted, k):
    return {"label": np.array(label), "predicted": np.array(predicted),
            "labels": np.full(len(label), k)}  # fmt: skip


def by_hand(label, predicted, kind):
    """2·tp / (given + predicted), as sklearn's f1_score has it for one label."""
    hits = sum(a == b == kind for a, b in zip(label, predicted, strict=True))
    return 2 * hits / (sum(a == kind for a in label) + sum(b == kind for b in predicted))


def test_f1_of_two_labels_is_that_of_label_1_and_of_three_the_mean_of_those_that_occur():
    """tp 2, fp 1, fn 1: 4 / (3 + 3)."""
    assert f1(columns([1, 1, 1, 0, 0], [1, 1, 0, 1, 0], 2)) == pytest.approx(4 / 6)
    label, predicted = [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0]
    expected = np.mean([by_hand(label, predicted, kind) for kind in range(3)])
    assert f1(columns(label, predicted, 3)) == pytest.approx(expected)
    assert f1(columns([0, 0], [0, 1], 3)) == pytest.approx((2 / 3 + 0) / 2)
    zeros = columns([0] * 4, [0] * 4, 2)
    assert f1(zeros) is None
    assert np.isnan(f1(zeros, np.ones((2, 4)))).all()


def test_weights_mean_repeated_rows():
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    counts = rng.integers(0, 3, (5, 40))
    repeated = [f1(columns(np.repeat(label, row), np.repeat(predicted, row), 3)) for row in counts]
    assert f1(columns(label, predicted, 3), counts.astype(float)) == pytest.approx(repeated)


def test_outcomes_and_extras_of_one_point():
    rows = rows_of("mnli", n=3, shared=2)
    made = predictions(rows, 1.0, 0)
    made[0] |= {"predicted": 2, "correct": False}
    found = outcomes(rows, made, EVALUATE)
    assert found["set"] == ["mnli/matched"] * 3 + ["mnli/mismatched"] * 3
    assert found["cluster"] == ["a0", "a0", "a1"] * 2
    assert (found["correct"], found["labels"]) == ([0, 1, 1, 1, 1, 1], [3] * 6)
    extras = point_extras(rows, made, EVALUATE)
    matched = extras["sets"]["mnli/matched"]
    assert matched["confusion"] == [[0, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert (matched["majority"], matched["clusters"]) == (pytest.approx(1 / 3), 2)
    assert extras["f1_of"] == "macro"


def value(answers, name, part, metric="accuracy"):
    table = answers.tables.estimates
    kept = table[(table["name"] == name) & (table["set"] == part) & (table["metric"] == metric)]
    (row,) = kept.to_dict("records")
    return row


def test_the_mean_over_tasks_is_of_the_sets_that_count_each_as_one():
    answers = study(n=40)
    parts = [value(answers, "lora_alpha0", s) for s in ("mnli/matched", "sst2/dev", "rte/dev")]
    mean = value(answers, "lora_alpha0", "mean")
    assert mean["value"] == pytest.approx(np.mean([one["value"] for one in parts]))
    assert (mean["seeds"], mean["n"]) == (3, 120)
    point = value(answers, answers.tables.points.query("setting == 'lora_alpha0'")["point"].iloc[6],
                  "rte/dev")  # fmt: skip
    assert point["method"] == "wilson"


def test_a_method_without_one_of_its_tasks_has_no_mean_of_that_seed():
    answers = study(n=20, absent={"lora_taskrte_alpha0_seed43": "missing"})
    assert value(answers, "lora_alpha0", "mean")["seeds"] == 2
    assert value(answers, "lora_alpha0", "rte/dev")["seeds"] == 2


def test_intervals_of_tasks_are_drawn_apart():
    """The interval of a mean over tasks is as wide as that of independent draws."""
    answers = study(n=400, seeds=(42,), variants=("lora", "iw_lora"),
                    overrides=["claims=[]"])  # fmt: skip
    label = "lora_alpha0"
    each = [value(answers, label, s) for s in ("mnli/matched", "sst2/dev", "rte/dev")]
    mean = value(answers, label, "mean")
    expected = math.sqrt(sum((one["high"] - one["low"]) ** 2 for one in each)) / 3
    assert mean["high"] - mean["low"] == pytest.approx(expected, rel=0.2)


def test_pairs_of_variants_by_the_setting_that_validation_chooses():
    answers = study(n=8)
    points = answers.tables.points.copy()
    found = {(pair.a, pair.b) for pair in pairs(answers.study, points)}
    assert len(found) == 6
    assert ("adalora", "lora_alpha0") in found
    several = study(n=8, alphas=("1e-4", "1e-3"))
    points = several.tables.points.copy()
    high = points["setting"].str.contains("alpha0.001")
    points.loc[high, "validation_accuracy"] = 0.99
    better = [pair.a for pair in pairs(several.study, points) if "iw_lora" in pair.a]
    assert better == ["iw_lora_alpha0.001_beta1_normalisesum"] * 3


def claims(**more):
    table = study(**more).tables.claims
    return list(table["verdict"]), list(table["number"])


def test_claims_of_a_whole_study():
    """IW-LoRA far above LoRA and equal to AdaLoRA in the making: the second cannot be shown."""
    skill = {**SKILL, "lora": 0.5, "iw_lora": 0.9, "adalora": 0.9}
    verdicts, numbers = claims(n=300, skill=skill)
    assert verdicts == ["undecided", "pass", "pass", "pass"]
    # (104·f + 1)/(130·f) with f = 1.00, 1.01, 1.02: the ratio of seconds, calibration included
    ratio = math.exp(np.mean([math.log((104 * f + 1) / (130 * f)) for f in (1.0, 1.01, 1.02)]))
    assert numbers[2].startswith(f"{ratio:.3g} [")
    share = np.mean([1 / (104 * f + 1) for f in (1.0, 1.01, 1.02)])
    assert numbers[3].startswith(f"{share:.3g} [")


def test_claims_that_fail_and_claims_of_one_seed():
    skill = {**SKILL, "lora": 0.9, "iw_lora": 0.5, "adalora": 0.9}
    assert claims(n=300, skill=skill)[0][:2] == ["fail", "fail"]
    verdicts, _ = claims(n=60, seeds=(42,))
    assert verdicts[2:] == ["undecided", "undecided"]  # times of one seed have no interval


def test_what_adapters_did_stands_beside_the_importance_of_the_same_task():
    tables = study(n=8).tables.extras
    assert {name: list(table) for name, table in tables.items()} == {
        name: list(TABLES[name]) for name in TABLES}  # fmt: skip
    adapters = tables["adapters"].set_index("point")
    ours = adapters.loc[[name for name in adapters.index if name.startswith("iw_lora")]]
    lora = adapters.loc[[name for name in adapters.index if name.startswith("lora")]]
    assert ours["norm_follows_w"].min() > 0.9 > lora["norm_follows_w"].min()
    assert ours["factor_max"].to_numpy() == pytest.approx(20 / 21)
    assert list(ours["uniform"].fillna("")) == ["yes", "", ""] * 3
    assert lora["factor_min"].isna().all()
    w = tables["matrices"].query("point.str.startswith('lora_') and set == 'rte/dev'")["w"]
    assert list(w) == pytest.approx([(1 + i) / 21 for i in range(6)] * 3)
    shares = tables["confusion"].groupby(["point", "set", "actual"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(1.0)


@pytest.mark.parametrize("variants", [("lora", "iw_lora"), ("iw_lora", "lora", "full")])
@pytest.mark.parametrize("tasks", [("rte",), ("sst2", "mnli")])
def test_any_subset(variants, tasks):
    answers = study(n=8, variants=variants, tasks=tasks, overrides=["claims=[]"])
    assert set(answers.tables.estimates["set"]) >= {"mean"}
