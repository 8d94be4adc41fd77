"""The grid of configs/td_dpo.yaml, read without the rest of its settings."""

from lib.grid import parse_grid, point_name
from lib.settings import read_yaml
from tests.conftest import REPOSITORY


def test_the_sixty_points():
    path = REPOSITORY / "configs" / "td_dpo.yaml"
    raw = read_yaml(path.read_text(encoding="utf-8"), str(path))
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
