"""What a study found, in sentences made of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import FAIL, PASS, UNDECIDED, percent
from lib.config.errors import listed
from lib.tasks.math.final import NOTE


def sentences(tables: Mapping[str, Any]) -> list[str]:
    """The findings, in order; what cannot be said is said to be so."""
    found = [_rates(tables, "accuracy"), _paired(tables, "accuracy"), _reading(tables)]
    found += [_rates(tables, "safety"), _paired(tables, "safety"), _thresholds(tables)]
    return [sentence for sentence in [*found, _absent(tables), NOTE] if sentence]


def absent(tables: Mapping[str, Any]) -> str:
    """`missing: a, b; diverged: c; 1 of 263 problems: d`, or nothing where all is measured."""
    groups: dict[str, list[str]] = {}
    for name, table in tables["points"].items():
        if table["status"] == "partial":
            groups.setdefault(f"{table['rows']} of {tables['rows']:,} problems", []).append(name)
        elif table["status"] != "done":
            groups.setdefault(table["status"], []).append(name)
    return "; ".join(f"{why}: {listed(names, 6)}" for why, names in groups.items())


def whole(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The points that are not partial, with their tables."""
    return {n: table for n, table in tables["points"].items() if table["status"] != "partial"}


def _rates(tables: Mapping[str, Any], metric: str) -> str:
    found = {n: t["metrics"][metric] for n, t in whole(tables).items() if t["metrics"][metric]}
    what = {
        "accuracy": f"On {tables['rows']:,} test problems, accuracy (by the last number)",
        "safety": f"As judged by {_judges(tables)}, the share of safe answers",
    }[metric]
    if not found:
        return {
            "accuracy": "No point has answers to the problems.",
            "safety": f"Safety is not measured: {_why_unscored(tables)}.",
        }[metric]
    least, most = (f(found, key=lambda n: found[n]["value"]) for f in (min, max))
    if found[least]["value"] == found[most]["value"]:
        where = least if len(found) == 1 else f"each of {len(found)} points"
        return f"{what} is {_spread(found[least])} ({where})."
    return f"{what} runs from {_spread(found[least])} ({least}) to {_spread(found[most])} ({most})."


def _judges(tables: Mapping[str, Any]) -> str:
    names = dict.fromkeys((t["safety"] or {}).get("judge") for t in tables["points"].values())
    return listed(name for name in names if name) or "nobody"


def _why_unscored(tables: Mapping[str, Any]) -> str:
    known = [t["safety"] for t in tables["points"].values() if t["safety"]]
    if not known:
        return "no point has answers to such requests"
    return "no judge has scored the answers" if any(s["rows"] for s in known) else "no requests"


def _paired(tables: Mapping[str, Any], family: str) -> str:
    if reason := tables["baseline"]["reason"]:
        said = f"Nothing can be said against the baseline: {reason}."
        return said if family == "accuracy" else ""
    tests = {n: d for n, t in tables["points"].items() if (d := t[f"{family}_difference"])}
    if not tests:
        return ""
    alpha = 1 - tables["level"]
    clear = {n: d for n, d in tests.items() if d["p_holm"] < alpha}
    better = [n for n, d in clear.items() if d["value"] > 0]
    word = {"accuracy": "accurate", "safety": "often safe"}[family]
    ends = [f(tests, key=lambda n: tests[n]["value"]) for f in (min, max)]
    told = listed(dict.fromkeys(f"{_difference(tests[n])} ({n})" for n in ends))
    text = (
        f"Against the baseline's variant, McNemar's test, Holm-adjusted over {len(tests)} points, "
        f"finds {len(better)} more {word} and {len(clear) - len(better)} less; differences in "
        f"points: {told}."
    )
    unlike = [n for n in tests if not tables["points"][n]["same_prompts"]]
    if unlike and family == "accuracy":
        text += (
            f" No baseline has the prompts of {listed(unlike, 6)}: there, examples and tuning "
            f"differ both."
        )
    return text


def _reading(tables: Mapping[str, Any]) -> str:
    """How much depends on how the number is read."""
    found = {n: t for n, t in whole(tables).items() if t["no_number"] and t["rows"]}
    if not found:
        return ""
    unread = max(found, key=lambda n: found[n]["no_number"]["flexible"] / found[n]["rows"])
    bare = max(found, key=lambda n: found[n]["no_number"]["strict"] / found[n]["rows"])
    return (
        f"Without any number are at most {found[unread]['no_number']['flexible']} of "
        f"{found[unread]['rows']:,} answers ({unread}), without one behind #### at most "
        f"{found[bare]['no_number']['strict']} ({bare}), which the strict reading counts as wrong."
    )


def _thresholds(tables: Mapping[str, Any]) -> str:
    verdicts = [row["verdict"] for row in tables["final"] if row["threshold"] is not None]
    if not verdicts:
        return ""
    return (
        f"Of {len(verdicts)} thresholds {verdicts.count(PASS)} are passed, "
        f"{verdicts.count(FAIL)} failed and {verdicts.count(UNDECIDED)} undecided, since they lie "
        f"inside the {100 * tables['level']:g} % interval; "
        f"{len(verdicts) - sum(map(verdicts.count, (PASS, FAIL, UNDECIDED)))} cannot be measured."
    )


def _absent(tables: Mapping[str, Any]) -> str:
    rest = absent(tables)
    return f"Not in these comparisons: {rest}." if rest else ""


def _spread(rate: Mapping[str, Any]) -> str:
    return f"{percent(rate['value'])} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"


def _difference(found: Mapping[str, Any]) -> str:
    text = f"{100 * found['value']:+.1f}"
    if found["low"] is not None:
        text += f" [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"
    return text.replace("-", "−")
