"""Curves of the losses: hand-worked points."""

import math

import pytest

from lib.config.schema import Train
from lib.training.curves import loss_curves


def test_points_by_hand():
    trains = {
        "DPO": Train(objective="dpo", beta=0.5),
        "TD-DPO": Train(objective="td_dpo", beta=3.0, tau=2.0),
        "DiscoPOP": Train(objective="discopop", beta=0.5),
        "IPO": Train(objective="ipo", beta=0.25),
    }
    found = loss_curves(trains, [-2.0, 0.0, 2.0])
    assert found["margin"] == [-2.0, 0.0, 2.0]
    dpo, td, pop, ipo = found["lines"]
    assert [line["label"] for line in found["lines"]] == list(trains)
    assert dpo["loss"] == pytest.approx([math.log(1 + math.exp(x)) for x in (1, 0, -1)])
    assert dpo["gradient"] == pytest.approx([-0.5 / (1 + math.exp(x)) for x in (-1, 0, 1)])
    assert td["loss"] == pytest.approx(dpo["loss"])
    assert td["gradient"] == pytest.approx(dpo["gradient"])
    assert pop["loss"][1] == pytest.approx(0.5 * math.log(2) + 0.5)
    assert (ipo["loss"], ipo["gradient"]) == ([16, 4, 0], [-8, -4, 0])
    assert (dpo["unit"], ipo["unit"]) == ("nats", "(nats/token)²")
