"""Claims of a study file: what they select, and one line for each fault."""

from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.settings import directed, lines, setting_pairs

RATE = {"say": "it is high", "metric": "accuracy", "above": 0.5}
GAIN = {"say": "it gains", "metric": "accuracy", "of": {"variant": "accept"}, "gains": 0.01}
ONE_WAY = {"say": "one way", "metric": "acceptance_rate"}
RATIO = {"say": "faster", "of": {"variant": "accept"}, "ratio_below": 0.9}
GRID = [
    {"variant": "baseline", "gamma": 1, "seed": [1, 2]},
    {"variant": ["accept", "reject"], "gamma": [2, 4], "seed": [1, 2]},
]
AXES = {"gamma": "train.gamma", "seed": "train.seed"}


@pytest.fixture
def load(write_study):
    def with_claims(*claims, **changes):
        given = {"grid": GRID, "axes": AXES, "claims": list(claims)}
        given["evaluate.baseline"] = {"variant": "baseline", "seed": 1}
        return load_study(write_study(given | changes))

    return with_claims


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (RATE | {"abov": 1}, r"abov: unknown key, expected one of .*; did you mean 'above'\?"),
        (RATE | {"below": 0.9}, "found above, below, expected exactly one of above, below, items"),
        ({"say": "?", "metric": "accuracy"}, "found no bound, expected exactly one of above"),
        ({"metric": "accuracy", "above": 0.5}, "say: missing"),
        (RATE | {"above": "high"}, "above: found 'high', expected a valid number"),
        (RATE | {"metric": "acuracy"}, r"metric: unknown metric 'acuracy', .* mean 'accuracy'\?"),
        (RATE | {"metric": "training.secnds"}, r"metric: .* did you mean 'training.seconds'\?"),
        (RATE | {"metric": "theory.delt"}, r"metric: .* did you mean 'theory.delta'\?"),
        (RATE | {"metric": "theori.delta"}, r"metric: .* did you mean 'theory.delta'\?"),
        (RATE | {"metric": "theory.point"}, "metric: unknown metric 'theory.point'"),
        (RATE | {"metric": "shift_line.slope"}, "metric: unknown metric 'shift_line.slope'"),
        (RATE | {"metric": "theory.delta", "above": None, "items": "all"},
         "items: is for metrics of test items, found theory.delta"),
        (RATE | {"metric": "theory.delta", "set": "dev"}, "set: found 'dev', expected none"),
        (RATE | {"metric": "mt_bench.score"}, "metric: unknown metric 'mt_bench.score'"),
        (RATE | {"set": "dev"}, "set: found 'dev', expected none: decision has one"),
        (RATE | {"of": {"varant": "x"}}, r"of: unknown axis 'varant', .*; did you mean 'variant'"),
        (RATE | {"of": {"gamma": 3}}, "of.gamma: found 3, expected one of 1, 2, 4"),
        (RATE | {"of": {"variant": "acept"}}, r"of.variant: found 'acept', .* mean 'accept'\?"),
        (RATE | {"of": {"variant": "accept", "gamma": 1}},
         "of: no point of the grid has {variant: 'accept', gamma: 1}"),
        (RATE | {"of": {"seed": 1}}, "of.seed: a claim is about settings, with all their seeds"),
        (RATE | {"above": 60}, "above: found 60, expected a number from 0 to 1, as accuracy is"),
        (RATE | {"at": "mst"}, r"at: found 'mst', expected .*; did you mean 'most'\?"),
        (RATE | {"against": {"variant": "reject"}}, "against: is for gains, .* found it with"),
        (GAIN | {"gains": 1}, "gains: found 1, expected less than 1: no two values of accuracy"),
        (GAIN | {"against": {"variant": "reject", "gamma": [2, 4]}},
         "against: 2 settings fit accept_gamma2, expected one: found .*; name more axes, or"),
        (GAIN | {"of": {"variant": "baseline"}}, "against: baseline_gamma1 is what `of` selects"),
        (ONE_WAY | {"monotonic": {"over": "gama", "accept": "up"}},
         r"monotonic.over: unknown axis 'gama', .*; did you mean 'gamma'\?"),
        (ONE_WAY | {"monotonic": {"over": "gamma", "accpt": "up"}}, "mean 'accept'"),
        (ONE_WAY | {"monotonic": {"over": "gamma", "accept": "upp"}}, r"mean 'up'\?"),
        (ONE_WAY | {"monotonic": {"over": "variant", "every": "up"}}, "expected an axis of"),
        (ONE_WAY | {"monotonic": {"over": "gamma", "baseline": "up"}},
         "no line has two values of gamma, so nothing could decide this claim"),
        (ONE_WAY | {"spans": [0.7, 0.3]}, "spans: found .0.7, 0.3., expected the lower"),
        (RATIO | {"metric": "accuracy"}, "ratio_below: is for training.steps, training.seconds"),
        (RATE | {"metric": "training.calibration_share"}, "of: no point of it calibrates"),
        ({**GAIN, "gains": None, "variance_over": "gamma"}, "falls_by: missing"),
        ({**GAIN, "gains": None, "variance_over": "gamma", "falls_by": 0.4},
         "share fewer than two values of gamma, so nothing could decide"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_with_file_place_and_remedy(load, claim, said):
    with pytest.raises(BadInput, match=said) as refused:
        load(RATE, claim)
    line = str(refused.value)
    assert line.split(": ")[1:3] == ["claims", "2"]
    assert "\n" not in line


def test_claims_are_a_list(load):
    with pytest.raises(BadInput, match="claims: 1: found 'yes', expected key: value pairs"):
        load("yes")
    with pytest.raises(BadInput, match="claims: found {'say': 'x'}, expected a list of claims"):
        load(claims={"say": "x"})


def test_a_setting_is_what_differs_in_the_seed_alone(load):
    found = load().settings
    assert list(found) == ["baseline_gamma1", *(f"{v}_gamma{g}" for v in ("accept", "reject")
                                                for g in (2, 4))]  # fmt: skip
    assert [p.name for p in found["accept_gamma2"][1]] == ["accept_gamma2_seed1",
                                                            "accept_gamma2_seed2"]  # fmt: skip


def test_axes_that_against_leaves_out_are_shared(load):
    one = GAIN | {"against": {"variant": "reject"}}
    study = load(one, GAIN, GAIN | {"of": {}}, one | {"select": "validation_accuracy"})
    found = [setting_pairs(study, claim) for claim in study.claims.values()]
    assert found[0] == [("accept_gamma2", "reject_gamma2"), ("accept_gamma4", "reject_gamma4")]
    assert found[1] == [("accept_gamma2", "baseline_gamma1"), ("accept_gamma4", "baseline_gamma1")]
    assert len(found[2]) == 4  # not the baseline with itself
    assert len(found[3]) == 4  # every two, of which validation chooses


def test_lines_start_at_the_baseline(load):
    study = load(ONE_WAY | {"monotonic": {"over": "gamma", "accept": "up", "reject": "down"}})
    up = {1: "baseline_gamma1", 2: "accept_gamma2", 4: "accept_gamma4"}
    down = {1: "baseline_gamma1", 2: "reject_gamma2", 4: "reject_gamma4"}
    assert directed(study, study.claims[1]) == [(up, 1), (down, -1)]
    assert lines(study, {"variant": "accept"}, "gamma") == [{2: "accept_gamma2",
                                                              4: "accept_gamma4"}]  # fmt: skip


def test_a_hash_is_of_what_is_claimed_and_not_of_its_words(load):
    study = load(RATE, RATE | {"say": "other words"}, RATE | {"above": 0.6})
    first, again, other = (claim.hash for claim in study.claims.values())
    assert first == again != other


def test_a_task_that_the_command_line_leaves_out_takes_its_claims_with_it():
    path = Path("configs/gsm8k_qlora.yaml")
    assert list(load_study(path, ["tasks=[math]"]).claims) == [1, 3, 5, 7]
    assert len(load_study(path, ["skip=[safety]"]).claims) == 8
