"""Methods at equal β, variance over β, margins and losses of a made study."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis.estimates import Measured
from lib.analysis.run import NOTHING, Run
from lib.analysis.statistics import resample_counts
from lib.config.grid import point_name
from lib.runs.files import write_sealed
from lib.tasks.preference.extras import lines_over, losses, margins, method_pairs, variances
from lib.tasks.preference.metrics import METRICS, TABLES
from tests.tasks.preference.made import BETAS, SEEDS, TAUS, answers_of, points_of

GRID = [
    *({"variant": variant, "beta": beta} for variant in ("dpo", "discopop") for beta in BETAS),
    *({"variant": "td_dpo", "beta": beta, "tau": tau} for beta in BETAS for tau in TAUS),
]


def test_methods_are_compared_at_equal_beta():
    """At each β: DiscoPOP and three τ against DPO, three τ against DiscoPOP; never τ against τ."""
    found = method_pairs(None, points_of(GRID))
    assert len(found) == len(set(found)) == 4 * (1 + 3 + 3)
    assert {(pair.a, pair.b) for pair in found if "beta0.01" in pair.a + pair.b} == {
        ("discopop_beta0.01", "dpo_beta0.01"),
        *((f"td_dpo_beta0.01_tau{tau:g}", f"{other}_beta0.01")
          for tau in TAUS for other in ("dpo", "discopop")),
    }  # fmt: skip


def test_the_order_of_the_grid_changes_at_most_the_side():
    there, back = (method_pairs(None, points_of(grid)) for grid in (GRID, GRID[::-1]))
    assert {frozenset(pair[1:]) for pair in there} == {frozenset(pair[1:]) for pair in back}


def test_a_study_of_one_setting_compares_nothing():
    assert method_pairs(None, points_of([{}])) == []
    assert lines_over(points_of([{}]), "beta") == []


def test_lines_over_beta():
    found = lines_over(points_of(GRID), "beta")
    labels = ["dpo", "discopop", "td_dpo_tau0.5", "td_dpo_tau1", "td_dpo_tau2"]
    assert [line.label for line in found] == labels
    assert all(list(line.settings) == list(BETAS) for line in found)


NONE, HALF, FULL = [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]


def table(values):
    """The table `variance` of settings (variant, β, τ) → items, one seed each."""
    counts = resample_counts(4, 300, 0)
    runs, grid = {}, []
    for (variant, beta, tau), items in values.items():
        grid.append({"variant": variant, "beta": beta} | ({"tau": tau} if tau else {}))
        if items is not None:
            items = np.array(items, dtype=float)
            resampled = counts @ items / 4
            run = Run(float(items.mean()), resampled, NOTHING, 4, 4, items, np.arange(4))
            runs[point_name(grid[-1])] = {1: run}
    points = points_of(grid, seeds=(1,), baseline="dpo_beta2")
    one = Measured("preference", "test", "", METRICS[0], {}, runs, None)
    rows = variances(answers_of(points, [one]))
    return pd.DataFrame(rows, columns=list(TABLES["variance"])).set_index("line")


def test_variance_and_reduction_by_hand():
    """DPO's means 0, ½, 1: variance ¼. τ 1: ½, ½, 1: 1/12. τ 2: ½, ½, ½: 0."""
    found = table(
        {("dpo", 1, 0): NONE, ("dpo", 2, 0): HALF, ("dpo", 3, 0): FULL}
        | {("td", 1, 1): HALF, ("td", 2, 1): HALF, ("td", 3, 1): FULL}
        | {("td", 1, 2): HALF, ("td", 2, 2): HALF, ("td", 3, 2): HALF}
    )
    assert list(found.index) == ["dpo", "td_tau1", "td_tau2", "td (all lines)"]
    assert found.variance.tolist()[:3] == pytest.approx([1 / 4, 1 / 12, 0])
    assert found.reduction.tolist()[1:] == pytest.approx([2 / 3, 1, 5 / 6])
    assert found.sd["dpo"] == pytest.approx(0.5)


def test_a_reduction_uses_the_betas_of_both():
    found = table(
        {("dpo", 1, 0): NONE, ("dpo", 2, 0): HALF, ("dpo", 3, 0): FULL}
        | {("td", 1, 1): None, ("td", 2, 1): HALF, ("td", 3, 1): FULL}
    ).loc["td_tau1"]
    assert (found.levels, found.shared, found.left_out) == ("2 3", "2 3", "1")
    assert found.reduction == pytest.approx(0)


def test_a_study_without_beta_has_no_variances():
    assert variances(answers_of(points_of(GRID), [], axes={"gamma": "train.gamma"})) == []


def test_margins_are_quantiles_of_each_point():
    items = pd.DataFrame(
        {"task": "preference", "point": ["a"] * 3 + ["b"], "margin": [3, 1, 2, None]}
    )
    found = pd.DataFrame(margins(items))
    assert set(found.point) == {"a"}
    assert found.set_index("share").margin[[0, 0.5, 1]].tolist() == [1, 2, 3]


def test_losses_are_rows_of_the_functions_that_trained(tmp_path):
    lines = [{"label": "td_dpo tau=0.5", "unit": "nats", "loss": [2, None], "gradient": [-1, 0]},
             {"label": "ipo ", "loss": [4, 1], "gradient": [1, 1]}]  # fmt: skip
    path = tmp_path / "loss_curves.json"
    assert losses(path) == []
    write_sealed(path, {"margin": [-1, 1], "lines": lines, "note": ""})
    found = losses(path)
    assert [list(row.values()) for row in found[:2]] == [
        ["td_dpo", "τ 0.5", "nats", -1, 2, -1],
        ["td_dpo", "τ 0.5", "nats", 1, None, 0],
    ]
    assert list(found[2]) == list(TABLES["losses"])
    assert (found[2]["variant"], found[2]["parameter"]) == ("ipo", "")


def test_seeds_are_averaged_before_the_variance():
    assert len(SEEDS) == 3
    points = points_of([{"variant": "dpo", "beta": b} for b in (1, 2)], baseline="dpo_beta1")
    flat = np.zeros(300)
    runs = {f"dpo_beta{beta}": {seed: Run(value, flat + value, NOTHING, 4, 4, None, np.arange(4))
                                for seed, value in zip(SEEDS, values, strict=True)}
            for beta, values in ((1, (0, 0.5, 1)), (2, (1, 1, 1)))}  # fmt: skip
    one = Measured("preference", "test", "", METRICS[0], {}, runs, None)
    (row,) = variances(answers_of(points, [one]))
    assert row["variance"] == pytest.approx(1 / 8)
