"""Metrics of templated problems by hand, and which settings are compared."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.analysis import items as tables_of_items
from lib.analysis.statistics import percentile_interval, resample_counts, wilson
from lib.config.errors import BadInput
from lib.config.schema import Evaluate
from lib.tasks.symbolic.analysis import ANALYSIS, FAMILY, same_model
from lib.tasks.symbolic.metrics import SHARES
from lib.tasks.symbolic.outcomes import extras
from tests.tasks.measured import runs_of
from tests.tasks.symbolic.simulated import SETTINGS, config, predicted, row, rows

THREE = Evaluate(baseline={}, resamples=200, draws=[1, 2, 3])


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


def values(test, predictions, eval_config=THREE):
    """`set.metric` → value."""
    found = runs_of(ANALYSIS, test, predictions, eval_config)
    return {name: run.value for (name, _), run in found.items()}


def test_metrics_of_a_point_by_hand():
    found = values(*by_hand())
    home = {k.partition(".")[2]: v for k, v in found.items() if k.startswith("in_distribution.")}
    expected = {
        "accuracy": 0.5, "parsed": 1, "parsed_samples": 1, "one_sample": 0.5,
        # One sample: 2 of 3 right of a, 1 of 3 of b. Three: a certain, b a tie of three.
        "majority_1": (2 / 3 + 1 / 3) / 2, "majority_3": (1 + 1 / 3) / 2,
        # Pairs of a: 77, 71, 71 with the best right, wrong, wrong; of b: 12, 17, 27: two right.
        "best_2": (1 / 3 + 2 / 3) / 2, "best_3": 0.5,
        # a: e + e² < e³, so 1 wins over 7 with 20.1 to 10.1; b: 7 has most.
        "weighted_3": 0.5, "pass_3": 1, "pass_2": (1 + 2 / 3) / 2, "majority_2_first": (1 + 0) / 2,
        "first_seen_3": 0.5, "chosen_majority": 0.5, "chosen_best": 0.5,
        "majority_gain": (1 + 1 / 3) / 2 - 0.5, "best_gain": 0.5 - (1 + 1 / 3) / 2,
        "weighted_gain": 0, "unique": 2.5, "solvable": 1, "majority_failures": 0.5,
        "best_failures": 0.5,
        # a's right samples have the lowest rewards, b's right sample the highest.
        "reward_auc": (0 + 1) / 2,
    }  # fmt: skip
    assert {name: home[name] for name in expected} == pytest.approx(expected)
    assert found["new_templates.majority_3"] == found["new_templates.solvable"] == 0
    assert (found["new_templates.parsed"], found["new_templates.parsed_samples"]) == (0, 2 / 3)
    assert "new_templates.reward_auc" not in found  # no question has both
    assert found["all.accuracy"] == pytest.approx(1 / 3)
    for strategy in ("majority", "best", "weighted", "pass"):  # of all samples the first are all
        assert found[f"all.{strategy}_3"] == found[f"all.{strategy}_3_first"]


def test_intervals_keep_the_questions_of_a_template_together():
    """Two sets share their templates, and one template of the first has three questions."""
    shared = [row(f"{i}{k}", template=f"t{i}") for i in range(6) for k in range(3)]
    shared += [row(i, "same_templates", template=f"t{i}") for i in range(6)]
    right = np.array([i % 4 != 0 for i in range(len(shared))], dtype=float)
    predictions = [predicted(one, [], "7" if ok else "1") for one, ok in zip(shared, right,
                   strict=True)]  # fmt: skip
    found = runs_of(ANALYSIS, shared, predictions, SETTINGS)
    home, same, whole = (found[f"{name}.accuracy", ""] for name in
                         ("in_distribution", "same_templates", "all"))  # fmt: skip
    assert (home.units, home.interval[2]) == (6, "bootstrap")
    assert same.interval == (*wilson(5, 6), "wilson")
    counts = resample_counts(len(shared), SETTINGS.resamples, SETTINGS.seed,
                             [one["template"] for one in shared])  # fmt: skip
    low, high = percentile_interval((counts @ right) / counts.sum(axis=1))
    assert whole.interval[:2] == (pytest.approx(low), pytest.approx(high))


def test_without_rewards_or_samples_their_numbers_are_unknown_and_not_zero():
    test, predictions = by_hand()
    del predictions[1]["judgments"]
    found = values(test, predictions)
    assert "all.majority_2" in found
    assert not [name for name in found if "best" in name or "weighted" in name or "reward" in name]
    greedy = [predicted(one, [], "7") for one in test]
    assert values(test, greedy) == {
        f"{name}.{metric}": 1
        for metric in ("parsed", "accuracy")
        for name in ("in_distribution", "new_templates", "all")
    }


def test_numbers_are_compared_as_numbers():
    one = row(1, final="1800")
    prediction = predicted(one, ["1,800", "$1800.00", "18"], "1800.0")
    found = values([one], [prediction])
    assert (found["all.unique"], found["all.accuracy"], found["all.majority_3"]) == (2, 1, 1)


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
        values(test, predictions)


def test_more_draws_than_samples_are_refused():
    with pytest.raises(BadInput, match="evaluate.draws: found 8, expected at most 3: so many samp"):
        values(*by_hand(), SETTINGS)


def test_a_tuned_setting_meets_the_base_model_that_it_was_tuned_from():
    models = {"base_a": ("a", 0), "base_b": ("b", 0), "sft_a": ("a", 1), "sft_b": ("b", 1),
              "alone": ("c", 1)}  # fmt: skip
    study = SimpleNamespace(points=lambda: [
        SimpleNamespace(name=name, values={}, config=config(model, epochs))
        for name, (model, epochs) in models.items()
    ])  # fmt: skip
    points = pd.DataFrame({"point": list(models), "setting": [f"S {name}" for name in models],
                           "baseline": ["yes", None, None, None, None]})  # fmt: skip
    assert same_model(study, points) == [
        (FAMILY, "S sft_a", "S base_a"), (FAMILY, "S sft_b", "S base_b")
    ]  # fmt: skip


def tables(test, predictions, eval_config=SETTINGS):
    """Further tables of a study of one point, `p`."""
    columns = ANALYSIS.outcomes(test, predictions, eval_config)
    items = tables_of_items.items_table([tables_of_items.items_of("symbolic", "p", columns)])
    point = SimpleNamespace(name="p", config=config())
    answers = SimpleNamespace(
        study=SimpleNamespace(points=lambda: [point], config=SimpleNamespace(evaluate=eval_config)),
        results={"symbolic": [SimpleNamespace(name="p", status="done", predictions=predictions)]},
        tests={"symbolic": tables_of_items.test_sets(items, ANALYSIS, eval_config)},
    )
    return extras(answers)


def test_a_template_in_both_sets_counts_as_one():
    """The same outcome for both questions of each template: no difference, and no width."""
    test = rows(8, ("in_distribution", "same_templates"))
    predictions = [predicted(one, [], "7" if i % 8 < 3 else "1") for i, one in enumerate(test)]
    other = [dict(one, template=f"other-{i}") for i, one in enumerate(test)]
    (shared,), (apart,) = (
        tables(these, predictions)["transfer"].to_dict("records") for these in (test, other)
    )
    assert (shared["difference"], shared["difference_low"]) == (0, None)
    assert apart["difference_high"] - apart["difference_low"] > 0.3


def test_rewards_and_unique_answers_by_hand():
    found = tables(*by_hand(), THREE)
    unique = found["unique_answers"]
    assert unique[unique["questions"] > 0][["answers", "questions"]].to_numpy().tolist() == [
        [1, 1], [2, 1], [3, 1]
    ]  # fmt: skip
    rewards = found["rewards"].set_index(["right", "share"])
    assert rewards.loc[("yes", SHARES[10])][["samples", "mean", "reward"]].tolist() == [3, 2, 2]
    assert rewards.loc[("no", SHARES[0])]["reward"] == 1
