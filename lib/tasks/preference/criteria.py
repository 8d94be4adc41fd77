"""What the authors of TD-DPO expected, each with a verdict and its number.

An expectation holds or fails where the whole interval says so, and is undecided otherwise. A seed
that diverged is in no mean, so where one did, what the others reach can be too good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import (
    COLUMNS,
    FAIL,
    FINAL,
    PASS,
    UNDECIDED,
    UNKNOWN,
    above,
    percent,
    spread,
)
from lib.config.errors import listed

MATCH = 0.02  # accuracies this close match; the authors name no bound
PARITY = 0.1  # MT-Bench points that the authors call equal
GAIN = 1.5  # MT-Bench points
REDUCTION = 0.40  # of the variance over β

Verdict = tuple[str, str, str]  # criterion, verdict, number


def judge(tables: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each expectation with its verdict and its number, in the order of the authors' text."""
    found = [_low_beta(tables), _high_beta(tables), _parity(tables)]
    found += [_variance(tables, name) for name in ("accuracy", "mt_bench")]
    return [dict(zip(COLUMNS, one, strict=True)) for one in found]


def best_dpo(tables: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """DPO's best setting and the split that it was chosen on.

    On the validation pairs, where every measured DPO setting has them; else on the test pairs, by
    the very numbers that are compared, which flatters DPO.
    """
    having = _of_objective(tables, "dpo")
    having = [s for s in having if s["metrics"]["accuracy"]["mean"] is not None]
    if not having:
        return None, ""
    if all(s["validation_accuracy"] is not None for s in having):
        return max(having, key=lambda s: s["validation_accuracy"]), "validation pairs"
    return max(having, key=lambda s: s["metrics"]["accuracy"]["mean"]), "the test pairs themselves"


def setting(
    tables: Mapping[str, Any], objective: str, beta: float, tau: float | None = None
) -> tuple[dict[str, Any] | None, str]:
    """The one setting of an objective at β (and τ), or None and why there is none."""
    having = _of_objective(tables, objective)
    fits = [s for s in having if s["beta"] == beta and (tau is None or s["tau"] == tau)]
    if len(fits) == 1:
        return fits[0], ""
    at = f"β={beta:g}" + ("" if tau is None else f" & τ={tau:g}")
    return None, f"{len(fits)} settings of {objective} have {at}, expected one"


def test_of(
    tables: Mapping[str, Any], a: Mapping[str, Any], b: Mapping[str, Any], measure: str
) -> dict[str, Any] | None:
    """The test of two settings as `a` − `b`, whichever way round its family has it."""
    for family in tables["significance"]["families"].values():
        for test in family["members"] if family["measure"] == measure else ():
            if not test["items"]:
                continue
            if (test["a"], test["b"]) == (a["label"], b["label"]):
                return test
            if (test["b"], test["a"]) == (a["label"], b["label"]):
                value, low, high = (test["difference"][k] for k in ("value", "low", "high"))
                low, high = (None, None) if low is None else (-high, -low)
                return test | {"difference": {"value": -value, "low": low, "high": high}}
    return None


def statuses(found: Mapping[str, Any]) -> str:
    """`2 done, 1 diverged`: the seeds of a setting."""
    names = dict.fromkeys(found["statuses"])
    return ", ".join(f"{found['statuses'].count(name)} {name}" for name in names)


def waiting(found: Mapping[str, Any]) -> bool:
    """Whether a seed of the setting may still come."""
    return any(status not in FINAL for status in found["statuses"])


def _of_objective(tables: Mapping[str, Any], objective: str) -> list[dict[str, Any]]:
    """Settings of the variant that stands for the objective: see `cells.variant_of`."""
    having = [s for s in tables["settings"] if s["objective"] == objective]
    variants = [s["variant"] for s in having]
    one = objective if objective in variants else next(iter(variants), None)
    return [s for s in having if s["variant"] == one]


def _low_beta(tables: Mapping[str, Any]) -> Verdict:
    what = (
        f"β=0.01 & τ=0.5 matches the best DPO (here: at most {100 * MATCH:g} points less accurate; "
        f"the authors name no bound)"
    )
    ours, why = setting(tables, "td_dpo", 0.01, 0.5)
    best, chosen_on = best_dpo(tables)
    if ours is None:
        return what, UNKNOWN, why
    found = tables["low_beta"]["accuracy"]
    if found is None:
        verdict = FAIL if best and ours["diverged"] else UNKNOWN
        none = "no DPO setting is measured" if best is None else "no accuracy to compare"
        return what, verdict, f"{none}; seeds of {ours['label']}: {statuses(ours)}"
    difference = found["difference"]
    number = (
        f"{spread(difference, 100, 'points')} from {best['label']} "
        f"({percent(best['metrics']['accuracy']['mean'])}, chosen on {chosen_on}); "
        f"seeds of {ours['label']}: {statuses(ours)}"
    )
    if rated := tables["low_beta"].get("mt_bench"):
        number += f"; MT-Bench {spread(rated['difference'], 1, 'points', 2)}"
    if ours["diverged"]:
        return what, FAIL, number
    verdict = above(difference, -MATCH)
    others = [s for s in _of_objective(tables, "dpo") if waiting(s)]
    if verdict == PASS and (others or waiting(ours)):
        return what, UNDECIDED, f"{number}; points may still come"
    return what, verdict, number


def _high_beta(tables: Mapping[str, Any]) -> Verdict:
    what = f"β=2.5 & τ=2 does not diverge and gains {GAIN:g} MT-Bench points over DiscoPOP at β=2.5"
    ours, why = setting(tables, "td_dpo", 2.5, 2)
    if ours is None:
        return what, UNKNOWN, why
    number = f"seeds of {ours['label']}: {statuses(ours)}"
    if ours["diverged"]:
        return what, FAIL, number
    other, why = setting(tables, "discopop", 2.5)
    if other is None:
        return what, UNKNOWN, f"{number}; {why}"
    number += f"; of {other['label']}: {statuses(other)}"
    test = test_of(tables, ours, other, "mt_bench")
    if test is None:
        return what, UNKNOWN, f"{number}; {_no_ratings(tables)}"
    number += f"; gain {spread(test['difference'], 1, 'points', 2)}"
    if waiting(ours) or waiting(other):
        return what, UNDECIDED, f"{number}; points may still come"
    verdict = above(test["difference"], GAIN)
    if other["diverged"] and verdict != PASS:
        return what, UNDECIDED, f"{number}; {other['label']} is rated without its diverged seeds"
    return what, verdict, number


def _parity(tables: Mapping[str, Any]) -> Verdict:
    what = f"β=0.05 & τ=1 within {PARITY:g} MT-Bench points of DPO at β=0.05"
    ours, why = setting(tables, "td_dpo", 0.05, 1)
    other, why_other = setting(tables, "dpo", 0.05)
    if ours is None or other is None:
        return what, UNKNOWN, why or why_other
    accuracy = test_of(tables, ours, other, "accuracy")
    aside = ""
    if accuracy:
        aside = f"; accuracy {spread(accuracy['difference'], 100, 'points')}"
    test = test_of(tables, ours, other, "mt_bench")
    if test is None:
        told = f"seeds: {statuses(ours)}; of {other['label']}: {statuses(other)}"
        return what, UNKNOWN, f"{_no_ratings(tables)}; {told}{aside}"
    difference, error = test["difference"], test["standard_error"]
    number = f"{spread(difference, 1, 'points', 2)} on {test['independent']} questions"
    if difference["low"] is None:
        return what, UNDECIDED, f"{number}: too few for an interval{aside}"
    half = (difference["high"] - difference["low"]) / 2
    number += "" if error is None else f", standard error {error:.2f}"
    if half > PARITY:
        needed = math.ceil(test["independent"] * (half / PARITY) ** 2)
        number += (
            f": an interval of ± {half:.2f} cannot resolve {PARITY:g}; "
            f"that takes some {needed:,} questions"
        )
    number += aside
    if waiting(ours) or waiting(other):
        return what, UNDECIDED, f"{number}; points may still come"
    if gone := [s["label"] for s in (ours, other) if s["diverged"]]:
        return what, UNDECIDED, f"{number}; {listed(gone, 2)} without diverged seeds"
    if difference["low"] >= -PARITY and difference["high"] <= PARITY:
        return what, PASS, number
    outside = difference["high"] < -PARITY or difference["low"] > PARITY
    return what, FAIL if outside else UNDECIDED, number


def _variance(tables: Mapping[str, Any], measure: str) -> Verdict:
    name = {"accuracy": "accuracy", "mt_bench": "MT-Bench mean"}[measure]
    what = f"variance of the {name} over β falls {100 * REDUCTION:g} % from DPO to TD-DPO"
    variants = {s["variant"] for s in _of_objective(tables, "td_dpo")}
    if measure not in tables["variance"]:
        return what, UNKNOWN, _no_ratings(tables) if measure == "mt_bench" else "no point measured"
    found = [r for r in tables["variance"][measure]["reductions"] if r["variant"] in variants]
    if not found:
        return what, UNKNOWN, "no TD-DPO, or not one line of DPO, in these points"
    whole = found[-1]  # all τ together, where there are several
    each = [f"{r['label']} {_reduced(r)}" for r in found[:-1]]
    number = f"{whole['label']}: {_reduced(whole)}" + (f" ({listed(each, 6)})" if each else "")
    if whole["left_out"]:
        number += f"; without β {listed((f'{b:g}' for b in whole['left_out']), 6)}, not on both"
    if whole["value"] is None:
        return what, UNKNOWN, number
    having = [*_of_objective(tables, "td_dpo"), *_of_objective(tables, "dpo")]
    if gone := [s["label"] for s in having if s["diverged"]]:
        number += f"; seeds diverged at {listed(gone, 4)}: a variance without them says too little"
        return what, UNDECIDED, number
    if whole["left_out"] or any(waiting(s) for s in having):
        return what, UNDECIDED, f"{number}; points may still come"
    return what, above(whole, REDUCTION), number


def _reduced(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return found["reason"]
    reason = f" ({found['reason']})" if found["reason"] else ""
    return f"reduction {spread(found, 100, '%', 0)}{reason}"


def _no_ratings(tables: Mapping[str, Any]) -> str:
    return f"no MT-Bench ratings of both ({tables['mt_bench']['reason'] or 'a point has none'})"
