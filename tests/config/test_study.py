"""A study file: what it may hold, and how a fault in it is named."""

from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from tests.conftest import SHIPPED

UNKNOWN = "unknown key, expected one of .*; did you mean"


@pytest.mark.parametrize("mode", ["full", "trial"])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_config_loads_and_resolves(path: Path, mode: str) -> None:
    study = load_study(path, [f"mode={mode}"])
    assert len(list(study.points())) == len(study.grid) > (study.search is None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluat": {}}, rf"evaluat: {UNKNOWN} 'evaluate'\?"),
        ({"train.epoch": 1}, rf"train.epoch: {UNKNOWN} 'epochs'\?"),
        ({"train.lora.ranks": 8}, r"train.lora.ranks: unknown key, expected one of r, alpha"),
        ({"data.ration": "1:2"}, rf"data.ration: {UNKNOWN} 'ratio'\?"),
        ({"slurm.trial": {}}, rf"slurm.trial: {UNKNOWN} 'train'\?"),
        ({"data.columns": {"tilte": "x"}}, r"data.columns: found .*; did you mean 'title'\?"),
        ({"trial/train.gama": 1}, rf"trial: train.gama: {UNKNOWN} 'gamma'\?"),
        ({"variants/spare": {"train.gama": 1}}, rf"variants.spare: train.gama: {UNKNOWN} 'gamma'"),
        ({"axes.gamma": "train.gama"}, r"axes.gamma: found 'train.gama', .*mean 'train.gamma'\?"),
        ({"grid": [{"variant": "accept", "gama": 2}]}, r"block 1: unknown axis 'gama'.*'gamma'\?"),
        ({"train.sweep": 3}, "train.sweep: renamed, expected train.checkpoint_candidates$"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(write_study, changes, message) -> None:
    path = write_study(changes)
    with pytest.raises(BadInput, match=message) as refused:
        load_study(path)
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.epochs": "two"}, "train.epochs: found 'two', expected a valid number"),
        ({"train.seed": True}, "train.seed: found True, expected a valid integer"),
        ({"train": None}, "train: found None, expected key: value pairs"),
        ({"tasks": ["desicion"]}, r"unknown task 'desicion', .*; did you mean 'decision'\?"),
        ({"train.tuning": "loar"}, r"train.tuning: found 'loar', expected .*; did you mean 'lora'"),
        ({"slurm.train.time": 14400}, 'slurm.train.time: found 14400, expected a quoted time'),
        ({"variants": {1: {}}}, "variants: found 1, expected a name"),
        ({"axes.gamma": 5}, "axes.gamma: found 5, expected a key such as train.seed"),
        ({"axes.Seed": "train.seed"}, "axes: 'Seed' cannot name an axis, expected small letters"),
        ({"axes.again": "train.gamma"}, "axes.again: train.gamma is already swept by"),
        ({"grid": []}, r"grid: found \[\], expected a list of blocks"),
        ({"results_dir": 5}, "results_dir: found 5, expected a directory"),
        ({"name": "a/b"}, "name: found 'a/b', expected letters, digits"),
        ({"name": 5}, 'name: found 5, expected letters, digits.*; quote it: name: "5"'),
        ({"name": "x" * 151}, "name: found 151 bytes, expected at most 150"),
        ({"results_dir": "x/" + "y" * 256}, "results_dir: found .* at most 255 bytes, and y+… has"),
        ({"results_dir": "y" * 250 + ("/" + "y" * 250) * 14}, "results_dir: found .*path of at mo"),
        ({"results_dir": "a\nb"}, "results_dir: found 'a.nb', expected a path without the control"),
        ({"model.name": " "}, "model.name: found ' ', expected a path or a name, and it is empty"),
        ({"skip": [5]}, 'skip.0: found 5, expected a valid string; quote it: "5"'),
        ({"model.revision": 58899e0}, 'revision: found 58899.0, .*; quote it: model.revision: "…"'),
        ({"tasks": ["decision", "decision"]}, "tasks: found 'decision' twice, expected each task"),
        ({"mt_bench": {"limit": 2}}, "mt_bench: the section of a task that is not in tasks .deci"),
        ({"mode": "trail"}, r"mode: found 'trail', expected one of full, trial; did you mean 'tr"),
        ({"data.ratio": "1:2:3"}, "data.ratio: found '1:2:3', expected accepts:rejects"),
        ({"data.ratio": "0:3"}, "data.ratio: found '0:3', expected accepts:rejects as two whole"),
        ({"grid": [{"gamma": 0}]}, "grid: train.gamma: found 0, expected greater than 0"),
        ({"data.test_rows": 7}, "data.test_rows: found 7, expected an even number"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused(write_study, changes, message) -> None:
    path = write_study(changes)
    with pytest.raises(BadInput, match=message) as refused:
        load_study(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model", "model: missing"),
        ("data.source", "data.source: missing"),
        ("grid", "grid: found None, expected a list of blocks"),
    ],
)
def test_a_missing_key_is_named(write_study, key: str, message: str) -> None:
    path = write_study(drop=[key])
    with pytest.raises(BadInput, match=f"{path}: {message}"):
        load_study(path)


def test_several_faults_are_counted(write_study) -> None:
    with pytest.raises(BadInput, match=r"\(and 1 more\)"):
        load_study(write_study({"train.epochs": "x", "train.clip": "y"}))


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"did you mean 'configs/demo.yaml'\?"):
        load_study("configs/demmo.yaml")
    with pytest.raises(BadInput, match="cannot be read: .*directory"):
        load_study(tmp_path)
