"""What importance-weighted LoRA claims, each with a verdict and its number.

A claim holds or fails where the intervals say so as a whole, and is undecided otherwise. A claim on
accuracy has two intervals: over other dev rows (bootstrap) and over other training runs (Student's,
over seeds). Both have to say it.
"""

from __future__ import annotations

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
from lib.tasks.glue.cells import KINDS
from lib.tasks.glue.table import NAMES

MARGIN = 0.002  # accuracy that may be lost to AdaLoRA
FASTER = (0.10, 0.15)  # share of AdaLoRA's training time that is to be saved
CALIBRATION = 0.02  # share of training time that calibration may take

Verdict = tuple[str, str, str]  # criterion, verdict, number


def judge(tables: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each claim with its verdict and its number."""
    found = [_parity(tables), _gain(tables), _speed(tables), _calibration(tables)]
    return [dict(zip(COLUMNS, one, strict=True)) for one in found]


def _parity(tables: Mapping[str, Any]) -> Verdict:
    what = (
        f"mean accuracy over tasks within {100 * MARGIN:g} points of AdaLoRA's (here: at most so "
        f"much lower)"
    )
    number, found = _difference(tables, "adalora")
    if found is None:
        return what, UNKNOWN, number
    verdicts = {above(found, -MARGIN), above(found["seeds"], -MARGIN)}
    return what, *_final(tables, "adalora", _agreed(verdicts), number)


def _gain(tables: Mapping[str, Any]) -> Verdict:
    what = "mean accuracy over tasks above LoRA's"
    number, found = _difference(tables, "lora")
    if found is None:
        return what, UNKNOWN, number
    verdicts = {_positive(found), _positive(found["seeds"])}
    return what, *_final(tables, "lora", _agreed(verdicts), number)


def _speed(tables: Mapping[str, Any]) -> Verdict:
    low, high = (100 * share for share in FASTER)
    what = f"trains {low:g} to {high:g} % faster than AdaLoRA (here: at least {low:g} %)"
    if reason := _unchosen(tables, "adalora"):
        return what, UNKNOWN, reason
    found = tables["saving"]["adalora"]
    if found["value"] is None:
        return what, UNKNOWN, found["reason"]
    number = f"saves {_saved(found)} of the training time of {_label(tables, 'adalora')}"
    seeds = f"{found['seeds']} seeds" if found["seeds"] > 1 else "one seed"
    number += f" ({seeds}; {_by_task(found['tasks'])}; of a step alone "
    number += f"{_by_task(found['steps'])})"
    if found["low"] is None:
        number += "; one seed has no interval"
    return what, *_final(tables, "adalora", above(found, FASTER[0]), number)


def _calibration(tables: Mapping[str, Any]) -> Verdict:
    what = f"calibration takes less than {100 * CALIBRATION:g} % of the training time"
    if reason := _unchosen(tables, None):
        return what, UNKNOWN, reason
    found = tables["calibration"]
    if found["mean"] is None:
        return what, UNKNOWN, "no seed has times of all tasks"
    number = f"{percent(found['mean'])} of all tasks together"
    if found["low"] is None:
        number += "; one seed has no interval"
    else:
        number += f" [{100 * found['low']:.1f}, {100 * found['high']:.1f}] over seeds"
    each = (f"{NAMES[t]} {percent(share)}" for t, share in found["tasks"].items())
    number += f"; {listed(each)}"
    if found["low"] is None:
        verdict = UNDECIDED
    else:
        verdict = PASS if found["high"] < CALIBRATION else UNDECIDED
        verdict = FAIL if found["low"] > CALIBRATION else verdict
    return what, *_final(tables, None, verdict, number)


def _difference(tables: Mapping[str, Any], other: str) -> tuple[str, dict[str, Any] | None]:
    """The number in words, and the difference; None, and why, where there is none."""
    if reason := _unchosen(tables, other):
        return reason, None
    found = tables["against"][other]
    if found is None:
        both = listed(_label(tables, kind) for kind in ("iw_lora", other))
        return f"no task mean of both: {both}", None
    number = f"{spread(found, 100, 'points', 2)} from {_label(tables, other)} over dev rows"
    seeds = found["seeds"]
    if seeds["low"] is None:
        number += "; one seed tells nothing of other runs"
    else:
        over = {"value": seeds["mean"], "low": seeds["low"], "high": seeds["high"]}
        number += f", {spread(over, 100, '', 2)} over {len(seeds['values'])} seeds"
    each = (f"{NAMES[t]} {spread(_bare(v), 100, '', 2)}" for t, v in found["tasks"].items())
    return f"{number}; {listed(each)}", found


def _final(tables: Mapping[str, Any], other: str | None, verdict: str, number: str) -> tuple:
    """Nothing is settled that points which may still come, or that diverged, could turn."""
    labels = [_label(tables, kind) for kind in ("iw_lora", other) if kind]
    having = [s for s in tables["settings"] if s["method"] in labels]
    if any(status not in FINAL for s in having for status in s["statuses"]):
        return UNDECIDED, f"{number}; points may still come"
    if gone := [s["label"] for s in having if s["diverged"]]:
        return UNDECIDED, f"{number}; without diverged seeds of {listed(gone, 3)}"
    return verdict, number


def _unchosen(tables: Mapping[str, Any], other: str | None) -> str | None:
    """Why IW-LoRA, or what it is compared with, cannot be named."""
    for kind in ("iw_lora", other):
        if kind is None:
            continue
        if kind not in tables["chosen"]:
            return f"no point is {KINDS[kind]}"
        if tables["chosen"][kind]["label"] is None:
            return tables["chosen"][kind]["reason"]
    return None


def _label(tables: Mapping[str, Any], kind: str) -> str:
    return tables["chosen"][kind]["label"]


def _agreed(verdicts: set[str]) -> str:
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED


def _positive(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return UNDECIDED
    if found["low"] > 0:
        return PASS
    return FAIL if found["high"] < 0 else UNDECIDED


def _bare(value: float) -> dict[str, float | None]:
    return {"value": value, "low": None, "high": None}


def _saved(found: Mapping[str, Any]) -> str:
    return spread(found, 100, "%").replace("+", "")


def _by_task(found: Mapping[str, float | None]) -> str:
    known = (f"{NAMES[t]} {_saved(_bare(v))}" for t, v in found.items() if v is not None)
    return listed(known)
