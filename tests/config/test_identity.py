"""What a result is known by."""

import pytest
import yaml

from lib.config.load import load_study
from lib.config.schema import ADDED, RENAMED, RUNTIME_KEYS, Config
from lib.config.study import identity
from lib.config.yaml import flatten
from lib.losses import OBJECTIVES
from tests.config.small_studies import BASELINE, identified

OTHER = {
    "train.micro_batch": 2,
    "train.micro_tokens": 999,
    "train.log_steps": 7,
    "train.checkpoint_steps": 7,
    "train.checkpoints_kept": 7,
    "train.gradient_checkpointing": True,
    "train.processes": 2,
    "train.fsdp": "x.yaml",
    "infer.batch_size": 7,
    "infer.gpu_memory": 0.5,
}


def test_identity_leaves_out_what_cannot_change_a_result(write_study) -> None:
    assert set(OTHER) == set(RUNTIME_KEYS)
    before = identified(write_study())
    words = [f"{key}={yaml.safe_dump(v, default_flow_style=True)}" for key, v in OTHER.items()]
    words = [word.replace("\n...", "").strip() for word in words]
    assert identified(write_study(), *words) == before


@pytest.mark.parametrize(
    "word",
    [
        "train.batch_size=16",
        "train.weighting=row",
        "data.instruction=x",
        "model.name=other/model",
        "infer.temperature=0.5",
    ],
)
def test_identity_holds_everything_else(write_study, word: str) -> None:
    before, after = identified(write_study()), identified(write_study(), word)
    key = word.partition("=")[0]
    assert [k for k in before if before[k] != after[k]] == [key]


def test_identity_is_every_key_of_its_sections_but_runtime_keys(write_study) -> None:
    config = load_study(write_study()).point(1).config
    sections = ("model", "data", "train", "infer")
    every = flatten(config.model_dump(include=set(sections)))
    objectives = OBJECTIVES.values()
    ignored = {f"train.{k}" for o in objectives for k in (*o.keys, *o.trainer_keys)}
    ignored = {k for k in ignored if not OBJECTIVES[config.train.objective].reads(k[6:])}
    ignored.add("infer.samples")  # of results from before there were samples, too
    renamed = {new: old for old, new in RENAMED.items()}  # hashes keep the old names
    every = {renamed.get(key, key) for key in every}
    left_out = every - set(identity(config, *sections))
    assert {".".join(key.split(".")[:2]) for key in left_out} == (
        RUNTIME_KEYS | ADDED.keys() | ignored
    )
    assert set(identity(config, *sections)) - every == {"task"}
    changed = write_study({"grid": [BASELINE, {"variant": "accept", "gamma": 4}]})
    assert identified(changed) != identified(write_study())
    assert not {"evaluate", "slurm"} & {key.partition(".")[0] for key in identified(changed)}


def test_the_grid_hash_is_that_of_the_points(write_study) -> None:
    path = write_study()
    before = load_study(path).grid_hash
    assert load_study(path, ["train.clip=2", "name=other"]).grid_hash == before
    for changes in (
        {"grid": [{"variant": ["accept", "reject"], "gamma": 2}, BASELINE]},
        {"axes.seed": "train.seed"},
        {"variants/accept/train.clip": 2},
    ):
        assert load_study(write_study(changes)).grid_hash != before


def test_nothing_of_a_loaded_study_can_be_changed(write_study) -> None:
    config = load_study(write_study()).point(0).config
    with pytest.raises(ValueError, match="frozen"):
        config.train.gamma = 3
    assert isinstance(config, Config)
