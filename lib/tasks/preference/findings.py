"""What a study of preferences found, in sentences made of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import absent, over_seeds, percent, spread
from lib.config.errors import listed


def sentences(tables: Mapping[str, Any]) -> list[str]:
    """The findings, in order; what cannot be said is said to be so."""
    found = [_divergence(tables)]
    if not _known(tables, "accuracy"):
        found.insert(0, "No point is measured yet.")
    else:
        found = [_accuracy(tables), _controls(tables), *found, _methods(tables, "accuracy")]
        found += [_baseline(tables), _variance(tables, "accuracy"), _judge(tables), _seeds(tables)]
    found.append(_absent(tables))
    return [sentence for sentence in found if sentence]


def _known(tables: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    """Settings with a mean of this number, lowest first."""
    having = [s for s in tables["settings"] if s["metrics"][metric]["mean"] is not None]
    return sorted(having, key=lambda s: s["metrics"][metric]["mean"])


def _accuracy(tables: Mapping[str, Any]) -> str:
    having = _known(tables, "accuracy")
    least, most = (_interval(s, "accuracy", 100, 1, " %") for s in (having[0], having[-1]))
    several = any(s["metrics"]["accuracy"]["sd"] is not None for s in having)
    return (
        f"On {tables['rows']:,} test pairs, the implicit reward prefers the chosen response in "
        f"{least} to {most} of them{', means over seeds' if several else ''}."
    )


def _interval(
    found: Mapping[str, Any], measure: str, scale: float, digits: int, unit: str = ""
) -> str:
    """`61.2 [57.7, 64.6] % (DPO, β 0.5)`: the mean of a setting with its interval."""
    low, high = (found["interval"][measure][key] for key in ("low", "high"))
    text = f"{scale * found['metrics'][measure]['mean']:.{digits}f}"
    text += "" if low is None else f" [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
    return f"{text}{unit} ({found['label']})"


def _controls(tables: Mapping[str, Any]) -> str:
    """What can be had without training: the length alone, and the model as it was."""
    one = next(p["metrics"] for p in tables["points"].values() if p["metrics"])
    longer, shorter, before = (
        one[key]["value"] for key in ("longer_wins", "shorter_wins", "reference_ranking_sum")
    )
    if longer is None or before is None:
        return ""
    word, share = ("longer", longer) if longer >= shorter else ("shorter", shorter)
    ranked = _known(tables, "ranking_sum")
    most = ranked[-1]["metrics"]["ranking_sum"]["mean"]
    return (
        f"Always taking the {word} response is right in {percent(share)}; the summed "
        f"log-probability ranks {percent(before)} correctly before training and at most "
        f"{percent(most)} after it ({ranked[-1]['label']})."
    )


def _divergence(tables: Mapping[str, Any]) -> str:
    by_line: dict[str, list[int]] = {}
    for entry in tables["settings"]:
        finished = sum(status in ("done", "diverged") for status in entry["statuses"])
        counts = by_line.setdefault(entry["line"], [0, 0])
        counts[0] += entry["diverged"]
        counts[1] += finished
    total = sum(diverged for diverged, _ in by_line.values())
    finished = sum(count for _, count in by_line.values())
    if not total:
        return f"None of {finished} finished runs diverged." if finished else ""
    each = [f"{line} {diverged} of {n}" for line, (diverged, n) in by_line.items() if diverged]
    return f"Of {finished} finished runs {total} diverged: {listed(each, 6)}."


def _methods(tables: Mapping[str, Any], measure: str) -> str:
    name = "methods" if measure == "accuracy" else f"methods_{measure}"
    family = tables["significance"]["families"].get(name)
    if not family or not family["size"]:
        return "" if measure != "accuracy" else "No two methods share a β here."
    clear = _significant(family, tables)
    noun = "accuracy" if measure == "accuracy" else "MT-Bench mean"
    text = (
        f"Between methods at equal β, {len(clear)} of {family['size']} paired differences in "
        f"{noun} are significant at {100 - 100 * tables['level']:g} % after Holm's adjustment"
    )
    scale, unit, digits = (100, "points", 1) if measure == "accuracy" else (1, "points", 2)
    clear.sort(key=lambda test: -abs(test["difference"]["value"]))
    told = [
        f"{t['a']} − {t['b'].split(', β')[0]} {spread(t['difference'], scale, unit, digits)}"
        for t in clear
    ]
    return f"{text}{f'; the largest: {listed(told[:3], 3)}' if told else ''}."


def _baseline(tables: Mapping[str, Any]) -> str:
    if reason := tables["baseline"]["reason"]:
        return f"Nothing can be said against the baseline: {reason}."
    family = tables["significance"]["families"].get("baseline")
    if not family or not family["size"]:
        return ""
    known = [t for t in family["members"] if t["rate"]["value"] is not None]
    if not known:
        return ""
    best = max(known, key=lambda test: test["rate"]["value"])
    clear = _significant(family, tables)
    better = sum(test["difference"]["value"] > 0 for test in clear)
    return (
        f"Against the baseline {tables['baseline']['label']}, {better} of {family['size']} "
        f"settings are significantly more accurate and {len(clear) - better} less after Holm's "
        f"adjustment; the highest improvement rate is {spread(best['rate'], 100, '%')} "
        f"({best['a']})."
    )


def _variance(tables: Mapping[str, Any], measure: str) -> str:
    found = tables["variance"].get(measure)
    if not found:
        return ""
    lines = [line for line in found["lines"] if line["variance"]["value"] is not None]
    if not lines:
        return "No method has two measured β, so nothing is known of the variance over β."
    each = [
        f"{line['label']} {100 * line['variance']['value'] ** 0.5:.1f} ({len(line['betas'])} β)"
        for line in lines
    ]
    text = f"Standard deviation of accuracy over β, in points: {listed(each, 8)}."
    known = [r for r in found["reductions"] if r["value"] is not None]
    if known:
        told = [f"{r['label']} {spread(r, 100, '%', 0)}" for r in known]
        text += f" Reduction of that variance from {known[0]['against']}: {listed(told, 8)}."
    return text


def _judge(tables: Mapping[str, Any]) -> str:
    rated, having = tables["mt_bench"], _known(tables, "mt_bench")
    if rated["reason"] or not having:
        return f"MT-Bench tells nothing here: {rated['reason'] or 'no point has a mean'}."
    least, most = (_interval(having[i], "mt_bench", 1, 2) for i in (0, -1))
    text = (
        f"The MT-Bench mean, rated from 1 to 10 by {rated['judge']}, runs from {least} to {most}; "
        f"{rated['parse_failures']} of {rated['parse_failures'] + rated['judged']:,} judgements "
        f"have no rating."
    )
    if rated["parse_failures"] + rated["unjudged"]:
        widest = _widest(tables)
        text += f" Were every turn without rating a 1 or a 10, a mean could move by {widest:.2f}."
    if rated["unjudged"]:
        text += (
            f" {rated['unjudged']:,} turns were never judged, so means rest on different questions;"
            f" paired differences rest on those that both sides have."
        )
    return " ".join([text, _methods(tables, "mt_bench")]).strip()


def _widest(tables: Mapping[str, Any]) -> float:
    """How far missing ratings could move the mean of a point, at most."""
    found = [p["mt_bench"] for p in tables["points"].values() if p["mt_bench"]]
    return max(
        (abs(bound - t["mean"]) for t in found for bound in t.get("bounds") or ()), default=0.0
    )


def _seeds(tables: Mapping[str, Any]) -> str:
    text = "Intervals, tests and verdicts speak of other test items, not of other training runs"
    return over_seeds(text, (s["metrics"]["accuracy"]["sd"] for s in tables["settings"]))


def _absent(tables: Mapping[str, Any]) -> str:
    rest = absent(tables)
    unscored = [name for name, point in tables["points"].items() if point["unscored"]]
    if unscored:
        rest += f"{'; ' if rest else ''}with pairs without finite scores: {listed(unscored, 6)}"
    return f"Not in these numbers: {rest}." if rest else ""


def _significant(family: Mapping[str, Any], tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    alpha = 1 - tables["level"]
    return [t for t in family["members"] if t["p_holm"] is not None and t["p_holm"] < alpha]
