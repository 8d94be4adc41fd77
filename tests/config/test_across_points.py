"""What holds across the points of a study: names, baseline, axes, sections of data."""

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study, read_study
from lib.config.settings import baseline, selected
from lib.config.yaml import flatten
from tests.config.small_studies import BASELINE, OF_PAIRS


def test_ranks_share_the_rows_of_a_step_evenly(write_study) -> None:
    expected = "batch_size: found 8, expected a multiple of train.processes=3"
    with pytest.raises(BadInput, match=expected):
        load_study(write_study({"train.processes": 3, "train.batch_size": 8}))


def test_a_point_is_checked_even_where_only_its_combination_is_wrong(write_study) -> None:
    axes = {"loss": "train.objective", "beta": "train.beta"}
    grid = [{"loss": ["td_dpo", "dpo"], "beta": [0.1, 0]}]
    changes = {"axes": axes, "grid": grid, "evaluate.baseline": {"loss": "dpo", "beta": 0.1}}
    with pytest.raises(BadInput, match="train.beta: found 0, expected a number above 0"):
        load_study(write_study(OF_PAIRS | changes, drop=["trial"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train.eval_steps": 3, "train.validations": 3},
            "train: expected one of eval_steps and validations, found both",
        ),
        (
            {"train.tuning": "lora", "train.lora": {"layers": [0, 1]}},
            r"lora.layers: found \[0, 1\], expected null, or names of modules .*found all-linear",
        ),
    ],
)
def test_keys_of_training_that_exclude_each_other(write_study, changes, message) -> None:
    with pytest.raises(BadInput, match=message):
        load_study(write_study(changes))


def test_points_are_what_each_resolves_to_by_itself(write_study) -> None:
    """Copies of a validated point, also of a section whose keys are validated together."""
    axes = {"gamma": "train.gamma", "seed": "train.seed", "ratio": "data.ratio",
            "init": "train.adalora.init_r", "target": "train.adalora.target_r"}  # fmt: skip
    grid = [
        {"variant": "accept", "seed": [1, 2, 3], "gamma": [1, 2.5], "ratio": ["1:2", "1:4"]},
        {"variant": "reject", "gamma": [2, 4], "init": 12, "target": 4, "seed": [2, 5]},
    ]
    changes = {"axes": axes, "grid": grid, "evaluate.baseline": {"variant": "reject", "gamma": 2}}
    study = read_study(write_study(changes, drop=["trial"]))
    for point in study.points():
        alone = study.resolve(point.values)
        assert repr(point.config) == repr(alone)
        assert repr(point.flat) == repr(flatten(alone.model_dump()))
    wrong = [{"variant": "accept", "init": [12, 4], "target": [2, 8]}]
    with pytest.raises(BadInput, match="init_r above target_r"):
        read_study(write_study(changes | {"grid": wrong}, drop=["trial"])).points()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"varant": "baseline"}, r"unknown axis 'varant', .*; did you mean 'variant'\?"),
        ({"variant": "basline"}, "matches 0 settings of the grid, expected exactly one"),
        ({"variant": "baseline", "gamma": 2}, "matches 0 settings"),
        ({"gamma": 2}, "matches 2 settings"),
        ({}, "matches 3 settings"),
    ],
)
def test_a_baseline_that_is_not_one_setting(write_study, wanted, message) -> None:
    with pytest.raises(BadInput, match=f"evaluate.baseline: .*{message}"):
        load_study(write_study({"evaluate.baseline": wanted}))


def test_a_seed_of_the_baseline_plays_no_part(write_study) -> None:
    axes = {"gamma": "train.gamma", "seed": "train.seed"}
    grid = [{"variant": ["accept", "reject"], "gamma": 2, "seed": [1, 2]}]
    for seed in (1, 3):
        wanted = {"variant": "accept", "seed": seed}
        study = load_study(write_study({"axes": axes, "grid": grid, "evaluate.baseline": wanted}))
        assert list(selected(study.settings, baseline(study))) == ["accept_gamma2"]


def test_a_key_in_the_grid_is_an_axis(write_study) -> None:
    blocks = [{"variant": "baseline", "gamma": 1}, {"variant": "accept", "train.seed": [1, 2]}]
    study = load_study(write_study({"grid": blocks}))
    assert [point.name for point in study.points()] == [
        "baseline_gamma1_seed42", "accept_gamma1_seed1", "accept_gamma1_seed2",
    ]  # fmt: skip
    assert [point.config.train.seed for point in study.points()] == [42, 1, 2]
    blocks[1] = {"variant": "accept", "train.gamma": 2}  # by its key or by its name
    assert load_study(write_study({"grid": blocks})).axes == {"gamma": "train.gamma"}
    with pytest.raises(BadInput, match="grid: train.gamma and gamma are one axis, found both"):
        load_study(write_study({"grid": [blocks[0], blocks[1] | {"gamma": 4}]}))
    with pytest.raises(BadInput, match="axes.sed: found 'train.sed', expected a key .*seed"):
        load_study(write_study({"grid": [*blocks, {"variant": "reject", "train.sed": 1}]}))
    with pytest.raises(BadInput, match="grid: data.gamma: the axis 'gamma' already is train.gamma"):
        load_study(write_study({"grid": [*blocks, {"variant": "reject", "data.gamma": 1}]}))


def test_a_point_is_found_by_name(write_study) -> None:
    study = load_study(write_study())
    assert study.point_by_name("reject_gamma2").index == 2
    with pytest.raises(BadInput, match=r"no point is named 'rejct_gamma2'.*'reject_gamma2'\?"):
        study.point_by_name("rejct_gamma2")


def test_data_sections_are_all_that_the_points_need(write_study) -> None:
    axes = {"axes.ratio": "data.ratio", "axes.draw": "data.seed", "axes.seed": "train.seed"}
    block = {"variant": ["accept", "reject"], "gamma": 2, "ratio": ["1:1", "1:2"], "draw": [1, 2]}
    grid = [{**BASELINE, "ratio": "1:4"}, {**block, "seed": [1, 2]}]
    study = load_study(write_study({**axes, "grid": grid}))
    sections = [(d.ratio, d.seed) for d in study.data_sections()]
    needed = {(p.config.data.ratio, p.config.data.seed) for p in study.points()}
    assert len(sections) == len(set(sections)) == 5
    assert set(sections) == needed
