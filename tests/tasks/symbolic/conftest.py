"""A small study of templated problems, its data there, two points whose models differ."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.config.study import Study
from lib.data.preparation import prepare
from tests.inference.test_generation import changed
from tests.reward_models import reward_model

SMALL = {
    "tasks": ["symbolic"],
    "model.max_length": 400,
    "data": {"source": "synthetic", "instances": 8, "set_rows": 3, "train_rows": 8,
             "held_out_templates": 24, "instruction": ""},
    "infer.samples": 3,
    "infer.temperature": 1.0,
    "infer.max_new_tokens": 6,
    "axes": {"seed": "train.seed"},
    "variants": {},
    "grid": [{"seed": [1, 2]}],
    "evaluate.baseline": {"seed": 1},
    "evaluate.draws": [1, 3],
}  # fmt: skip


@pytest.fixture(scope="session")
def reward_directory(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a tiny reward model."""
    return reward_model(tiny_model, tmp_path_factory.mktemp("reward") / "model")


@pytest.fixture
def small_path(write_study: Callable[..., str], tiny_model: Path) -> Callable[..., str]:
    """Return a function that writes the study, with changes, and returns its path."""

    def written(**changes: object) -> str:
        dotted = {key.replace("__", "."): value for key, value in changes.items()}
        return write_study(SMALL | {"model.name": str(tiny_model)} | dotted)

    return written


@pytest.fixture
def trained(small_path, fake, tiny_model: Path) -> Callable[..., Study]:
    """Return a function that gives the study with data and two trained points."""

    def made(**changes: object) -> Study:
        study = load_study(small_path(**changes))
        if not (study.directory / "data").exists():
            prepare(study)
            one, two = study.points()
            shutil.copytree(tiny_model, one.directory / "model")
            two.directory.mkdir(parents=True)
            changed(tiny_model, two.directory / "model")
            for point in (one, two):
                fake.trained(study, point)
        return study

    return made
