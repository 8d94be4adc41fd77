"""Figures of templated problems over all points: transfer, votes, answers, rewards, training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lib.config.tasks import PointResult
from lib.plotting.curves import learning_curves
from lib.plotting.figures import heatmap, intervals, panels
from lib.plotting.shapes import Panel, Series, Table, category
from lib.tasks.symbolic.comparison import AWAY, HOME
from lib.tasks.symbolic.evaluate import SHARES
from lib.tasks.symbolic.findings import absent, measured
from lib.tasks.symbolic.point_figures import LABELS, SHORT, WHOLE, point_figures, vote_panel
from lib.tasks.symbolic.samples import ALL, whole

__all__ = ["comparison_figures", "point_figures"]

MOST = 9  # points whose votes are drawn as lines; of more there is a heatmap
MIDDLE, LOWER, UPPER = (SHARES.index(share) for share in (0.5, 0.25, 0.75))


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], eval_config: Any
) -> Iterator[tuple[str, Figure]]:
    """transfer, differences, votes, unique, rewards, learning_curves: each where it can be."""
    shown = measured(comparison)
    away = [place for place in AWAY if place in comparison["sets"]]
    if shown and HOME in comparison["sets"] and away:
        yield "transfer", _transfer(shown, away, comparison)
    if any(table["differences"] for table in shown.values()):
        yield "differences", _differences(shown, comparison)
    sampled = {name: table for name, table in shown.items() if table["samples"]}
    if voted := {name: table for name, table in sampled.items() if table["draws"]}:
        yield "votes", _votes(voted, comparison)
    if sampled:
        yield "unique", _unique(sampled, comparison)
    if rewarded := {n: t for n, t in sampled.items() if whole(t["sets"])["reward"]}:
        yield "rewards", _rewards(rewarded, comparison)
    trained = [point for point in points if point.train_log and point.status != "partial"]
    if trained:
        yield "learning_curves", learning_curves(trained)


def _transfer(shown: Mapping[str, Any], away: list[str], comparison: Mapping[str, Any]) -> Figure:
    """Accuracy on trained templates along x, on another set along y; open markers: base models."""
    models = list(dict.fromkeys(table["model"] for table in shown.values()))
    drawn = []
    for place in away:
        series = []
        for model in models:
            for tuned in (False, True):
                own = [n for n, t in shown.items() if (t["model"], t["tuned"]) == (model, tuned)]
                if own:
                    series.append(_cloud(shown, own, place, model, tuned, len(models)))
        drawn.append(
            Panel(
                "",
                f"accuracy, {SHORT[HOME]} (%)",
                f"accuracy, {SHORT[place]} (%)",
                series,
                percent="xy",
                identity=True,
                xlim=WHOLE,
                ylim=WHOLE,
            )
        )
    axes = _differing([table for table in shown.values() if table["tuned"]])
    beside = [f"beside tuned points: {', '.join(axes)}"] if axes else []
    crosses = f"greedy answers; crosses: {_level(comparison)} intervals"
    note = _note(comparison, crosses, *beside)
    return panels(drawn, "In- against out-of-distribution accuracy", note, (2.9, 2.6), columns=2)


def _cloud(
    shown: Mapping[str, Any], own: list[str], place: str, model: str, tuned: bool, models: int
) -> Series:
    """The base points of a model, or its tuned ones; beside each of those what they differ by."""
    x, y = ([shown[n]["sets"][where]["accuracy"] for n in own] for where in (HOME, place))
    named = list(dict.fromkeys(table["model"] for table in shown.values())).index(model)
    style = category(2 * named)._replace(filled=tuned)
    name = model.rstrip("/").rpartition("/")[2]
    word = "tuned" if tuned else "base"
    axes = _differing([table for table in shown.values() if table["tuned"]]) if tuned else []
    texts = [", ".join(str(shown[n]["values"].get(axis, "")) for axis in axes) for n in own]
    return Series(
        f"{word} ({name})" if models > 1 else word,
        [rate["value"] for rate in x],
        [rate["value"] for rate in y],
        [rate["low"] for rate in y],
        [rate["high"] for rate in y],
        [rate["low"] for rate in x],
        [rate["high"] for rate in x],
        style=style,
        joined=False,
        texts=texts,
    )


def _differing(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Axes but the variant in which these points differ."""
    axes = dict.fromkeys(axis for table in tables for axis in table["values"] if axis != "variant")
    return [a for a in axes if len({str(table["values"].get(a)) for table in tables}) > 1]


def _differences(shown: Mapping[str, Any], comparison: Mapping[str, Any]) -> Figure:
    """Greedy accuracy of each tuned point minus its base model's, by set."""
    tests = [
        (f"{name}: {SHORT[place]}", of_set["accuracy"])
        for name, table in shown.items()
        for place, of_set in table["differences"].items()
    ]
    names = [name for name, _ in tests]
    columns = [[test[key] for _, test in tests] for key in ("value", "low", "high")]
    size = comparison["families"]["accuracy"]
    note = _note(comparison, f"{_level(comparison)} bootstrap intervals, paired by question, not "
                 f"adjusted for {size} tests")  # fmt: skip
    title = "Greedy accuracy of tuned points minus that of their base model"
    label = "difference in accuracy (percentage points)"
    return intervals(names, *columns, [""] * len(names), title, label, note)


def _votes(voted: Mapping[str, Any], comparison: Mapping[str, Any]) -> Figure:
    """One panel a point, all questions together; of many points a heatmap at their largest n."""
    said = "all sets together, all subsets of n samples"
    if len(voted) > MOST:
        rows = []
        for table in voted.values():
            found, n = whole(table["sets"])["votes"], str(max(table["draws"]))
            rows.append([found[strategy]["subsets"][n]["value"] for strategy in LABELS])
        names = [label.split(":")[0].replace(" by ", "\nby ") for label in LABELS.values()]
        largest = Table("", list(voted), names, rows)
        return heatmap([largest], "What samples buy, at the largest n", "", "point",
                       "questions right (%)", _note(comparison, said))  # fmt: skip
    drawn = [vote_panel(name, whole(t["sets"]), t["draws"]) for name, t in voted.items()]
    bars = f"bars: {_level(comparison)} bootstrap intervals over templates"
    note = _note(comparison, f"{said}, ties in expectation", bars, "n is set side by side")
    return panels(drawn, "What samples buy", note, (2.6, 2.1), columns=min(3, max(2, len(drawn))))


def _unique(sampled: Mapping[str, Any], comparison: Mapping[str, Any]) -> Figure:
    """Share of questions by their number of unique answers, one row a point."""
    most = max(table["samples"] for table in sampled.values())
    rows = []
    for table in sampled.values():
        found = whole(table["sets"])
        counts = found["unique"]["questions"]
        rows.append([counts[str(k)] / found["rows"] if str(k) in counts else None
                     for k in range(most + 1)])  # fmt: skip
    names = [
        f"{name} (mean {whole(table['sets'])['unique']['mean']:.2f})"
        for name, table in sampled.items()
    ]
    note = _note(comparison, f"all sets together, at most {most} samples a question",
                 "0: no sample holds a number")  # fmt: skip
    shares = Table("", names, [str(k) for k in range(most + 1)], rows)
    return heatmap([shares], "Unique answers a question", "unique answers", "point",
                   "questions (%)", note)  # fmt: skip


def _rewards(rewarded: Mapping[str, Any], comparison: Mapping[str, Any]) -> Figure:
    """Medians and quartiles of the rewards of right and of wrong samples, by point."""
    names, series = list(rewarded), []
    for i, kind in enumerate(("right", "wrong")):
        found = [whole(rewarded[name]["sets"])["reward"][kind]["quantiles"] for name in names]
        columns = [[q and q[place] for q in found] for place in (MIDDLE, LOWER, UPPER)]
        beside = [place + 0.24 * (i - 0.5) for place in range(len(names))]
        label = f"{kind} samples"
        series.append(Series(label, beside, *columns, style=category(i), joined=False))
    aucs = [whole(rewarded[name]["sets"])["reward"]["auc"]["value"] for name in names]
    ticks = {
        i: name.replace("_", "\n") + ("" if auc is None else f"\nAUC {auc:.2f}")
        for i, (name, auc) in enumerate(zip(names, aucs, strict=True))
    }
    panel = Panel("", "", "reward (logit)", series, xticks=ticks, xlim=(-0.6, len(names) - 0.4))
    judges = dict.fromkeys(rewarded[name]["judge"] for name in names)
    note = _note(comparison, f"all sets together; medians, bars: quartiles; AUC in a question; "
                 f"judge: {' and '.join(map(str, judges))}")  # fmt: skip
    width = max(3.2, 0.8 * len(names))
    return panels([panel], "Rewards of right and wrong samples", note, (width, 2.3))


def _level(comparison: Mapping[str, Any]) -> str:
    return f"{100 * comparison['level']:g} %"


def _note(comparison: Mapping[str, Any], *parts: str) -> str:
    """How many questions there are, what is drawn, and which points are not shown."""
    counts = [f"{count} {SHORT[place]}" for place, count in comparison["sets"].items()
              if place != ALL]  # fmt: skip
    text = "; ".join([f"Test questions: {', '.join(counts)}", *parts]) + "."
    rest = absent(comparison)
    return f"{text}\nWithout a value: {rest}." if rest else text
