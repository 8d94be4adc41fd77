"""configs/td_dpo.yaml: its grid, and the steps of its runs."""

import math

from lib.config.grid import parse_grid, point_name
from lib.config.schema import Train
from lib.config.steps import step_count, validates
from lib.config.yaml import read_yaml
from tests.conftest import REPOSITORY


def study_file():
    path = REPOSITORY / "configs" / "td_dpo.yaml"
    return read_yaml(path.read_text(encoding="utf-8"), str(path))


def test_the_steps_of_a_run():
    """6,750 pairs less a tenth: the authors' warm-up, and a validation about once an epoch."""
    given = study_file()["train"]
    train = Train(**{key: given[key] for key in ("epochs", "batch_size", "warmup", "eval_steps")})
    steps = step_count(train, 6750 - 675)
    assert steps == 142
    assert math.ceil(train.warmup * steps) == 100
    assert [s for s in range(1, steps + 1) if validates(train, s, steps)] == [48, 96, 142]


def test_the_sixty_points():
    raw = study_file()
    grid = parse_grid(raw["grid"], ["variant", *raw["axes"]])
    points = list(grid)
    betas, seeds = [0.01, 0.05, 0.5, 2.5], [42, 43, 44]
    plain = [{"beta": beta, "seed": seed} for beta in betas for seed in seeds]
    assert points[:12] == [{"variant": "dpo", **point} for point in plain]
    assert points[12:24] == [{"variant": "discopop", **point} for point in plain]
    assert points[24:] == [
        {"variant": "td_dpo", "beta": beta, "tau": tau, "seed": seed}
        for beta in betas
        for tau in (0.5, 1, 2)
        for seed in seeds
    ]
    names = [point_name({axis: p[axis] for axis in ("variant", *raw["axes"]) if axis in p})
             for p in points]  # fmt: skip
    assert len(set(names)) == 60
    assert {"dpo_beta0.05_seed42", "td_dpo_beta0.05_tau1_seed42"} <= set(names)
