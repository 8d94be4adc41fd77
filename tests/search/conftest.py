"""A study with a search, whose trials train nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.config.load import load_study
from lib.config.study import Study

STUDY = {
    "tasks": ["glue"],
    "model": {"name": "nobody/nothing"},
    "data": {"source": "synthetic"},
    "train": {
        "objective": "classification",
        "tuning": "lora",
        "validations": 6,
        "batch_size": 16,
        "micro_batch": 8,
    },
    "evaluate": {"baseline": {"variant": "plain", "seed": 42}},
    "axes": {"seed": "train.seed", "drop": "train.lora.dropout"},
    "variants": {"plain": {}, "penalised": {"train.importance.alpha": 1e-4}},
    "grid": [{"variant": ["plain", "penalised"], "seed": [42, 43], "drop": 0.0}],
    "search": {
        "metric": "validation_accuracy",
        "direction": "maximize",
        "fixed": {"variant": "penalised", "seed": 42},
        "trials": 6,
        "sampler": "random",
        "space": {
            "train.learning_rate": {"float": [1e-5, 1e-2], "log": True},
            "train.batch_size": {"categorical": [8, 16, 32]},
            "train.importance.alpha": {"float": [1e-5, 1e-3], "log": True},
        },
    },
}


@pytest.fixture
def write_search(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes the study, changed below `search` and elsewhere."""

    def write(search: Mapping[str, Any] | None = None, **sections: Any) -> str:
        content = {"results_dir": str(tmp_path / "results"), **STUDY, **sections}
        content["search"] = {**STUDY["search"], **(search or {})}
        path = tmp_path / "found.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def study(write_search: Callable[..., str]) -> Study:
    return load_study(write_search())
