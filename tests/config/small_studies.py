"""Changes that make the small study one of another task, and what is read of a loaded one."""

from lib.config.load import load_study
from lib.config.study import identity
from lib.config.yaml import flatten

BASELINE = {"variant": "baseline", "gamma": 1}
PAIR = {"tasks": ["preference"], "data": {"source": "synthetic"}, "train.objective": "td_dpo",
        "train.beta": 0.1}  # fmt: skip
CLASSES = {"tasks": ["glue"], "data": {"source": "synthetic"}, "train.objective": "classification",
           "train.tuning": "lora"}  # fmt: skip
SOLVED = {
    "tasks": ["math"],
    "data": {"source": "synthetic"},
    "axes": {},
    "variants": {"one": {}},
    "grid": [{"variant": "one"}],
    "evaluate.baseline": {"variant": "one"},
}
ASKED = {"tasks": ["symbolic"], "data": {"source": "synthetic", "held_out_templates": 5}}
OF_PAIRS = {
    "tasks": ["preference"],
    "data": {"source": "synthetic"},
    "train.beta": 0.0,
    "axes": {"seed": "train.seed"},
    "variants": {},
    "grid": [{"seed": [1]}],
    "evaluate.baseline": {"seed": 1},
}
BOTH = {"tasks": ["decision", "mt_bench"]}


def resolved(path: str, key: str, *words: str, point: int = 1):
    return flatten(load_study(path, words).point(point).config.model_dump())[key]


def identified(path: str, *words: str) -> dict:
    return identity(load_study(path, words).point(1).config, "model", "data", "train", "infer")
