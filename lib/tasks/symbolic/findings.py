"""What a study of templated problems found, in sentences made of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import percent
from lib.config.errors import listed
from lib.tasks.symbolic.comparison import AWAY, FAMILIES, HOME
from lib.tasks.symbolic.criteria import TITLES, difference
from lib.tasks.symbolic.samples import ALL, whole

NAMES = {"accuracy": "greedy accuracy", "majority": "the majority of all samples",
         "best": "the best of all samples"}  # fmt: skip


def sentences(made: Mapping[str, Any]) -> list[str]:
    """The findings, in order; what cannot be said is said to be so."""
    shown = measured(made)
    if not shown:
        found = ["No point has answers to the test questions."]
    else:
        found = [_accuracy(shown, place, made) for place in made["sets"] if place != ALL]
        found += [_tuned(made, family) for family in FAMILIES]
        found += [_transfer(shown, place) for place in AWAY if place in made["sets"]]
        found += [_samples(shown), _rewards(shown), _failures(shown), _unread(shown)]
    rest = absent(made)
    found.append(f"Not in these comparisons: {rest}." if rest else "")
    return [sentence for sentence in found if sentence]


def measured(made: Mapping[str, Any]) -> dict[str, Any]:
    """The points with answers to every test row, with their tables."""
    return {n: t for n, t in made["points"].items() if t["sets"] and t["status"] != "partial"}


def absent(made: Mapping[str, Any]) -> str:
    """`missing: a, b; diverged: c; 20 of 300 questions: d`, nothing where all is measured."""
    groups: dict[str, list[str]] = {}
    for name, table in made["points"].items():
        if table["status"] == "partial":
            groups.setdefault(f"{table['rows']} of {made['rows']} questions", []).append(name)
        elif not table["sets"]:
            groups.setdefault(table["status"], []).append(name)
    return "; ".join(f"{why}: {listed(names, 6)}" for why, names in groups.items())


def spread(found: Mapping[str, Any]) -> str:
    """`31.2 % [25.9, 37.0]`."""
    text = percent(found["value"])
    if found["low"] is not None:
        text += f" [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
    return text


def _accuracy(shown: Mapping[str, Any], place: str, made: Mapping[str, Any]) -> str:
    rates = {n: t["sets"][place]["accuracy"] for n, t in shown.items()}
    least, most = (f(rates, key=lambda n: rates[n]["value"]) for f in (min, max))
    what = f"On {made['sets'][place]} {TITLES[place]}, greedy accuracy"
    if rates[least]["value"] == rates[most]["value"]:
        where = least if len(rates) == 1 else f"each of {len(rates)} points"
        return f"{what} is {spread(rates[least])} ({where})."
    return f"{what} runs from {spread(rates[least])} ({least}) to {spread(rates[most])} ({most})."


def _tuned(made: Mapping[str, Any], family: str) -> str:
    """What tuning gains by set, and how many of a family's tests are clear."""
    tests = [
        (name, place, found)
        for name, table in made["points"].items()
        for place, of_set in table["differences"].items()
        if (found := of_set[family])
    ]
    if not tests:
        said = "No tuned point can be compared with its base model."
        return said if family == FAMILIES[0] else ""
    clear = [found for *_, found in tests if found["p_holm"] < 1 - made["level"]]
    better = sum(found["value"] > 0 for found in clear)
    each = []
    for place in dict.fromkeys(place for _, place, _ in tests):
        of_set = {name: found for name, where, found in tests if where == place}
        ends = [f(of_set, key=lambda n: of_set[n]["value"]) for f in (min, max)]
        told = " to ".join(f"{difference(of_set[n])} ({n})" for n in dict.fromkeys(ends))
        each.append(f"{told} on {TITLES[place]}")
    return (
        f"Tuned minus base, by {NAMES[family]}: {'; '.join(each)}. Of {len(tests)} paired tests, "
        f"Holm-adjusted, {better} are significantly better and {len(clear) - better} significantly "
        f"worse."
    )


def _transfer(shown: Mapping[str, Any], place: str) -> str:
    """How far accuracy falls from trained templates to another set, before and after tuning."""
    known = {n: t for n, t in shown.items() if t["transfer"].get(place)}
    each = []
    for tuned, word in ((False, "base"), (True, "tuned")):
        some = {n: t["transfer"][place] for n, t in known.items() if t["tuned"] == tuned}
        if some:
            ends = [f(some, key=lambda n: some[n]["value"]) for f in (min, max)]
            told = " to ".join(f"{difference(some[n])} ({n})" for n in dict.fromkeys(ends))
            each.append(f"{told} of {word} points")
    if not each:
        return ""
    return (
        f"Accuracy on {TITLES[HOME]} minus that on {TITLES[place]}: {'; '.join(each)}. The sets "
        f"may differ in difficulty too, which only the base points tell."
    )


def _samples(shown: Mapping[str, Any]) -> str:
    having = {n: t for n, t in shown.items() if t["samples"] and t["draws"]}
    if not having:
        return "No samples were drawn: nothing is known of votes."
    each = []
    for name, table in having.items():
        n, found = str(max(table["draws"])), whole(table["sets"])["votes"]
        one = whole(table["sets"])["votes"]["majority"]["subsets"].get("1")
        told = [f"one sample {percent(one['value'])}"] if one else []
        for strategy, label in (("majority", f"majority of {n}"), ("best", f"best of {n}"),
                                ("weighted", "weighted vote"), ("pass", f"pass@{n}")):  # fmt: skip
            value = found[strategy]["subsets"][n]["value"]
            told += [f"{label} {percent(value)}"] if value is not None else []
        each.append(f"{name}: {', '.join(told)}")
    return f"Over all questions and subsets of samples: {'; '.join(each[:6])}" + (
        f"; and {len(each) - 6} more points in votes.csv." if len(each) > 6 else "."
    )


def _rewards(shown: Mapping[str, Any]) -> str:
    found = {n: r for n, t in shown.items() if (r := whole(t["sets"])["reward"])}
    if not found:
        return "Best of n is not measured: no reward model has scored the samples."
    aucs = {n: r["auc"] for n, r in found.items() if r["auc"]["value"] is not None}
    judges = listed(dict.fromkeys(shown[n]["judge"] for n in found))
    if not aucs:
        return f"Rewards by {judges}; no question has both right and wrong samples."
    least, most = (f(aucs, key=lambda n: aucs[n]["value"]) for f in (min, max))
    ends = dict.fromkeys((least, most))
    told = listed(f"{_auc(aucs[n])} ({n}, {found[n]['questions']} questions)" for n in ends)
    return (
        f"A right sample has more reward than a wrong one of its question (by {judges}; chance is "
        f"0.5) with probability {told}."
    )


def _auc(found: Mapping[str, Any]) -> str:
    text = f"{found['value']:.2f}"
    return text + ("" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]")


def _failures(shown: Mapping[str, Any]) -> str:
    having = {n: whole(t["sets"]) for n, t in shown.items() if t["samples"]}
    each = []
    for name, found in having.items():
        failed = found["failures"]
        told = f"majority {failed['majority']}"
        told += "" if failed["best"] is None else f", best of n {failed['best']}"
        each.append(f"{name}: {told} of {found['solvable']}")
    if not each:
        return ""
    return f"Wrong although a right sample is there: {listed(each, 6)} such questions."


def _unread(shown: Mapping[str, Any]) -> str:
    """Answers without a number, and those that the reward model could not read."""
    having = {n: whole(t["sets"])["no_number"] for n, t in shown.items()}
    worst = max(having, key=lambda n: having[n]["samples"] + having[n]["greedy"])
    table, found = shown[worst], having[worst]
    text = (
        f"Without a number are at most {found['greedy']} of {table['rows']} greedy answers and "
        f"{found['samples']} of {table['rows'] * table['samples']} samples ({worst}); they are "
        f"wrong and do not vote."
    )
    lost = {n: t["judge_unread"] for n, t in shown.items() if t["judge_unread"]}
    if lost:
        name = max(lost, key=lambda n: lost[n])
        text += f" The reward model could not read at most {lost[name]} samples ({name}), which "
        text += "best of n never chooses."
    return text
