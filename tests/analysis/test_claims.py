"""Verdicts of claims on tables written by hand: intervals, missing and diverged points, choice."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.analysis import power
from lib.analysis.claims import decide, pairs
from lib.analysis.tables import columns
from lib.analysis.verdicts import items_needed, needed_of, seeds_needed
from lib.config import tasks
from lib.config.load import load_study
from lib.config.metrics import Pair

AXES = {"gamma": "train.gamma", "seed": "train.seed"}
GRID = [
    {"variant": "baseline", "gamma": 1, "seed": [1, 2, 3]},
    {"variant": ["accept", "reject"], "gamma": [2, 4], "seed": [1, 2, 3]},
]
ACCEPT = {"variant": "accept", "gamma": 2}


class Results:
    """A study with claims, and tables that a test fills in."""

    def __init__(self, write_study, *claims, **changes):
        given = {"grid": GRID, "axes": AXES, "claims": list(claims)}
        given |= {"evaluate.baseline": {"variant": "baseline"}, **changes}
        self.study = load_study(write_study(given))
        self.rows = {
            point.name: {"point": point.name, "status": "done", "device": "a", "steps": 10}
            for point in self.study.points()
        }
        self.estimates, self.contrasts, self.measured, self.extras = [], [], [], {}

    def status(self, status, *points):
        for name in points:
            self.rows[name]["status"] = status

    def of_point(self, name, **more):
        self.rows[name] |= more

    def estimate(self, label, value, half=0.02, metric="accuracy", **more):
        row = {"of": "setting", "name": label, "task": "decision", "set": "test", "slice": "",
               "metric": metric, "value": value, "low": value - half, "high": value + half,
               "n": 400, "units": 400, "seeds": 3, "sd": np.nan}  # fmt: skip
        self.estimates.append(row | more)

    def contrast(self, a, b, value, half=0.02, metric="accuracy", **more):
        row = {"family": "claims", "task": "decision", "set": "test", "metric": metric, "a": a,
               "b": b, "difference": value, "low": value - half, "high": value + half,
               "low_items": value - half, "high_items": value + half, "p_holm": 0.001,
               "low_seeds": np.nan, "high_seeds": np.nan, "n": 400, "units": 400,
               "seeds": 3}  # fmt: skip
        self.contrasts.append(row | more)

    def tables(self):
        names = ("variant", "gamma")
        return SimpleNamespace(
            points=pd.DataFrame(self.rows.values()).reindex(columns=columns("points", names)),
            estimates=pd.DataFrame(self.estimates, columns=columns("estimates")),
            contrasts=pd.DataFrame(self.contrasts, columns=columns("contrasts")),
            extras=self.extras,
        )

    def decide(self, first=None):
        table = decide(self.study, self.tables(), self.measured, first)
        return [row for _, row in table.iterrows()]


@pytest.fixture
def results(write_study):
    return lambda *claims, **changes: Results(write_study, *claims, **changes)


def claim(metric="accuracy", **keys):
    return {"say": "so it is", "metric": metric, **keys}


@pytest.mark.parametrize(
    ("value", "verdict", "needed"),
    [(0.63, "pass", ""), (0.57, "fail", ""), (0.61, "undecided", "some 1,600 items (400 now)"),
     (0.6, "undecided", "over 100 times the items (400 now)"),
     (None, "not measurable", "")],
)  # fmt: skip
def test_above_by_the_whole_interval(results, value, verdict, needed):
    made = results(claim(of=ACCEPT, above=0.6))
    if value is not None:
        made.estimate("accept_gamma2", value)
    (row,) = made.decide()
    assert (row.verdict, row.needed, row.bound) == (verdict, needed, 0.6)


def test_students_interval_over_seeds_has_to_agree(results):
    made = results(claim(of=ACCEPT, above=0.6))
    made.estimate("accept_gamma2", 0.63, sd=0.02)  # 4.303 × 0.02 / √3 = 0.050 above the bound
    (row,) = made.decide()
    # √S ≥ t·0.02/0.03: 3.18·0.02/√4 = 0.032, 2.78·0.02/√5 = 0.0248
    assert (row.verdict, row.needed) == ("undecided", "some 5 seeds (3 now)")


@pytest.mark.parametrize(
    ("at", "values", "verdict"),
    [("most", (0.7, 0.7, 0.7, 0.5, 0.61), "pass"),
     ("most", (0.7, 0.7, 0.61, 0.5, 0.5), "undecided"),
     ("most", (0.7, 0.7, 0.5, 0.5, 0.5), "fail"),
     ("every", (0.7, 0.7, 0.7, 0.7, 0.61), "undecided"),
     ("every", (0.7, 0.7, 0.7, 0.61, 0.5), "fail"),
     ("any", (0.7, 0.5, 0.5, 0.5, None), "pass"),
     ("any", (0.5, 0.5, 0.5, 0.5, None), "undecided")],
)  # fmt: skip
def test_every_most_and_any(results, at, values, verdict):
    made = results(claim(above=0.6, at=at))
    labels = ("baseline_gamma1", "accept_gamma2", "accept_gamma4", "reject_gamma2", "reject_gamma4")
    for label, value in zip(labels, values, strict=True):
        if value is not None:
            made.estimate(label, value)
    assert made.decide()[0].verdict == verdict


def test_points_that_may_still_come_leave_all_open_and_divergence_does_not(results):
    made = results(claim(of=ACCEPT, above=0.6), claim(of={"variant": "reject"}, above=0.6))
    made.estimate("accept_gamma2", 0.7)
    made.estimate("reject_gamma2", 0.7)
    made.estimate("reject_gamma4", 0.7)
    made.status("missing", "accept_gamma2_seed2")
    made.status("diverged", "reject_gamma4_seed1")
    one, other = made.decide()
    assert (one.verdict, one.needed) == ("undecided", "points accept_gamma2_seed2")
    assert other.verdict == "fail"
    assert "diverged: reject_gamma4_seed1" in other.number


@pytest.mark.parametrize(
    ("keys", "value", "verdict"),
    [({"gains": 0.01}, 0.04, "pass"), ({"gains": 0.01}, 0.02, "undecided"),
     ({"gains": 0.01}, -0.02, "fail"), ({"no_worse_by": 0.03}, -0.01, "pass"),
     ({"no_worse_by": 0.03}, -0.02, "undecided"), ({"no_worse_by": 0.03}, -0.06, "fail"),
     ({"within": 0.03}, 0.01, "pass"), ({"within": 0.03}, 0.02, "undecided"),
     ({"within": 0.01}, 0.0, "undecided"), ({"within": 0.03}, -0.06, "fail")],
)  # fmt: skip
def test_differences_by_the_whole_interval_whichever_way_round_they_stand(
    results, keys, value, verdict
):
    for a, b, sign in (("accept_gamma2", "baseline_gamma1", 1),
                       ("baseline_gamma1", "accept_gamma2", -1)):  # fmt: skip
        made = results(claim(of=ACCEPT, **keys))
        made.contrast(a, b, sign * value)
        (row,) = made.decide()
        assert row.verdict == verdict
        assert row.value == pytest.approx(value)
        assert (row.low, row.high) == pytest.approx((value - 0.02, value + 0.02))


def test_lower_is_better_where_a_metric_says_so(results):
    made = results(claim("brier", of=ACCEPT, gains=0))
    made.contrast("accept_gamma2", "baseline_gamma1", -0.1, metric="brier")
    (row,) = made.decide()
    assert (row.verdict, row.value) == ("pass", 0.1)


def test_a_gain_over_nothing_also_needs_holms_p(results):
    made = results(claim(of=ACCEPT, gains=0), claim(of=ACCEPT, gains=0.001))
    made.contrast("accept_gamma2", "baseline_gamma1", 0.03, p_holm=0.06)
    assert [row.verdict for row in made.decide()] == ["undecided", "pass"]


def test_one_matched_seed_of_several_decides_nothing(results):
    made = results(claim(of=ACCEPT, gains=0.01))
    made.contrast("accept_gamma2", "baseline_gamma1", 0.05, seeds=1)
    (row,) = made.decide()
    assert (row.verdict, row.needed[:15]) == ("undecided", "2 matched seeds")
    grid = [{"variant": "baseline", "gamma": 1}, {"variant": "accept", "gamma": 2}]
    made = results(claim(of=ACCEPT, gains=0.01), grid=grid)
    made.contrast("accept_gamma2", "baseline_gamma1", 0.05, seeds=1)
    assert made.decide()[0].verdict == "pass"


def test_divergence_of_either_side(results):
    both = claim(of=ACCEPT, gains=0.01), claim(of=ACCEPT, within=0.05)
    for gone, value, verdicts in (
        ("accept_gamma2_seed1", 0.04, ["fail", "undecided"]),
        ("baseline_gamma1_seed1", 0.04, ["pass", "undecided"]),
        ("baseline_gamma1_seed1", -0.04, ["undecided", "undecided"]),
    ):
        made = results(*both)
        made.contrast("accept_gamma2", "baseline_gamma1", value)
        made.status("diverged", gone)
        assert [row.verdict for row in made.decide()] == verdicts


def test_validation_chooses_and_the_report_says_so(results):
    made = results(claim(of={"variant": "accept"}, select="validation_accuracy", gains=0.01))
    for name in made.rows:
        made.of_point(name, validation_accuracy=0.6 if "gamma4" in name else 0.5)
    points = made.tables().points
    assert pairs(made.study, points) == [Pair("claims", "accept_gamma4", "baseline_gamma1")]
    made.contrast("accept_gamma4", "baseline_gamma1", 0.05)
    made.contrast("accept_gamma2", "baseline_gamma1", -0.05)
    (row,) = made.decide()
    assert row.verdict == "pass"
    assert row.number.endswith("accept_gamma4 chosen among 2 on validation rows")
    made.status("missing", "accept_gamma2_seed3")  # might have been chosen
    assert made.decide()[0].verdict == "undecided"
    for name in made.rows:
        made.of_point(name, validation_accuracy=None)
    (row,) = made.decide()
    assert row.verdict == "not measurable"
    assert "none of 2 settings has a validation accuracy" in row.number


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((0.25, 0.5, 0.75), "pass"), ((0.29, 0.5, 0.75), "undecided"), ((0.4, 0.5, 0.75), "fail")],
)
def test_spans_by_intervals_at_both_ends(results, values, verdict):
    made = results(claim("acceptance_rate", spans=[0.3, 0.7]))
    for label, value in zip(("reject_gamma4", "baseline_gamma1", "accept_gamma4"), values,
                            strict=True):  # fmt: skip
        made.estimate(label, value, metric="acceptance_rate")
    assert made.decide()[0].verdict == verdict


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [((0.1, 0.1, -0.1, -0.1), "pass"), ((0.1, -0.01, -0.1, -0.1), "undecided"),
     ((0.1, -0.05, -0.1, -0.1), "fail"), ((0.0, 0.0, 0.0, 0.0), "fail")],
)  # fmt: skip
def test_one_way_along_lines_that_start_at_the_baseline(results, steps, verdict):
    ways = {"over": "gamma", "accept": "up", "reject": "down"}
    made = results(claim("acceptance_rate", monotonic=ways))
    neighbours = [(f"{v}_gamma{g}", b) for v in ("accept", "reject")
                  for g, b in ((2, "baseline_gamma1"), (4, f"{v}_gamma2"))]  # fmt: skip
    assert pairs(made.study, made.tables().points) == [Pair("claims", *two) for two in neighbours]
    for (a, b), step in zip(neighbours, steps, strict=True):
        made.contrast(a, b, step, metric="acceptance_rate")
    assert made.decide()[0].verdict == verdict


def test_training_is_a_fact_of_each_point(results):
    made = results(claim("training.trained", above=1), claim("training.complete", above=1))
    for name in made.rows:
        made.of_point(name, trained=1.0, complete=1.0)
    assert [row.verdict for row in made.decide()] == ["pass", "pass"]
    made.of_point("accept_gamma2_seed1", trained=None, complete=None, status="missing")
    assert [row.needed for row in made.decide()] == ["points accept_gamma2_seed1"] * 2
    made.of_point("reject_gamma2_seed1", trained=0.0, complete=0.0, status="diverged")
    made.of_point("reject_gamma2_seed2", complete=0.0)
    trained, complete = made.decide()
    assert (trained.verdict, complete.verdict) == ("fail", "fail")
    said = "13 of 15 points; diverged: reject_gamma2_seed1; missing: accept_gamma2_seed1"
    assert trained.number == said


def test_the_ratio_of_times_is_over_seeds_on_one_device(results):
    made = results(claim("training.seconds", of=ACCEPT, ratio_below=0.9))
    for seed, ratio in ((1, 0.80), (2, 0.82), (3, 0.84)):
        made.of_point(f"baseline_gamma1_seed{seed}", seconds=100.0)
        made.of_point(f"accept_gamma2_seed{seed}", seconds=100.0 * ratio)
    (row,) = made.decide()
    logs = np.log([0.80, 0.82, 0.84])
    half = 4.3027 * logs.std(ddof=1) / np.sqrt(3)
    assert row.verdict == "pass"
    assert row.value == pytest.approx(np.exp(logs.mean()))
    assert (row.low, row.high) == pytest.approx(np.exp([logs.mean() - half, logs.mean() + half]),
                                                abs=1e-5)  # fmt: skip
    made.of_point("accept_gamma2_seed3", device="b")
    assert made.decide()[0].verdict == "undecided"  # two seeds: t is 12.7
    for seed in (1, 2):
        made.of_point(f"accept_gamma2_seed{seed}", device="b")
    assert "different devices" in made.decide()[0].number


SHIFTS = {"baseline_gamma1": (0, 0, 0), "accept_gamma2": (0.6, 0.7, 0.8),
          "accept_gamma4": (1.2, 1.3, 1.6)}  # fmt: skip


def of_table(made, **shifts):
    rows = [{"point": f"{label}_seed{seed}", "logit_shift": value, "logit_shift_low": value - 0.05,
             "logit_shift_high": value + 0.05}
            for label, values in (SHIFTS | shifts).items()
            for seed, value in enumerate(values, 1)]  # fmt: skip
    columns = list(tasks.get("decision").analysis.tables["theory"])
    made.extras = {"theory": pd.DataFrame(rows).reindex(columns=columns)}


@pytest.mark.parametrize(("bound", "verdict"), [(0.4, "pass"), (0.5, "undecided"), (1, "fail")])
def test_columns_of_a_further_table_are_means_over_seeds(results, bound, verdict):
    """0.6, 0.7, 0.8: Student's half is 4.3027 · 0.1 / √3 = 0.248."""
    made = results(claim("theory.logit_shift", of=ACCEPT, above=bound))
    of_table(made)
    (row,) = made.decide()
    assert (row.value, row.low, row.high) == pytest.approx((0.7, 0.4516, 0.9484), abs=1e-4)
    assert (row.verdict, bool(row.needed)) == (verdict, verdict == "undecided")
    assert row.mde == pytest.approx(3.26 * 0.1, abs=0.01)  # noncentral t, 2 degrees


def test_columns_of_a_further_table_are_compared_by_seed(results):
    ways = {"over": "gamma", "accept": "up"}
    made = results(claim("theory.logit_shift", monotonic=ways),
                   claim("theory.logit_shift", spans=[0.1, 1.0]),
                   claim("theory.logit_shift", of=ACCEPT, gains=0.4),
                   claim("theory.logit_shift", of=ACCEPT, within=0.9))  # fmt: skip
    of_table(made)
    way, span, gain, within = made.decide()
    assert (way.verdict, span.verdict, gain.verdict, within.verdict) == (
        "pass", "undecided", "pass", "undecided")  # fmt: skip
    assert (gain.value, gain.low) == pytest.approx((0.7, 0.4516), abs=1e-4)
    of_table(made, accept_gamma4=(0.1, 0.2, 0.31))  # each seed falls by 0.5 or so
    assert made.decide()[0].verdict == "fail"
    made.extras = {}
    assert made.decide()[0].verdict == "not measurable"


def test_one_seed_of_a_further_table_has_the_interval_of_its_row(results):
    grid = [{"variant": "baseline", "gamma": 1, "seed": 1}, ACCEPT | {"seed": 1}]
    made = results(claim("theory.logit_shift", of=ACCEPT, above=0.56), grid=grid)
    of_table(made)
    (row,) = made.decide()
    assert (row.low, row.high) == pytest.approx((0.55, 0.65))
    assert (row.verdict, row.needed) == ("undecided", "at least 2 seeds (1 now)")


def test_training_over_an_axis_goes_one_way(results):
    ways = {"over": "gamma", "accept": "up"}
    made = results(claim("training.seconds", monotonic=ways), claim("training.seconds", above=50))
    for label, mean in (("baseline_gamma1", 50), ("accept_gamma2", 60), ("accept_gamma4", 70)):
        for seed in (1, 2, 3):
            made.of_point(f"{label}_seed{seed}", seconds=mean + seed * 0.1 * mean)
    way, above = made.decide()
    assert way.verdict == "pass"
    # Differences of 11, 12, 13 both times: sd 1, of two; the deviations of settings are 5, 6, 7.
    of_one = power.seeds_effect(1.0, 3, 0.05 / 2)
    assert (way.mde, above.mde) == pytest.approx((of_one, 7 * of_one))


def test_what_varies_by_no_chance_has_no_minimal_effect_and_says_why(results):
    made = results(claim("training.steps", above=10), claim(of=ACCEPT, items=400))
    for name in made.rows:
        made.estimate(name, 0.5, of="point", n=400)
    for row in made.decide():
        said = "no minimal detectable effect: a count, decided without chance"
        assert (row.verdict, pd.isna(row.mde), row.needed) == ("pass", True, said)


def test_the_variance_along_an_axis(results):
    made = results(claim(of={"variant": "accept"}, against={"variant": "reject"},
                         variance_over="gamma", falls_by=0.4))  # fmt: skip
    rng = np.random.default_rng(0)

    def run(value):
        return SimpleNamespace(value=value, resampled=value + rng.normal(0, 0.001, 500))

    values = {"accept_gamma2": 0.60, "accept_gamma4": 0.62, "reject_gamma2": 0.5,
              "reject_gamma4": 0.7}  # fmt: skip
    settings = {label: {seed: run(value) for seed in (1, 2, 3)} for label, value in values.items()}
    made.measured = [SimpleNamespace(task="decision", set="test", slice="", settings=settings,
                                     metric=SimpleNamespace(name="accuracy"))]  # fmt: skip
    made.estimate("accept_gamma2", 0.6)  # which sets there are
    (row,) = made.decide()
    assert row.verdict == "pass"
    assert row.value == pytest.approx(1 - 0.02**2 / 0.2**2)  # variance of two is difference²/2
    del settings["reject_gamma4"]
    assert made.decide()[0].verdict == "not measurable"


def test_items_that_values_rest_on(results):
    made = results(claim(items="all"), claim(items=400))
    for name in made.rows:
        made.estimate(name, 0.5, of="point", n=400)
    whole = SimpleNamespace(items=range(400))
    made.measured = [SimpleNamespace(task="decision", set="test", tests=whole)]
    assert [row.verdict for row in made.decide()] == ["pass", "pass"]
    made.estimates[0]["n"] = 399
    assert made.decide()[0].verdict == "fail"
    assert "others: baseline_gamma1_seed1 399" in made.decide()[0].number
    made.status("missing", "reject_gamma4_seed3")  # it cannot help
    assert [row.verdict for row in made.decide()] == ["fail", "fail"]


def test_all_items_are_those_of_the_set_and_not_the_most_that_a_point_has(results):
    made = results(claim(items="all"))
    made.measured = [
        SimpleNamespace(task="decision", set="test", tests=SimpleNamespace(items=range(401)))
    ]
    for name in made.rows:
        made.estimate(name, 0.5, of="point", n=400)
    assert made.decide()[0].verdict == "fail"
    assert made.decide()[0].number.startswith("0 of 15 points rest on 401")


def test_a_claim_changed_after_the_first_array_is_told(results):
    made = results(claim(above=0.6), claim(above=0.7))
    first = [made.study.claims[1].hash]
    assert [row.changed == "yes" for row in made.decide(first)] == [False, True]
    assert all(pd.isna(row.changed) for row in made.decide(None))


def test_without_claims_there_is_no_verdict(results):
    assert results().decide() == []


def test_what_would_decide():
    assert items_needed(0.02, 0.03, 400) == ""
    assert items_needed(0.02, 0.01, 400, "questions") == "some 1,600 questions (400 now)"
    assert seeds_needed(0.05, 0.06, 3, 0.95) == ""
    row = {"low": -0.01, "high": 0.03, "low_items": -0.01, "high_items": 0.03, "low_seeds": -0.04,
           "high_seeds": 0.06, "units": 400, "seeds": 3}  # fmt: skip
    # Half over items 0.02, over seeds 0.05 (sd 0.0201): 2.101·0.0201/√19 = 0.0097, of 18 0.0100(1).
    assert needed_of(row, 0.01, 0.95) == "some 1,600 items (400 now) and some 19 seeds (3 now)"
