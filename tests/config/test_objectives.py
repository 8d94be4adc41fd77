"""Objectives, their keys, and tasks that they fit."""

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from tests.config.small_studies import OF_PAIRS


@pytest.mark.parametrize("objective", ["dpo", "ipo"])
def test_beta_zero_is_refused_where_a_loss_needs_it(write_study, objective):
    path = write_study(OF_PAIRS | {"train.objective": objective}, drop=["trial"])
    expected = rf"train\.beta: found 0, expected a number above 0 for the objective {objective}"
    with pytest.raises(BadInput, match=expected):
        load_study(path)


def test_beta_zero_leaves_td_dpo_its_margin(write_study):
    load_study(write_study(OF_PAIRS | {"train.objective": "td_dpo"}, drop=["trial"]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"train.objective": "dpo"}, "found 'dpo', expected one of weighted_nll"),
     (OF_PAIRS, "found 'weighted_nll', expected one of dpo, discopop, ipo, td_dpo")],
    ids=["pairs", "answers"],
)  # fmt: skip
def test_an_objective_must_fit_the_data_of_its_task(write_study, changes, words):
    with pytest.raises(BadInput, match=rf"train\.objective: {words}"):
        load_study(write_study(changes, drop=["trial"]))


def test_a_tau_that_dpo_does_not_use(write_study):
    changes = {
        "axes": {"beta": "train.beta", "tau": "train.tau"},
        "variants": {"dpo": {"train.objective": "dpo"}, "td_dpo": {"train.objective": "td_dpo"}},
        "grid": [{"variant": ["dpo", "td_dpo"], "beta": [0.1], "tau": [0.5, 1.0]}],
        "evaluate.baseline": {"variant": "dpo"},
    }
    with pytest.raises(BadInput, match=r"variant 'dpo' does not use axis 'tau'"):
        load_study(write_study(changes))


def test_a_beta_that_td_dpo_without_a_regulariser_does_not_use(write_study):
    changes = OF_PAIRS | {
        "train.objective": "td_dpo",
        "train.regulariser": "none",
        "axes": {"beta": "train.beta"},
        "grid": [{"beta": [0.1, 0.5]}],
        "evaluate.baseline": {"beta": 0.1},
    }
    with pytest.raises(BadInput, match=r"does not use axis 'beta' \(train\.regulariser is none\)"):
        load_study(write_study(changes, drop=["trial"]))
    load_study(write_study(changes | {"train.regulariser": "squared_logratio"}, drop=["trial"]))


@pytest.mark.parametrize(
    "change", [{"model.adapter": "somewhere"}, {"train.checkpoint_candidates": 2}]
)
def test_pairs_have_no_adapter_and_no_sweep(write_study, change):
    [(key, value)] = change.items()
    path = write_study(OF_PAIRS | {"train.beta": 0.1, "train.objective": "dpo"} | change, ["trial"])
    with pytest.raises(BadInput, match=rf"{key}: found {value!r}, expected null: .* on pairs"):
        load_study(path)


def test_checkpoint_selection_needs_a_score(write_study):
    message = "candidates: found 3, expected null: the task decision has no score to select"
    with pytest.raises(BadInput, match=message):
        load_study(write_study({"train.checkpoint_candidates": 3}))
