"""Which value counts: schema, file, trial, command line, variant, axis; limits of a trial."""

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.yaml import parse_override
from tests.config.small_studies import BASELINE, OF_PAIRS, resolved


def test_each_layer_lies_over_the_one_before(write_study) -> None:
    key = "train.weight_decay"
    axis = {
        "axes.decay": key,
        "evaluate.baseline": {"variant": "baseline"},
        "grid": [BASELINE, {"variant": "accept", "gamma": 2, "decay": [0.5, 0.6]}],
    }
    changes: dict = {}
    assert resolved(write_study(changes), key) == 0.0  # the schema's default
    changes[key] = 0.1
    assert resolved(write_study(changes), key) == 0.1  # the file
    changes["trial/train.weight_decay"] = 0.2
    assert resolved(write_study(changes), key) == 0.1  # `trial` says nothing in full mode
    assert resolved(write_study(changes), key, "mode=trial") == 0.2
    assert resolved(write_study(changes), key, f"{key}=0.4") == 0.4  # the command line
    assert resolved(write_study(changes), key, "mode=trial", f"{key}=0.4") == 0.4
    changes["variants/accept/train.weight_decay"] = 0.3
    assert resolved(write_study(changes), key) == 0.3
    assert resolved(write_study(changes), key, "mode=trial") == 0.3
    assert resolved(write_study(changes | axis), key) == 0.5
    assert resolved(write_study(changes | axis), key, "mode=trial", point=2) == 0.6


def test_a_section_given_in_part_keeps_its_other_keys(write_study) -> None:
    path = write_study(
        {
            "train.tuning": "lora",
            "train.lora": {"r": 4, "alpha": 5},
            "variants.accept": {"train": {"weighted_class": "accept", "lora": {"r": 2}}},
            "trial": {"train": {"batch_size": 4}},
        }
    )
    for words in ([], ["mode=trial"]):
        train = load_study(path, words).point(1).config.train
        assert (train.weighted_class, train.precision) == ("accept", "fp32")
        assert (train.lora.r, train.lora.alpha) == (2, 5)
        assert train.batch_size == (4 if words else 8)
    baseline = load_study(path, ["train.lora={dropout: 0.5}"]).point(0).config.train
    assert (baseline.lora.r, baseline.lora.dropout) == (4, 0.5)


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("train.epochs=2", "train.epochs", 2.0),
        ("train.learning_rate=1e-5", "train.learning_rate", 1e-5),
        ("slurm.train.cpus=4", "slurm.train.cpus", 4),
        ("slurm.train.extra=[q, v]", "slurm.train.extra", ["q", "v"]),
        ("data.ratio=1:8", "data.ratio", "1:8"),
        ("data.columns.title=name", "data.columns.title", "name"),
        ("data.instruction=a = b", "data.instruction", "a = b"),
        ("train.max_steps=null", "train.max_steps", None),
        ("train.max_steps=", "train.max_steps", None),
    ],
)
def test_an_override_is_typed_and_may_be_nested(write_study, word, key, value) -> None:
    assert resolved(write_study(), key, word) == value


def test_later_words_win_and_own_keys_can_be_overridden(write_study, tmp_path) -> None:
    path = write_study()
    study = load_study(
        path, ["name=one", "name=two", f"results_dir={tmp_path}/there", "train.clip=2"]
    )
    assert study.directory == tmp_path / "there" / "two"
    assert study.words == ("name=one", "name=two", f"results_dir={tmp_path}/there", "train.clip=2")
    grid = "grid=[{variant: baseline, gamma: 1}]"
    assert [p.name for p in load_study(path, [grid]).points()] == ["baseline_gamma1"]
    words = ["variants.accept.train.clip=7", "trial.train.seed=8"]
    assert resolved(path, "train.clip", *words) == 7
    assert resolved(path, "train.seed", *words, "mode=trial") == 8


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.epochs", "found 'train.epochs', expected key=value"),
        ("train.epochs=[", "train.epochs: line 2: did not find"),
        ("train.epoch=2", r"train.epoch: unknown key.*; did you mean 'epochs'\?"),
        ("train.lora.r.x=2", r"train.lora.r: found \{'x': 2\}, expected a valid integer"),
        ("train=5", "train: found 5, expected key: value pairs"),
        ("train.gamma=3", "train.gamma is swept by the grid's axis 'gamma'"),
        ("train={gamma: 3}", "train.gamma is swept by the grid's axis 'gamma'"),
        ("train.weighted_class=accept", "train.weighted_class is set by the grid's variant 'base"),
        ("model.revision=2024", "found 2024, .*; quote it: model.revision='\"2024\"'"),
        ("train.lora.r=4", "train.lora.r: found 4, which nothing reads: train.tuning is full"),
        ("tasks=[mt_bench]", "tasks: found 'mt_bench' first, expected one of decision, glue"),
    ],
)
def test_a_bad_override_is_refused(write_study, word, message) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        load_study(write_study(), [word])
    assert str(refused.value).startswith("command line: ")


def test_parse_override() -> None:
    assert parse_override("a.b=c=d") == ("a.b", "c=d")


def test_a_variant_that_the_grid_leaves_out_keeps_no_key_from_being_overridden(write_study) -> None:
    path = write_study({"variants/spare": {"train.clip": 5.0}})
    assert resolved(path, "train.clip", "train.clip=7") == 7.0
    with pytest.raises(BadInput, match="train.clip is set by the grid's variant 'spare'"):
        load_study(path, ["train.clip=7", "grid=[{variant: [baseline, spare], gamma: 1}]"])


def test_a_trial_is_cut_short_whatever_is_asked_for(write_study, tmp_path) -> None:
    path = write_study(
        {
            "train.epochs": 5,
            "train.max_steps": 100,
            "train.batch_size": 96,
            "train.eval_steps": 50,
            "train.processes": 2,
            "train.fsdp": "fsdp.yaml",
            "model.max_length": 8192,
            "tracking": "wandb",
            "data.test_rows": 100,
        },
        drop=["trial"],
    )
    words = ["mode=trial", "train.epochs=9", "train.max_steps=50", "data.test_rows=64"]
    words += ["tracking=mlflow", "train.processes=2"]
    for given in (words[:1], words):
        study = load_study(path, given)
        assert study.directory == tmp_path / "results" / "small-trial"
        for point in study.points():
            train = point.config.train
            assert (train.max_steps, train.epochs, point.config.data.test_rows) == (2, 1, 8)
            assert (train.processes, train.fsdp, point.config.tracking) == (1, None, "none")
            assert (train.batch_size, train.eval_steps) == (4, 1)
            assert point.config.model.max_length == 2048
            assert point.directory.parent == study.directory
    changes = OF_PAIRS | {"train.objective": "dpo", "train.beta": 0.1, "safety.limit": 2,
                          "tasks": ["preference", "mt_bench", "safety"]}  # fmt: skip
    longer = {"model": {"name": "nobody/nothing"}}
    pairs = load_study(write_study(changes | longer, drop=["trial"]), words[:1]).config
    assert (pairs.model.max_length, pairs.data.train_rows, pairs.data.validation_rows) == (
        512, 16, 8)  # fmt: skip
    assert (pairs.mt_bench.limit, pairs.safety.limit, pairs.safety.max_new_tokens) == (8, 2, 16)


def test_a_trial_asks_for_no_more_than_the_study(write_study) -> None:
    changes = {"train.epochs": 0.5, "train.max_steps": 1, "data.test_rows": 4}
    changes["infer.max_new_tokens"] = 512
    point = load_study(write_study(changes), ["mode=trial"]).point(0)
    assert point.config.infer.max_new_tokens == 16
    train = point.config.train
    assert (train.max_steps, train.epochs, point.config.data.test_rows) == (1, 0.5, 4)


def test_a_trial_refuses_wrong_values_as_well(write_study) -> None:
    with pytest.raises(BadInput, match="data.test_rows: found True"):
        load_study(write_study(), ["mode=trial", "data.test_rows=true"])
