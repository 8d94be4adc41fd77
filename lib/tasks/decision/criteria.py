"""The study's success criteria with verdicts, and what it found, in sentences made of its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lib.errors import listed
from lib.tasks import PointResult

PASS, FAIL, UNKNOWN = "pass", "fail", "not measurable"
RATES = (0.30, 0.70)  # that the acceptance rates shall reach
ACCURACY = 0.60  # that most points shall exceed
ABSENT = ("missing", "partial")  # may still come; a diverged run is a result


def judge(points: Sequence[PointResult], tables: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each criterion with its verdict and its number, in the order of the original study.

    What points that may still come could change is "not measurable", not "pass" or "fail".
    """
    found = [_trained, _complete, _monotonic, _span, _accurate, _plots]
    keys = ("criterion", "verdict", "number")
    return [dict(zip(keys, one(points, tables), strict=True)) for one in found]


def markdown(tables: Mapping[str, Any]) -> str:
    """criteria.md: the findings as one paragraph, the criteria as a table."""
    lines = ["# What the study found", "", " ".join(tables["findings"]), "", "# Success criteria",
             "", "| criterion | verdict | number |", "| --- | --- | --- |"]  # fmt: skip
    for row in tables["criteria"]:
        cells = (row[key].replace("|", "\\|") for key in ("criterion", "verdict", "number"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def absent(points: Iterable[PointResult]) -> str:
    """`missing: a, b; diverged: c`, or an empty string when every point is done."""
    by_status: dict[str, list[str]] = {}
    for point in points:
        if point.status != "done":
            by_status.setdefault(point.status, []).append(point.name)
    return "; ".join(f"{status}: {listed(by_status[status], 6)}" for status in sorted(by_status))


def _trained(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    done = sum(point.status == "done" for point in points)
    number = f"{done} of {len(points)}" + (f"; {absent(points)}" if done < len(points) else "")
    return "all points trained", PASS if done == len(points) else FAIL, number


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
        number += (f"; mean probability on neither answer at most {neither[worst]:.2g} ({worst})")
    verdict = PASS if not unknown and len(present) == len(points) else FAIL
    return "all predictions valid and complete", verdict, number


def _monotonic(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    what = "effect of γ on the acceptance rate monotonic within each variant and ratio"
    trends = [trend for trend in tables["trends"] if trend["monotonic"] is not None]
    if not trends:
        return what, UNKNOWN, "no line has two measured levels of γ"
    pairs = {key: sum(trend["pairs"][key] for trend in trends) for key in trends[0]["pairs"]}
    total = pairs["in_order"] + pairs["equal"] + pairs["reversed"]
    number = f"{pairs['in_order']} of {total} neighbouring pairs of γ in order"
    if pairs["equal"]:
        number += f", {pairs['equal']} equal"
    if pairs["reversed"]:
        number += (f", {pairs['reversed']} reversed ({pairs['reversed_clearly']} with an interval "
                   f"without 0)")  # fmt: skip
    number += f", {len(trends)} lines"
    pages = [f"{_line_name(trend)} {_p(trend['page']['p_holm'])}"
             for trend in trends if trend["page"]["p_value"] is not None]  # fmt: skip
    few = sum(trend["page"]["p_value"] is None for trend in trends)
    if pages:
        number += f"; Page's trend of the log-odds, Holm-adjusted: {listed(pages, 8)}"
    if few:
        number += f"; Page's test not measurable in {few} (fewer than 3 levels, or no scores)"
    if not all(trend["monotonic"] for trend in trends):
        return what, FAIL, number
    waiting = [p.name for p in points if p.status in ABSENT]
    if any(name in waiting for trend in tables["trends"] for name in trend["absent"]):
        return what, UNKNOWN, f"{number}; {absent(points)}"
    return what, PASS, number


def _span(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    low, high = RATES
    what = f"acceptance rates span {low:.0%} to {high:.0%}".replace("%", " %")
    rates = _values(tables, "acceptance_rate")
    if not rates:
        return what, UNKNOWN, "no point is measured"
    least, most = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    number = f"{percent(rates[least])} ({least}) to {percent(rates[most])} ({most})"
    if rates[least] <= low and rates[most] >= high:
        return what, PASS, number
    return what, _failed_unless_waiting(points), number


def _accurate(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    what = f"accuracy above {ACCURACY:.0%} for most points".replace("%", " %")
    values = _values(tables, "accuracy")
    if not values:
        return what, UNKNOWN, "no point is measured"
    above = sum(value > ACCURACY for value in values.values())
    bounds = sum((tables["points"][name]["metrics"]["accuracy"]["low"] or 0) > ACCURACY
                 for name in values)  # fmt: skip
    number = (f"{above} of {len(points)} points; lower bound above it for {bounds}; "
              f"{percent(min(values.values()))} to {percent(max(values.values()))}")  # fmt: skip
    if above > len(points) / 2:
        return what, PASS, number
    waiting = sum(point.status in ABSENT for point in points)
    return what, UNKNOWN if above + waiting > len(points) / 2 else FAIL, number


def _plots(points: Sequence[PointResult], tables: Mapping[str, Any]) -> tuple[str, str, str]:
    return "plots show the effect", UNKNOWN, (
        "no program can judge: see comparison_acceptance_rate, comparison_heatmap_acceptance_rate "
        "and comparison_theory"
    )  # fmt: skip


def findings(points: Sequence[PointResult], tables: Mapping[str, Any]) -> list[str]:
    """What the points say against theory and against a moved threshold; every number computed."""
    rates = _values(tables, "acceptance_rate")
    if not rates:
        return ["No point is measured yet."]
    level = f"{100 * tables['level']:g} %"
    found = [_rates_sentence(rates, tables)]
    if tables["baseline"]["reason"]:
        found.append(f"Nothing can be said against the baseline, the theory or a moved threshold: "
                     f"{tables['baseline']['reason']}.")  # fmt: skip
    else:
        found += [_theory_sentence(tables, level), _control_sentence(tables, level)]
    found += [_auc_sentence(tables, level), _truth_sentence(tables), _seeds_sentence(tables)]
    if rest := absent(points):
        found.append(f"Not in these numbers: {rest}.")
    return [sentence for sentence in found if sentence]


def _rates_sentence(rates: Mapping[str, float], tables: Mapping[str, Any]) -> str:
    least, most = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    actual = tables["points"][least]["metrics"]["actual_acceptance_rate"]["value"]
    text = (f"On {tables['rows']:,} test papers, of which {percent(actual)} are accepts, acceptance "
            f"rates run from {percent(rates[least])} ({least}) to {percent(rates[most])} "
            f"({most})")  # fmt: skip
    baseline = tables["baseline"]["name"]
    return text + (f"; the baseline accepts {percent(rates[baseline])}." if baseline in rates
                   else ".")  # fmt: skip


def _theory_sentence(tables: Mapping[str, Any], level: str) -> str:
    others = {n: t["theory"] for n, t in tables["points"].items()
              if t["theory"] and n != tables["baseline"]["name"]}  # fmt: skip
    if not others:
        return "Theory cannot be compared: the baseline has no scores, or it is the only point."
    gaps = {name: t["acceptance_minus_expected"]["value"] for name, t in others.items()}
    worst = max(gaps, key=lambda name: abs(gaps[name]))
    outside = sum(_excludes(t["acceptance_minus_expected"], 0) for t in others.values())
    text = (f"Theory (a shift of the baseline's scores by the change of log γ/k, or of log 1/γk for "
            f"weighted rejects) misses the measured acceptance rate by "
            f"{_points(sum(abs(g) for g in gaps.values()) / len(gaps))} points on average and by "
            f"{_points(abs(gaps[worst]))} at most ({worst}); the {level} interval of the difference "
            f"excludes 0 for {outside} of {len(gaps)} points.")  # fmt: skip
    line = tables["shift_line"]
    if line["slope"] is not None:
        text += f" Scores move by {line['slope']:.2f}"
        if line["low"] is not None:
            text += f" [{line['low']:.2f}, {line['high']:.2f}]"
        text += " logits for each logit that theory expects"
        if line["correlation"] is not None:
            text += f" (correlation over {line['points']} points {line['correlation']:.3f})"
        text += "."
    return text


def _control_sentence(tables: Mapping[str, Any], level: str) -> str:
    others = {n: t["control"] for n, t in tables["points"].items()
              if t["control"] and n != tables["baseline"]["name"]}  # fmt: skip
    if not others:
        return "A moved threshold cannot be compared: the baseline has no scores, or no other point is measured."
    gaps = {name: control["accuracy_difference"] for name, control in others.items()}
    better = [n for n, c in others.items() if _significant(c["mcnemar"], tables) and gaps[n]["value"] > 0]
    worse = [n for n, c in others.items() if _significant(c["mcnemar"], tables) and gaps[n]["value"] < 0]
    values = [gap["value"] for gap in gaps.values()]
    text = (f"Against the baseline with its threshold moved to the same acceptance rate, accuracy "
            f"differs by {_signed(min(values))} to {_signed(max(values))} points; McNemar's test, "
            f"Holm-adjusted over {len(others)} points, finds {len(better)} better and "
            f"{len(worse)} worse")  # fmt: skip
    if better:
        return text + f" (better: {listed(better, 4)}): there weighting did more than a moved threshold."
    highs = [gap["high"] for gap in gaps.values() if gap["high"] is not None]
    text += ": no sign that weighting buys anything that a moved threshold does not"
    if highs:
        text += f" (the largest upper bound of a {level} interval is {_signed(max(highs))} points)"
    return text + "."


def _auc_sentence(tables: Mapping[str, Any], level: str) -> str:
    present = {n: t["metrics"]["auc"] for n, t in tables["points"].items()
               if t["metrics"] and t["metrics"]["auc"]["value"] is not None}  # fmt: skip
    if not present:
        return "No point has scores of every row, so that AUC and calibration are unknown."
    values = [metric["value"] for metric in present.values()]
    text = f"AUC lies between {min(values):.3f} and {max(values):.3f}"
    paired = [t["auc_difference"] for t in tables["points"].values() if t["auc_difference"]]
    if paired:
        outside = sum(_excludes(difference, 0) for difference in paired)
        chance = (1 - tables["level"]) * len(paired)
        text += (f"; the paired {level} interval of its difference from the baseline excludes 0 for "
                 f"{outside} of {len(paired)} points ({chance:.1f} expected by chance)")  # fmt: skip
    text += "."
    blind = [name for name, metric in present.items() if not _excludes(metric, 0.5)]
    if len(blind) == len(present):
        text += (f" **Every point's {level} interval of AUC includes 0.5: the scores carry (almost) "
                 f"no signal, and differences in accuracy are about the acceptance rate alone.**")  # fmt: skip
    elif blind:
        text += (f" **For {len(blind)} of {len(present)} points the interval includes 0.5: their "
                 f"scores carry (almost) no signal ({listed(blind, 4)}).**")  # fmt: skip
    return text


def _truth_sentence(tables: Mapping[str, Any]) -> str:
    values = _values(tables, "accuracy")
    if not tables["truth"] or tables["truth"]["bayes_accuracy"] is None or not values:
        return ""
    best = max(values, key=values.__getitem__)
    text = (f"The corpus is synthetic: the Bayes rule reaches {percent(tables['truth']['bayes_accuracy'])} "
            f"accuracy on these rows, the best point {percent(values[best])} ({best})")  # fmt: skip
    known = [t["truth"]["correlation"] for t in tables["points"].values()
             if t["truth"] and t["truth"]["correlation"] is not None]  # fmt: skip
    if known:
        text += (f"; scores correlate with the true log-odds by {min(known):.3f} to "
                 f"{max(known):.3f}")  # fmt: skip
    return text + "."


def _seeds_sentence(tables: Mapping[str, Any]) -> str:
    spreads = [group["metrics"]["accuracy"]["sd"] for group in tables["seeds"]]
    spreads = [sd for sd in spreads if sd is not None]
    if not spreads:
        return ("Intervals speak of other test papers; with one seed a setting, nothing here tells how "
                "far another training run would differ.")  # fmt: skip
    return (f"Intervals speak of other test papers; over seeds the standard deviation of accuracy is "
            f"{_points(min(spreads))} to {_points(max(spreads))} points in {len(spreads)} "
            f"settings.")  # fmt: skip


def _values(tables: Mapping[str, Any], metric: str) -> dict[str, float]:
    """Value of a metric by point, where it is known."""
    return {name: table["metrics"][metric]["value"] for name, table in tables["points"].items()
            if table["metrics"] and table["metrics"][metric]["value"] is not None}  # fmt: skip


def _failed_unless_waiting(points: Sequence[PointResult]) -> str:
    return UNKNOWN if any(point.status in ABSENT for point in points) else FAIL


def _line_name(trend: Mapping[str, Any]) -> str:
    rest = "".join(f" {axis} {value}" for axis, value in trend["rest"].items())
    return f"{trend['variant']} {trend['ratio']} seed {trend['seed']}{rest}"


def _significant(test: Mapping[str, Any], tables: Mapping[str, Any]) -> bool:
    return test["p_holm"] is not None and test["p_holm"] < 1 - tables["level"]


def _excludes(interval: Mapping[str, Any], value: float) -> bool:
    return interval["low"] is not None and not interval["low"] <= value <= interval["high"]


def percent(rate: float | None) -> str:
    """0.1234 → `12.3 %`."""
    return "unknown" if rate is None else f"{100 * rate:.1f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f}"


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return "p unknown"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
