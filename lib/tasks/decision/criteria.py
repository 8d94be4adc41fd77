"""The success criteria of the original study, each with a verdict and its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lib.analysis.wording import COLUMNS, FAIL, FINAL, PASS, UNKNOWN, percent
from lib.config.errors import listed
from lib.config.tasks import PointResult
from lib.tasks.decision.comparison import entries

RATES = (0.30, 0.70)  # that the acceptance rates shall reach
ACCURACY = 0.60  # that most points shall exceed


def judge(points: Sequence[PointResult], tables: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each criterion with its verdict and its number, in the order of the original study.

    What points that may still come could change is "not measurable", not "pass" or "fail".
    """
    found = [_trained, _complete, _monotonic, _span, _accurate, _plots]
    return [dict(zip(COLUMNS, one(points, tables), strict=True)) for one in found]


def absent(points: Iterable[PointResult]) -> str:
    """`missing: a, b; diverged: c`, or an empty string when every point is done."""
    by_status: dict[str, list[str]] = {}
    for point in points:
        if point.status != "done":
            by_status.setdefault(point.status, []).append(point.name)
    return "; ".join(f"{status}: {listed(by_status[status], 6)}" for status in sorted(by_status))


def _trained(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    untrained = [point for point in points if point.status in ("missing", "diverged")]
    number = f"{len(points) - len(untrained)} of {len(points)}"
    number += f"; {absent(untrained)}" if untrained else ""
    return "all points trained", FAIL if untrained else PASS, number


def _complete(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    """Every point has a known answer to every row."""
    present = {n: t for n, t in tables["points"].items() if t["metrics"]}
    if not present:
        return "all predictions valid and complete", UNKNOWN, "no point has predictions"
    unknown = {name: table["unknown"] for name, table in present.items() if table["unknown"]}
    rows = sum(table["rows"] for table in present.values())
    number = f"{sum(unknown.values())} of {rows:,} answers unknown"
    if unknown:
        number += f" ({listed((f'{name}: {n}' for name, n in unknown.items()), 4)})"
    number += f"; predictions of {len(present)} of {len(points)} points"
    neither = {n: t["neither_mean"] for n, t in present.items() if t["neither_mean"] is not None}
    if neither:
        worst = max(neither, key=neither.__getitem__)
        number += f"; mean probability on neither answer at most {neither[worst]:.2g} ({worst})"
    verdict = PASS if not unknown and len(present) == len(points) else FAIL
    return "all predictions valid and complete", verdict, number


def _monotonic(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    """No pair of neighbouring γ is reversed, and some pair is in order."""
    what = "effect of γ on the acceptance rate monotonic within each variant and ratio"
    trends = [trend for trend in tables["trends"] if trend["monotonic"] is not None]
    if not trends:
        return what, UNKNOWN, "no line has two measured levels of γ"
    pairs = Counter()
    for trend in trends:
        pairs.update(trend["pairs"])
    total = pairs["in_order"] + pairs["equal"] + pairs["reversed"]
    number = [
        f"{pairs['in_order']} of {total} neighbouring pairs of γ in order, {pairs['equal']} equal, "
        f"{pairs['reversed']} reversed ({pairs['reversed_significantly']} significantly), "
        f"in {len(trends)} of {len(tables['trends'])} lines"
    ]
    tested = [trend for trend in trends if trend["page"]["p_value"] is not None]
    if tested:
        found = listed((f"{_line_name(t)} {_p(t['page']['p_holm'])}" for t in tested), 8)
        number.append(f"Page's trend of the log-odds, Holm-adjusted: {found}")
    if len(tested) < len(trends):
        few = f"Page's trend not measurable in {len(trends) - len(tested)}"
        number.append(f"{few} (fewer than 3 levels, or no scores)")
    if pairs["reversed"] or not pairs["in_order"]:
        return what, FAIL, "; ".join(number)
    waiting = {point.name for point in points if point.status not in FINAL}
    if waiting & {name for trend in tables["trends"] for name in trend["absent"]}:
        return what, UNKNOWN, "; ".join([*number, absent(points)])
    return what, PASS, "; ".join(number)


def _span(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    low, high = RATES
    what = f"acceptance rates span {low:.0%} to {high:.0%}".replace("%", " %")
    rates = values(tables, "acceptance_rate")
    if not rates:
        return what, UNKNOWN, "no point is measured"
    least, most = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    number = f"{percent(rates[least])} ({least}) to {percent(rates[most])} ({most})"
    if rates[least] <= low and rates[most] >= high:
        return what, PASS, number
    return what, _failed_unless_waiting(points), number


def _accurate(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    what = f"accuracy above {ACCURACY:.0%} for most points".replace("%", " %")
    found = values(tables, "accuracy")
    if not found:
        return what, UNKNOWN, "no point is measured"
    above = sum(value > ACCURACY for value in found.values())
    bounds = sum(
        (tables["points"][name]["metrics"]["accuracy"]["low"] or 0) > ACCURACY for name in found
    )
    number = (
        f"{above} of {len(points)} points; lower bound above it for {bounds}; "
        f"{percent(min(found.values()))} to {percent(max(found.values()))}"
    )
    if above > len(points) / 2:
        return what, PASS, number
    waiting = sum(point.status not in FINAL for point in points)
    return what, UNKNOWN if above + waiting > len(points) / 2 else FAIL, number


def _plots(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    where = "comparison_acceptance_rate, comparison_heatmap_acceptance_rate and comparison_theory"
    return "plots show the effect", UNKNOWN, f"no program can judge: see {where}"


def _failed_unless_waiting(points: Sequence[PointResult]) -> str:
    return UNKNOWN if any(point.status not in FINAL for point in points) else FAIL


def _line_name(trend: Mapping[str, Any]) -> str:
    rest = "".join(f" {axis} {value}" for axis, value in trend["rest"].items())
    return f"{trend['variant']} {trend['ratio']} seed {trend['seed']}{rest}"


def values(tables: Mapping[str, Any], metric: str) -> dict[str, float]:
    """Value of a metric by point, where it is known."""
    found = {name: metrics[metric]["value"] for name, metrics in entries(tables, "metrics").items()}
    return {name: value for name, value in found.items() if value is not None}


def _p(value: float | None) -> str:
    if value is None:
        return "p unknown"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
