"""What a study found, in sentences made of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from lib.analysis.wording import over_seeds, percent
from lib.config.errors import listed
from lib.config.tasks import PointResult
from lib.tasks.decision.comparison import entries
from lib.tasks.decision.criteria import absent, values


def sentences(points: Sequence[PointResult], tables: Mapping[str, Any]) -> list[str]:
    """The findings, in order; what cannot be said is said to be so."""
    if not values(tables, "acceptance_rate"):
        return ["No point is measured yet."]
    found = [_rates(tables)]
    if reason := tables["baseline"]["reason"]:
        found.append(
            f"Nothing can be said against the baseline, the theory or a moved threshold: {reason}."
        )
    else:
        found += [_theory(tables), _equal_odds(tables), _baseline(tables), _control(tables)]
    found += [_auc(tables), _truth(tables), _seeds(tables)]
    rest = absent(points)
    found.append(f"Not in these numbers: {rest}." if rest else "")
    return [sentence for sentence in found if sentence]


def _rates(tables: Mapping[str, Any]) -> str:
    rates, baseline = values(tables, "acceptance_rate"), tables["baseline"]["name"]
    least, most = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    actual = tables["points"][least]["metrics"]["actual_acceptance_rate"]["value"]
    own = f"; the baseline accepts {percent(rates[baseline])}" if baseline in rates else ""
    return (
        f"On {tables['rows']:,} test papers, of which {percent(actual)} are accepts, acceptance "
        f"rates run from {percent(rates[least])} ({least}) to {percent(rates[most])} ({most}){own}."
    )


def _theory(tables: Mapping[str, Any]) -> str:
    others = entries(tables, "theory", others=True)
    if not others:
        return "Theory cannot be compared: the baseline has no scores, or it is the only point."
    differences = {name: theory["acceptance_minus_expected"] for name, theory in others.items()}
    gaps = {name: abs(difference["value"]) for name, difference in differences.items()}
    worst = max(gaps, key=gaps.__getitem__)
    outside = sum(_excludes(difference, 0) for difference in differences.values())
    text = (
        f"Theory (all scores of the baseline shifted by the change of log γ/k, of log 1/γk for "
        f"weighted rejects) misses the measured acceptance rate by "
        f"{_points(fmean(gaps.values()))} points on average and by {_points(gaps[worst])} at most "
        f"({worst}); the {_level(tables)} interval of the difference excludes 0 for {outside} of "
        f"{len(gaps)} points."
    )
    line = tables["shift_line"]
    if line["slope"] is None:
        return text
    text += f" Scores move by {line['slope']:.3f}"
    text += f" [{line['low']:.3f}, {line['high']:.3f}]" if line["low"] is not None else ""
    text += " logits for each logit that theory expects"
    if line["correlation"] is not None:
        text += f" (correlation over {line['points']} points {line['correlation']:.3f})"
    return f"{text}."


def _equal_odds(tables: Mapping[str, Any]) -> str:
    ranges = [group["acceptance_range"] for group in tables["equal_odds"]]
    if not ranges:
        return ""
    return (
        f"Acceptance rates of points with the same γ/k, which should agree, lie within "
        f"{_points(max(ranges))} points of each other in all {len(ranges)} groups."
    )


def _baseline(tables: Mapping[str, Any]) -> str:
    others = entries(tables, "mcnemar", others=True)
    if not others:
        return ""
    better, worse = _clear(others, entries(tables, "accuracy_difference"), tables)
    return (
        f"Against the baseline as it is, McNemar's test, Holm-adjusted over {len(others)} points, "
        f"finds {len(better)} more accurate and {len(worse)} less."
    )


def _control(tables: Mapping[str, Any]) -> str:
    others = entries(tables, "control", others=True)
    if not others:
        return "A moved threshold cannot be compared: the baseline or the other points are without."
    differences = {name: control["accuracy_difference"] for name, control in others.items()}
    tests = {name: control["mcnemar"] for name, control in others.items()}
    better, worse = _clear(tests, differences, tables)
    smallest = min(difference["value"] for difference in differences.values())
    largest = max(difference["value"] for difference in differences.values())
    text = (
        f"Against the baseline with its threshold moved to the same acceptance rate, accuracy "
        f"differs by {_signed(smallest)} to {_signed(largest)} points, {len(better)} points of the "
        f"grid significantly more accurate and {len(worse)} less"
    )
    if better:
        return f"{text}: weighting did more than a moved threshold at {listed(better, 4)}."
    highs = [d["high"] for d in differences.values() if d["high"] is not None]
    bound = f" (no {_level(tables)} interval reaches beyond {_signed(max(highs))})" if highs else ""
    return f"{text}: no sign that a weight buys what a moved threshold does not{bound}."


def _auc(tables: Mapping[str, Any]) -> str:
    found = {name: metrics["auc"] for name, metrics in entries(tables, "metrics").items()}
    found = {name: auc for name, auc in found.items() if auc["low"] is not None}
    if not found:
        return "AUC is unknown: no point has scores of every row."
    least = min(auc["value"] for auc in found.values())
    most = max(auc["value"] for auc in found.values())
    text = f"AUC lies between {least:.3f} and {most:.3f}"
    paired = entries(tables, "auc_difference").values()
    if paired:
        outside = sum(_excludes(difference, 0) for difference in paired)
        chance = (1 - tables["level"]) * len(paired)
        text += (
            f"; the paired {_level(tables)} interval of its difference from the baseline excludes "
            f"0 for {outside} of {len(paired)} points ({chance:.1f} expected by chance)"
        )
    blind = [name for name, auc in found.items() if not _excludes(auc, 0.5)]
    if len(blind) == len(found):
        return (
            f"{text}. **Every {_level(tables)} interval of AUC includes 0.5: the scores carry "
            f"(almost) no signal, and accuracies differ with the acceptance rate alone.**"
        )
    if blind:
        text += (
            f". **For {len(blind)} of {len(found)} points its interval includes 0.5: their scores "
            f"carry (almost) no signal ({listed(blind, 4)})**"
        )
    return f"{text}."


def _truth(tables: Mapping[str, Any]) -> str:
    if not tables["truth"]:
        return ""
    accuracies = values(tables, "accuracy")
    best = max(accuracies, key=accuracies.__getitem__)
    known = [truth["correlation"] for truth in entries(tables, "truth").values()]
    known = [correlation for correlation in known if correlation is not None]
    text = (
        f"The corpus is synthetic: the Bayes rule reaches an accuracy of "
        f"{percent(tables['truth']['bayes_accuracy'])} on these papers, the best point "
        f"{percent(accuracies[best])} ({best})"
    )
    if known:
        text += f"; scores correlate with the true log-odds by {min(known):.3f} to {max(known):.3f}"
    return f"{text}."


def _seeds(tables: Mapping[str, Any]) -> str:
    text = "Intervals speak of other test papers, not of other training runs"
    return over_seeds(text, (group["metrics"]["accuracy"]["sd"] for group in tables["seeds"]))


def _clear(
    tests: Mapping[str, Any], differences: Mapping[str, Any], tables: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Names of the points that are better, and worse, by Holm-adjusted tests at 1 − level."""
    alpha = 1 - tables["level"]
    clear = [
        n for n, test in tests.items() if test["p_holm"] is not None and test["p_holm"] < alpha
    ]
    better = [name for name in clear if differences[name]["value"] > 0]
    return better, [name for name in clear if name not in better]


def _excludes(interval: Mapping[str, Any], value: float) -> bool:
    return interval["low"] is not None and not interval["low"] <= value <= interval["high"]


def _level(tables: Mapping[str, Any]) -> str:
    return f"{100 * tables['level']:g} %"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f}"


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")
