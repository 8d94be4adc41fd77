"""What training cost: times on one machine, the share of calibration, where the rank went."""

import math

import pytest

from lib.tasks.glue import costs
from lib.tasks.glue.cells import Method, cells, settings_of
from lib.tasks.glue.seeds import over_seeds
from tests.tasks.glue.made import study

IW, ADA, LORA = Method("iw_lora"), Method("adalora"), Method("lora")


def parts(**axes):
    _, points = study(n=8, **axes)
    all_cells = cells(points)
    return {p.name: p for p in points}, settings_of(all_cells), all_cells


def saved(made, a=IW, b=ADA):
    points, settings, all_cells = made
    return costs.saving(points, settings, all_cells, a, b, 0.95)


def test_students_interval_by_hand():
    """Three values 1, 2, 3: sd 1, t(0.975, 2) = 4.3027, half-width 4.3027 / √3."""
    found = over_seeds([1.0, 2.0, 3.0], 0.95)
    assert (found["mean"], found["sd"]) == (2, 1)
    assert found["high"] - 2 == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert found["low"] == pytest.approx(4 - found["high"])
    assert over_seeds([1.0], 0.95) == {
        "values": [1.0], "mean": 1, "sd": None, "low": None, "high": None}  # fmt: skip
    assert over_seeds([None, 2.0, math.nan])["mean"] == 2
    assert over_seeds([]) == {"values": [], "mean": None, "sd": None}


def test_seconds_include_the_calibration():
    points, _, _ = parts()
    used = costs.usage_of(points["iw_lora_rte_alpha0.0001_seed42"])
    assert used["seconds"] == pytest.approx(104 + 1)
    assert used["step_seconds"] == pytest.approx(1.04)
    assert costs.usage_of(points["lora_rte_seed42"])["calibration_seconds"] is None


def test_saving_is_the_ratio_of_runs_with_one_seed():
    """(104·f + 1) / (130·f) with f = 1, 1.01, 1.02 over the seeds; 20 % of a step."""
    found = saved(parts())
    ratios = [(104 * f + 1) / (130 * f) for f in (1.0, 1.01, 1.02)]
    mean = math.exp(sum(map(math.log, ratios)) / 3)
    assert found["value"] == pytest.approx(1 - mean)
    assert found["low"] < found["value"] < found["high"]
    assert (found["seeds"], found["reason"]) == (3, None)
    assert found["steps"] == pytest.approx({"mnli": 0.2, "sst2": 0.2, "rte": 0.2})


def test_times_of_two_devices_are_not_compared():
    made = parts()
    for name, point in made[0].items():
        if name.startswith("adalora"):
            point.records["usage"]["device"] = "1 × GPU"
    found = saved(made)
    assert found["value"] is None
    assert "different devices" in found["reason"]


def test_runs_of_other_lengths_are_not_compared():
    made = parts()
    made[0]["adalora_rte_seed42"].records["usage"]["steps"] = 99
    assert saved(made)["seeds"] == 2


def test_no_times_no_saving():
    made = parts()
    for point in made[0].values():
        point.records = {}
    assert saved(made)["reason"] == "no seed has the times of both on all tasks"
    assert costs.calibration(*made, IW, 0.95)["mean"] is None


def test_share_of_calibration_is_of_all_tasks_of_a_seed():
    found = costs.calibration(*parts(), IW, 0.95)
    expected = [3 / (3 * (104 * f + 1)) for f in (1.0, 1.01, 1.02)]
    assert sorted(found["values"]) == pytest.approx(sorted(expected))
    assert found["tasks"]["rte"] == pytest.approx(sum(expected) / 3)


def test_ranks_stand_beside_the_importance_of_the_same_task():
    points, settings, all_cells = parts()
    kinds = {setting.method: all_cells[names[0]].kind for setting, names in settings.items()}
    found = {(one["method"], one["task"]): one for one in costs.ranks(points, settings, kinds)}
    assert ("full", "rte") not in found
    ours, lora = found["IW-LoRA", "rte"], found["LoRA", "rte"]
    assert ours["norm_follows_w"] > 0.9 > lora["norm_follows_w"]
    assert [m["w"] for m in lora["matrices"]] == pytest.approx([(1 + i) / 21 for i in range(6)])
    assert ours["points"] == 3
    seeds = [points[f"iw_lora_rte_alpha0.0001_seed{s}"].records["usage"] for s in (42, 43, 44)]
    norms = [used["matrices"][0]["norm"] for used in seeds]
    assert ours["matrices"][0]["norm"] == pytest.approx(sum(norms) / 3)


def test_spread_of_every_calibrated_run():
    _, points = study(n=8, tasks=("rte",))
    found = costs.spreads(points)
    assert [one["point"] for one in found] == [
        f"iw_lora_rte_alpha0.0001_seed{seed}" for seed in (42, 43, 44)
    ]
    assert found[0]["max"] == pytest.approx(20 / 21)


def test_intervals_over_seeds_end_where_their_range_does_and_need_seeds_that_differ():
    found = over_seeds([0.01, 0.2, 0.02], 0.95, (0, 1))
    assert (found["low"], over_seeds([0.99, 0.7], 0.95, (0, 1))["high"]) == (0, 1)
    assert over_seeds([0.5, 0.5, 0.5], 0.95)["low"] is None
