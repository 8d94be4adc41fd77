"""Points of a grid that are one run, or have one name, and those that are two."""

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from tests.config.small_studies import ASKED, BASELINE, CLASSES, PAIR


def test_an_axis_that_the_variant_does_not_use(write_study) -> None:
    path = write_study({"grid": [BASELINE, {"variant": ["accept", "baseline"], "gamma": 2}]})
    message = r"variant 'baseline' does not use axis 'gamma' \(train.weighted_class is null\)"
    with pytest.raises(BadInput, match=f"{message}, so gamma 2 would repeat a point"):
        load_study(path)


def test_a_point_that_trains_nothing_names_no_training_but_what_is_listed(write_study) -> None:
    untrained = {"variants/accept/train.epochs": 0}
    grid = [BASELINE, {"variant": "accept"}]
    path = write_study({**untrained, "grid": grid})
    assert load_study(path).point(1).name == "accept"
    path = write_study({**untrained, "grid": [BASELINE, {"variant": "accept", "gamma": 2}]})
    assert load_study(path).point(1).name == "accept_gamma2"


def test_a_gamma_of_one_may_be_listed_for_the_baseline(write_study) -> None:
    assert load_study(write_study()).point(0).name == "baseline_gamma1"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"grid": [BASELINE, {"variant": "accept", "gamma": [2, 4]},
                   {"gamma": [4, 8], "variant": ["reject", "accept"]}]}, "accept_gamma4"),
        ({"grid": [BASELINE, {"variant": "accept", "gamma": [2, 2.0]}]}, "axis gamma"),
        ({"grid": [BASELINE, {"variant": ["accept", "accept"], "gamma": 2}]}, "axis variant"),
        ({"grid": [BASELINE, {"variant": "accept", "gamma": 2}, {"variant": "accept"}],
          "train.gamma": 2.0}, "accept_gamma2"),
        ({"grid": [BASELINE, {"variant": "baseline"}]}, "baseline"),
        ({"grid": [{"variant": "baseline"}, {"variant": "baseline", "seed": 42}],
          "axes.seed": "train.seed"}, "baseline_seed42"),
    ],
)  # fmt: skip
def test_a_duplicate_point_is_named(write_study, changes, name) -> None:
    with pytest.raises(BadInput, match=f"duplicate point:? {name}"):
        load_study(write_study(changes))


@pytest.mark.parametrize(
    ("changes", "one", "other"),
    [
        ({}, {"train.weighted_class": "accept"}, {"train.weighted_class": "reject"}),
        ({}, {"train.weighted_class": "accept"}, {"train.weighted_class": None}),
        ({}, {"train.weighted_class": "accept"},
         {"train.weighted_class": "reject", "train.weighting": "row"}),
        ({}, {"train.weighted_class": "accept", "train.gamma": 2, "train.epochs": 0},
         {"train.weighted_class": "reject", "train.gamma": 4, "train.epochs": 0, "train.seed": 1}),
        ({}, {"train.tuning": "full"}, {"train.tuning": "full", "train.lora.r": 4}),
        ({}, {"train.log_steps": 2}, {"train.log_steps": 3}),
        ({}, {"train.keep": "last"}, {"train.keep": "best"}),
        ({}, {"train.diverge_steps": 3}, {"train.diverge_steps": 4}),
        ({}, {"train.schedule": "constant"}, {"train.schedule": "constant", "train.warmup": 0.3}),
        ({"train.tuning": "lora"}, {"train.lora.target_modules": ["q_proj", "v_proj"]},
         {"train.lora.target_modules": ["v_proj", "q_proj"]}),
        ({"model.adapter": "a"}, {"train.seed": 1}, {"train.seed": 2}),
        (PAIR, {"train.beta": 0}, {"train.regulariser": "none"}),
        (PAIR, {"train.objective": "dpo"}, {"train.objective": "dpo", "train.tau": 3}),
        (CLASSES, {"train.importance.batches": 3}, {"train.importance.normalise": "max"}),
        (CLASSES | {"train.importance": {"alpha": 1, "beta": 0}},
         {"train.importance.normalise": "sum"}, {"train.importance.normalise": "max"}),
        (CLASSES | {"train.importance.alpha": 1}, {"train.importance.batch_size": 8}, {}),
        (ASKED, {"infer.samples": 0}, {}),
        ({}, {"model.name": "~/m"}, {"model.name": "$HOME/m"}),
    ],
)  # fmt: skip
def test_equal_runs_are_duplicates_whatever_their_variants_say(
    write_study, changes, one, other
) -> None:
    grid = [{"variant": ["base", "one", "other"]}]
    base = {"train.epochs": 2} if "model.adapter" not in changes else {"model.adapter": None}
    variants = {"base": base, "one": one, "other": other}
    changed = {**changes, "axes": {}, "variants": variants, "grid": grid,
               "evaluate.baseline": {"variant": "base"}}  # fmt: skip
    path = write_study(changed, drop=["trial"])
    with pytest.raises(BadInput, match=r"points 1 \(one\) and 2 \(other\) are one run") as refused:
        load_study(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadInput, match="are one run"):
        load_study(path, ["mode=trial"])


@pytest.mark.parametrize(
    ("changes", "one", "other"),
    [
        ({}, {"train.weighted_class": "accept", "train.gamma": 2}, {"train.gamma": 1}),
        ({}, {"train.epochs": 0, "train.precision": "bf16"}, {"train.epochs": 0}),
        ({}, {"infer.temperature": 0.5}, {}),
        ({}, {"train.seed": 1}, {"train.seed": 2}),
        ({"train.eval_steps": 1}, {"train.keep": "last"}, {"train.keep": "best"}),
        ({"train.tuning": "lora"}, {"train.lora.r": 4}, {"train.lora.alpha": 4}),
        ({}, {"model.adapter": "a"}, {"model.adapter": "b"}),
        (PAIR, {"train.beta": 0}, {"train.beta": 0.1}),
        (PAIR, {"train.objective": "dpo"}, {"train.objective": "discopop"}),
        (CLASSES, {"train.importance.alpha": 1}, {"train.importance.alpha": 0}),
        (ASKED | {"infer.temperature": 1}, {"infer.samples": 1, "evaluate.draws": [1]}, {}),
    ],
)  # fmt: skip
def test_runs_that_differ_in_what_they_read_are_two(write_study, changes, one, other) -> None:
    if "evaluate.draws" in one:
        changes, one = changes | {"evaluate.draws": [1]}, {"infer.samples": 1}
    path = write_study(
        {**changes, "axes": {}, "variants": {"base": {"train.seed": 9}, "one": one, "other": other},
         "grid": [{"variant": ["base", "one", "other"]}], "evaluate.baseline": {"variant": "base"}},
        drop=["trial"],
    )  # fmt: skip
    assert len(load_study(path).points()) == 3


def test_limits_of_a_trial_and_an_override_without_training_make_no_duplicates(write_study) -> None:
    axes = {"axes.epochs": "train.epochs", "axes.tokens": "infer.max_new_tokens"}
    block = {"variant": "accept", "gamma": 2, "epochs": [2, 3], "tokens": [32, 64]}
    path = write_study({**axes, "grid": [BASELINE, block]})
    study = load_study(path, ["mode=trial"])
    assert len({point.name for point in study.points()}) == 5
    path = write_study({"grid": [BASELINE, {"variant": "accept", "gamma": [2, 4]}]})
    assert len(load_study(path, ["train.epochs=0"]).points()) == 3
    variants = {"variants.accept": {"train.weighted_class": "accept", "model.name": "a"}}
    path = write_study({**variants, "variants.reject": {"train.weighted_class": "accept"},
                        "trial/model.name": "tiny"})  # fmt: skip
    for words in (["mode=trial"], ["mode=trial", "model.name=b"]):
        assert len(load_study(path, words).points()) == 3


def test_points_that_a_trial_makes_alike_have_names_of_their_own(write_study) -> None:
    axes = {"axes.tokens": "infer.max_new_tokens"}
    grid = [BASELINE, {"variant": "accept", "gamma": 2}, {"variant": "accept", "gamma": 2,
                                                          "tokens": 16}]  # fmt: skip
    path = write_study({**axes, "grid": grid, "infer.max_new_tokens": 64})
    _, *named = (point.name for point in load_study(path).points())
    assert named == ["accept_gamma2_tokens64", "accept_gamma2_tokens16"]
    _, first, second = (point.name for point in load_study(path, ["mode=trial"]).points())
    assert first == "accept_gamma2_tokens16" != second


def test_points_that_differ_in_a_default_only_are_two(write_study) -> None:
    grid = [BASELINE, {"variant": "accept", "gamma": 2}, {"variant": "accept"}]
    study = load_study(write_study({"grid": grid, "train.gamma": 3.0}))
    assert [p.name for p in study.points()] == ["baseline_gamma1", "accept_gamma2", "accept_gamma3"]


def test_a_variant_that_does_not_exist(write_study) -> None:
    path = write_study({"grid": [BASELINE, {"variant": "acept", "gamma": 2}]})
    with pytest.raises(BadInput, match=r"variant 'acept' does not exist.*; did you mean 'accept'"):
        load_study(path)
