"""Metrics of a point by hand, and the comparison of methods on made-up studies."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from lib.analysis.statistics import mcnemar
from lib.tasks.glue.analysis import compare
from lib.tasks.glue.cells import cells, methods_of, settings_of
from lib.tasks.glue.evaluate import evaluate
from lib.tasks.glue.significance import accuracy
from tests.tasks.glue.made import SETTINGS, SKILL, grid, predictions, rows_of, study


def strict(value):
    """Through JSON, which must hold no nan."""
    return json.loads(json.dumps(value, allow_nan=False))


def claim(made, start):
    (row,) = [row for row in made.tables["criteria"] if row["criterion"].startswith(start)]
    return row["verdict"], row["number"]


def judged(**study_keys):
    rows, points = study(**study_keys)
    return compare(points, rows, SETTINGS)


@pytest.fixture(scope="module")
def whole():
    """Four methods, three tasks, three seeds; two values of α."""
    rows, points = study(alphas=(1e-4, 1e-3))
    return rows, points, compare(points, rows, SETTINGS)


# -- one point -------------------------------------------------------------------------------------


def test_hand_worked_point():
    """Three of four right; F1 of label 1: tp 1, one missed: 2·1 / (2 + 1)."""
    rows = rows_of(("rte",), 4)
    told = [
        {"predicted": p, "label": r["label"], "correct": p == r["label"]}
        for p, r in zip([0, 1, 0, 0], rows, strict=True)
    ]
    found = strict(evaluate(rows, told, SETTINGS))
    assert (found["task"], found["set"], found["f1_of"]) == ("rte", "dev", "not_entailment")
    assert found["metrics"]["accuracy"]["value"] == 0.75
    assert found["metrics"]["f1"]["value"] == pytest.approx(2 / 3)
    assert found["sets"]["dev"]["confusion"] == [[2, 0], [1, 1]]


def test_mnli_has_two_sets_and_the_matched_one_counts():
    rows = rows_of(("mnli",), 9)
    told = predictions(rows, 0.6, 0)
    found = evaluate(rows, told, SETTINGS)
    assert list(found["sets"]) == ["matched", "mismatched"]
    assert found["metrics"] == found["sets"]["matched"]["metrics"]
    right = [p["correct"] for p in told]
    shares = [np.mean(right[:9]), np.mean(right[9:])]
    values = [found["sets"][p]["metrics"]["accuracy"]["value"] for p in found["sets"]]
    assert values == pytest.approx(shares)
    assert found["f1_of"] == "macro"


def test_pairs_of_one_first_sentence_are_resampled_together():
    rows = rows_of(("rte",), 60, shared=3)
    found = evaluate(rows, predictions(rows, 0.7, 0), SETTINGS)["sets"]["dev"]
    assert (found["rows"], found["clusters"]) == (60, 20)
    assert found["metrics"]["accuracy"]["method"] == "bootstrap"


# -- methods ---------------------------------------------------------------------------------------


def test_cells_leave_out_axes_with_one_value():
    _, points = study(n=3, alphas=(1e-4,), tasks=("rte",))
    methods = methods_of(settings_of(cells(points)))
    assert [m.label for m in methods] == ["full", "LoRA", "AdaLoRA", "IW-LoRA"]
    _, points = study(n=3, alphas=(1e-5, 1e-4), tasks=("rte",))
    labels = [m.label for m in methods_of(settings_of(cells(points)))]
    assert labels[3:] == ["IW-LoRA α 1e-05", "IW-LoRA α 0.0001"]
    assert {cell.kind for cell in cells(points).values()} == set(SKILL)


def test_tables_are_json_and_the_same_again(whole):
    rows, points, made = whole
    assert strict(made.tables) == strict(compare(points, rows, SETTINGS).tables)
    assert len(made.rows) == len(points)
    assert len({tuple(row) for row in made.rows}) == 1


def test_settings_show_every_seed_and_methods_the_mean_over_tasks(whole):
    _, points, made = whole
    by_name = {p.name: p for p in points}
    lora = [s for s in made.tables["settings"] if s["method"] == "LoRA"]
    values = {s["task"]: s["sets"][s_main(s)]["accuracy"]["values"] for s in lora}
    for i, seed in enumerate((42, 43, 44)):
        point = by_name[f"lora_rte_seed{seed}"]
        assert values["rte"][i] == point.metrics["metrics"]["accuracy"]["value"]
    method = next(m for m in made.tables["methods"] if m["label"] == "LoRA")["accuracy"]
    means = np.mean([values[task] for task in ("mnli", "sst2", "rte")], axis=0)
    assert method["values"] == pytest.approx(means)
    assert method["mean"] == pytest.approx(means.mean())
    assert method["sd"] == pytest.approx(means.std(ddof=1))
    assert method["low"] < method["mean"] < method["high"]


def s_main(setting):
    return "matched" if setting["task"] == "mnli" else "dev"


def test_the_penalty_is_chosen_on_validation_rows_whatever_the_dev_rows_say():
    """Validation accuracy falls with α here; the larger α is better on the dev rows."""
    rows, points = study(alphas=(1e-4, 1e-3))
    for point in points:
        if point.values.get("alpha") == 1e-3:
            own = [row for row in rows if row["task"] == point.values["task"]]
            point.predictions = predictions(own, 0.99, 0)
            point.metrics = evaluate(own, point.predictions, SETTINGS)
    told = compare(points, rows, SETTINGS).tables["chosen"]["iw_lora"]
    assert told == {"label": "IW-LoRA α 0.0001", "among": 2, "reason": None}


def test_without_validation_nothing_is_chosen_and_nothing_claimed():
    rows, points = study(alphas=(1e-4, 1e-3))
    for point in points:
        for row in point.train_log:
            row.pop("validation_accuracy", None)
    made = compare(points, rows, SETTINGS)
    assert made.tables["chosen"]["iw_lora"]["label"] is None
    verdict, number = claim(made, "mean accuracy over tasks within")
    assert verdict == "not measurable"
    assert "none of 2 settings of IW-LoRA has validation accuracies" in number


def test_means_over_tasks_need_every_task():
    made = judged(absent={"lora_rte_seed43": "missing"})
    method = next(m for m in made.tables["methods"] if m["label"] == "LoRA")
    assert method["accuracy"]["values"][1] is None
    assert None not in (method["accuracy"]["values"][0], method["accuracy"]["values"][2])


def test_value_and_interval_of_a_mean_are_of_the_same_seeds():
    """A seed that one task lacks is in neither, however far it lies from the others."""
    rows, points = study(absent={"lora_rte_seed43": "missing"}, variants=("lora", "iw_lora"))
    for point in points:
        if point.name == "lora_sst2_seed43":
            own = [row for row in rows if row["task"] == "sst2"]
            point.predictions = predictions(own, 0.01, 0)
            point.metrics = evaluate(own, point.predictions, SETTINGS)
    tables = compare(points, rows, SETTINGS).tables
    method = next(m for m in tables["methods"] if m["label"] == "LoRA")["accuracy"]
    assert method["low"] < method["mean"] < method["high"]
    gap = tables["against"]["lora"]
    assert len(gap["seeds"]["values"]) == 2
    assert gap["value"] == pytest.approx(gap["seeds"]["mean"])
    assert gap["value"] == pytest.approx(sum(gap["tasks"].values()) / 3)


# -- tests -----------------------------------------------------------------------------------------


def test_families_and_holm(whole):
    *_, made = whole
    families = made.tables["significance"]["families"]
    assert (families["variants"]["size"], families["variants"]["seed_size"]) == (18, 54)
    assert families["baseline"]["size"] == 12  # four other methods, three tasks
    assert {m["b"] for m in families["baseline"]["members"]} == {"LoRA"}
    for family in families.values():
        for test in family["members"]:
            assert test["p_holm"] >= test["p_value"]
            assert test["set"] in ("matched", "dev")


def test_a_seed_on_independent_rows_is_mcnemars_test(whole):
    rows, points, made = whole
    sets = accuracy(points, rows, SETTINGS)
    member = made.tables["significance"]["families"]["variants"]["members"][0]
    test = member["by_seed"][0]
    measure = sets[member["task"], member["set"]]
    ours, theirs = (measure.values[member[f"points_{side}"][0]] for side in "ab")
    expected = mcnemar(ours, theirs)
    assert (test["only_a"], test["only_b"]) == (expected.b, expected.c)
    assert test["p_value"] == pytest.approx(expected.p_value)


def test_equal_predictions_differ_nowhere():
    rows, points = study(tasks=("rte",), seeds=(42,), variants=("lora", "iw_lora"))
    points[1].predictions = points[0].predictions
    points[1].metrics = evaluate(rows, points[0].predictions, SETTINGS)
    made = compare(points, rows, SETTINGS)
    (test,) = made.tables["significance"]["families"]["variants"]["members"]
    assert (test["difference"]["value"], test["p_value"]) == (0, 1)
    assert claim(made, "mean accuracy over tasks above")[0] == "undecided"


# -- claims ----------------------------------------------------------------------------------------


def test_claims_of_a_whole_study():
    """IW-LoRA far above LoRA and equal to AdaLoRA in the making: the second cannot be shown."""
    skill = {**SKILL, "lora": 0.5, "iw_lora": 0.9, "adalora": 0.9}
    made = judged(n=300, skill=skill)
    assert claim(made, "mean accuracy over tasks above")[0] == "pass"
    verdict, number = claim(made, "mean accuracy over tasks within")
    assert verdict == "undecided"
    assert "from AdaLoRA over dev rows" in number
    assert "over 3 seeds" in number
    verdict, number = claim(made, "trains 10 to 15 % faster")
    assert verdict == "pass"
    assert "MNLI 19." in number
    assert claim(made, "calibration takes")[0] == "pass"


def test_claims_that_fail():
    skill = {**SKILL, "lora": 0.9, "iw_lora": 0.5, "adalora": 0.9}
    rows, points = study(n=300, skill=skill)
    for point in points:
        used = point.records["usage"]
        if used["calibration_seconds"]:
            used["calibration_seconds"] = 60.0
    made = compare(points, rows, SETTINGS)
    verdicts = [row["verdict"] for row in made.tables["criteria"]]
    assert verdicts == ["fail"] * 4


def test_one_seed_decides_nothing():
    made = judged(n=300, seeds=(42,), skill={**SKILL, "lora": 0.5, "iw_lora": 0.9})
    assert [row["verdict"] for row in made.tables["criteria"]] == ["undecided"] * 4
    assert (
        "one seed tells nothing of other runs" in claim(made, "mean accuracy over tasks above")[1]
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [("missing", "points may still come"), ("diverged", "without diverged seeds of IW-LoRA, RTE")],
)
def test_points_that_are_not_there_settle_nothing(status, expected):
    skill = {**SKILL, "lora": 0.5, "iw_lora": 0.9}
    absent = {"iw_lora_rte_alpha0.0001_seed44": status}
    made = judged(n=300, skill=skill, absent=absent)
    verdict, number = claim(made, "mean accuracy over tasks above")
    assert verdict == "undecided"
    assert number.endswith(expected)


@pytest.mark.parametrize("status", ["missing", "diverged", "trained"])
def test_nothing_measured(status):
    made = judged(n=4, absent={name: status for name, *_ in grid()})
    strict(made.tables)
    assert "No point is measured yet." in made.criteria
    assert {row["verdict"] for row in made.tables["criteria"]} == {"not measurable"}
    assert made.tables["baseline"]["reason"] == "no point of the baseline LoRA is measured"


@pytest.mark.parametrize("variants", [("lora",), ("full", "iw_lora"), ("adalora", "lora")])
@pytest.mark.parametrize("tasks", [("rte",), ("sst2", "mnli")])
def test_any_subset(variants, tasks):
    made = judged(n=8, variants=variants, tasks=tasks)
    strict(made.tables)
    assert made.criteria.startswith("# What the study found")
    assert len(made.files["settings.csv"]) == len(variants) * (1 + len(tasks) + ("mnli" in tasks))


def test_findings_name_the_uniform_penalty():
    rows, points = study(n=8)
    for point in points:
        if importance := point.records["importance"]:
            importance["uniform"] = point.values["seed"] == 42
    found = compare(points, rows, SETTINGS).tables["findings"]
    assert any("in 3 of them (normalised by sum) it is uniform" in text for text in found)


def test_intervals_of_tasks_are_drawn_apart():
    """The interval of a mean over tasks is as wide as that of independent draws."""
    rows, points = study(n=400, seeds=(42,), variants=("lora",))
    made = compare(points, rows, SETTINGS)
    method = made.tables["methods"][0]["accuracy"]
    each = [s["sets"][s_main(s)]["accuracy"] for s in made.tables["settings"]]
    widths = [one["high"] - one["low"] for one in each]
    expected = math.sqrt(sum(width**2 for width in widths)) / 3
    assert method["high"] - method["low"] == pytest.approx(expected, rel=0.2)


def test_baseline_is_the_method_of_the_point_that_is_named():
    rows, points = study(n=8, tasks=("rte",))
    wrong = SETTINGS.model_copy(update={"baseline": {"task": "rte"}})
    tables = compare(points, rows, wrong).tables
    assert tables["baseline"]["reason"].startswith("evaluate.baseline fits 4 methods")
    assert "baseline" not in tables["significance"]["families"]


def test_no_torch():
    code = (
        "import sys; from lib.tasks.glue import evaluate, comparison, criteria, figures; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'vllm')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
