"""Minimal detectable effects against hand-worked values, published ones, and a simulation."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binom

from lib.analysis import power
from lib.analysis.claim_power import comparisons, planned
from lib.config.load import load_study

Z = 1.959964 + 0.841621  # two-sided 5 %, power 80 %


def test_paired_rates():
    """n·δ² = (1.960·√0.15 + 0.842·√(0.15 − δ²))²: 3.0 points for GSM8K's 1,319 problems."""
    assert power.binary_effect(1319, 0.15) == pytest.approx(0.0298, abs=5e-5)
    assert power.binary_effect(10, 0.1) is None  # not even if all of them favour one side


def test_paired_means():
    """Miller: n = (z_{α/2} + z_β)²·(ω² + σ²_A/K + σ²_B/K)/δ²."""
    of_item = 1 / 9 + 1 / 6 / 10 + 1 / 6 / 10  # ω² = 1/9, σ² = 1/6, K = 10
    n = Z**2 * of_item / 0.03**2
    assert math.ceil(n) == 1260
    assert power.effect(of_item / n) == pytest.approx(0.03)


def test_seeds():
    """(t_{α/2} + t_β)/√S is 3.1, 1.7 and 1.0; the noncentral t is exact, and larger for few."""
    assert [round(power.seeds_effect(1.0, s), 2) for s in (3, 5, 10)] == [3.26, 1.68, 1.0]
    assert power.seeds_effect(1.0, 1) is None


def test_a_rate_against_a_bound():
    """Wilson: 263 problems tell 26 % from 33.7 %: 1.96·√(.26·.74) + .842·√(.3375·.6625)."""
    delta = power.rate_effect(263, 0.26)
    rate = 0.26 + delta
    expected = 1.959964 * math.sqrt(0.26 * 0.74) + 0.841621 * math.sqrt(rate * (1 - rate))
    assert delta * math.sqrt(263) == pytest.approx(expected, rel=1e-5)
    assert delta == pytest.approx(0.0776, abs=1e-4)


def test_equivalence_needs_both_ends_inside():
    """(1.960 + 1.282)·0.22 = 0.71: 80 questions cannot show parity within 0.1 ratings."""
    assert power.equivalence_margin(0.22**2) == pytest.approx(0.713, abs=1e-3)


def test_predicted_power_is_the_simulated_one():
    """20,000 draws of 600 items, 15 % discordant: what is detectable is found 4 times in 5."""
    rng, n, d = np.random.default_rng(0), 600, 0.15
    delta = power.binary_effect(n, d)
    ahead, behind = rng.multinomial(n, [(d + delta) / 2, (d - delta) / 2, 1 - d], 20_000).T[:2]
    z = NormalDist().inv_cdf(0.975)
    found = np.abs(ahead - behind) > z * np.sqrt(ahead + behind)  # McNemar's test, normal
    assert found.mean() == pytest.approx(0.8, abs=0.03)
    exact = 2 * binom.cdf(np.minimum(ahead, behind), ahead + behind, 0.5) < 0.05
    assert exact.mean() == pytest.approx(0.8, abs=0.05)
    # Over seeds: what is detectable for three of them is detected four times in five.
    draws = rng.normal(power.seeds_effect(1.0, 3), 1.0, (20_000, 3))
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / math.sqrt(3))
    assert np.mean(np.abs(t) > 4.302653) == pytest.approx(0.8, abs=0.03)


def test_claims_are_planned_from_the_sizes_of_a_study():
    study = load_study("configs/td_dpo.yaml")
    sizes = {("preference", "test"): 750, ("mt_bench", "test"): 80}
    plans = {number: planned(study, claim, sizes) for number, claim in study.claims.items()}
    assert comparisons(study, study.claims[3]) == 2  # of MT-Bench: so each at 0.025
    assert plans[1].effect == pytest.approx(0.0396, abs=1e-4)
    assert plans[3].effect == pytest.approx((2.241403 + 0.841621) * 2 / math.sqrt(80), rel=1e-5)
    assert plans[4].effect == pytest.approx((2.241403 + 1.281552) * 2 / math.sqrt(80), rel=1e-5)
    assert plans[2].effect is plans[5].effect is None
    assert "15 % of items with different outcomes" in plans[1].assumes
    assert planned(study, study.claims[1], {}).assumes == "no test set yet: run stage 1"
    lora = load_study("configs/iw_lora.yaml")
    assert planned(lora, lora.claims[3], {}).effect == pytest.approx(
        3.264 * 0.02 * 2**0.5, rel=1e-3
    )
