"""Figures of the comparison, composed from the shapes of `lib.plotting.figures`.

Everything is drawn from train.jsonl and the tables of `comparison.tabulate`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lib.config.tasks import PointResult
from lib.losses import OBJECTIVES
from lib.plotting.figures import heatmap, intervals, panels
from lib.plotting.shapes import Panel, Series, Style, Table, ordinal, thin
from lib.runs.train_log import curve, diverged_at
from lib.tasks.preference.loss_figures import loss_figure
from lib.tasks.preference.point_figures import loss_label, point_figures
from lib.tasks.preference.view import View

__all__ = ["comparison_figures", "loss_figure", "point_figures"]

NAMES = {"accuracy": "implicit-reward accuracy", "mt_bench": "MT-Bench mean"}
VERTICES = 40  # of a learning curve, at most
UNITS = {"accuracy": "%", "mt_bench": "of 10"}


def comparison_figures(
    points: list[PointResult], comparison: Mapping[str, Any], eval_config: Any
) -> Iterator[tuple[str, Figure]]:
    """Every figure over all points that their numbers allow; `comparison`: the tables.

    Where the caller has put the table of `loss_figure` under "loss_curves", that is drawn too.
    """
    view = View(points, comparison)
    if comparison.get("loss_curves"):
        yield "losses", loss_figure(comparison["loss_curves"])
    for topic, key in (("learning_curves", "loss"), ("validation_accuracy", "validation_accuracy")):
        if any(curve(point, key)[0] for point in points):
            yield topic, _learning_curves(view, key)
    for metric in NAMES:
        if view.has(metric):
            yield metric, _over_beta(view, metric)
            yield f"heatmap_{metric}", _heatmap(view, metric)
            yield f"seeds_{metric}", _seeds(view, metric)
    family = comparison["significance"]["families"].get("methods")
    if family and family["size"]:
        yield "method_differences", _differences(view, family)


def _label(metric: str) -> str:
    return f"{NAMES[metric]} ({UNITS[metric]})"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _over_beta(view: View, metric: str) -> Figure:
    """One line a method and τ through the means over seeds, every seed as a dot."""
    means, dots = [], []
    step = min(0.2, 0.5 * view.gap / len(view.lines))  # octaves between lines, each side by side
    for i, (label, found) in enumerate(view.lines.items()):
        beside = 2 ** (step * (i - (len(view.lines) - 1) / 2))
        at = [view.place(s["beta"]) * beside for s in found]
        style = view.style(label)
        bounds = [s["interval"][metric] for s in found]
        line = Series(
            label,
            at,
            [s["metrics"][metric]["mean"] for s in found],
            [b["low"] for b in bounds],
            [b["high"] for b in bounds],
            style=style,
            absent=[(x, status) for x, s in zip(at, found, strict=True) for status in _gone(s)],
        )
        means.append(line)
        every = [(x, v) for x, s in zip(at, found, strict=True) for v in _known(s, metric)]
        if view.seeds > 1 and every:
            x, y = zip(*every, strict=True)
            x = [place * 2 ** (step / 2) for place in x]  # right of the bar, which would hide it
            look = Style(style.color, ".", filled=False)
            dots.append(Series("each seed", x, y, style=look, joined=False))
    panel = Panel(
        "",
        "β (log scale)",
        _label(metric),
        means + dots,
        percent="y" if metric == "accuracy" else "",
        log2=True,
        xticks={view.place(beta): f"{beta:g}" for beta in view.betas},
        xlim=(view.place(view.betas[0]) / 1.6, view.place(view.betas[-1]) * 1.6),
        levels=_levels(view) if metric == "accuracy" else {},
    )
    items = "pairs" if metric == "accuracy" else "questions"
    note = view.note(
        metric,
        "lines: means over seeds" if view.seeds > 1 else "",
        f"bars: {view.level} bootstrap intervals over test {items}",
        "lines are shifted sideways to be told apart",
    )
    return panels([panel], f"{_capital(NAMES[metric])} over β", note, (4.6, 2.6))


def _levels(view: View) -> dict[str, Sequence[float]]:
    """What chance reaches, and what looking at the length alone does."""
    table = next((p["metrics"] for p in view.tables["points"].values() if p["metrics"]), {})
    found: dict[str, Sequence[float]] = {"chance (50 %)": [0.5]}
    both = {word: (table.get(f"{word}_wins") or {}).get("value") for word in ("longer", "shorter")}
    if None not in both.values():
        word = max(both, key=both.__getitem__)
        found[f"always the {word} response ({100 * both[word]:.1f} %)"] = [both[word]]
    return found


def _known(setting: Mapping[str, Any], metric: str) -> list[float]:
    return [value for value in setting["metrics"][metric]["values"] if value is not None]


def _gone(setting: Mapping[str, Any]) -> list[str]:
    """Statuses of the setting's points without numbers, each once."""
    return list(dict.fromkeys(status for status in setting["statuses"] if status != "done"))


def _heatmap(view: View, metric: str) -> Figure:
    """β down, methods and τ across."""
    scale, digits = (100, 1) if metric == "accuracy" else (1, 2)
    cells_, texts = [], []
    for beta in view.betas:
        row = [next((s for s in f if s["beta"] == beta), None) for f in view.lines.values()]
        made = [_cell(setting, metric, scale, digits) for setting in row]
        cells_.append([cell for cell, _ in made])
        texts.append([text for _, text in made])
    columns = [label.replace(" τ ", "\nτ ").replace(", ", "\n") for label in view.lines]
    rows = [f"{beta:g}" for beta in view.betas]
    return heatmap(
        [Table("", rows, columns, cells_, texts)],
        f"{_capital(NAMES[metric])} over β and τ",
        "method, and τ where it has one",
        "β",
        _label(metric),
        view.note(
            metric,
            "mean ± sd over seeds" if view.seeds > 1 else f"beneath: {view.level} interval",
            "in brackets: seeds with a value" if _partial(view, metric) else "",
            "–: not in the grid" if None in (s for row in cells_ for s in row) else "",
        ),
        percent=metric == "accuracy",
    )


def _cell(
    setting: Mapping[str, Any] | None, metric: str, scale: float, digits: int
) -> tuple[float | str | None, str]:
    """(value | status | None, text) of one setting."""
    if setting is None:
        return None, ""
    found, known = setting["metrics"][metric], _known(setting, metric)
    if not known:
        return next(iter(_gone(setting)), "undefined"), ""
    text = f"{scale * found['mean']:.{digits}f}"
    total = len(setting["points"])
    text += f" ({len(known)}/{total})" if len(known) < total else ""
    bounds = setting["interval"][metric]
    if found["sd"] is not None:
        text += f"\n± {scale * found['sd']:.{digits}f}"
    elif total == 1 and bounds["low"] is not None:
        low, high = (scale * bounds[key] for key in ("low", "high"))
        text += f"\n[{low:.{digits - 1}f}, {high:.{digits - 1}f}]"
    return found["mean"], text


def _partial(view: View, metric: str) -> bool:
    return any(0 < len(_known(s, metric)) < len(s["points"]) for s in view.tables["settings"])


def _seeds(view: View, metric: str) -> Figure:
    """A box a setting over its seeds, every seed as a point."""
    series, width = [], 0.8 / len(view.lines)
    for i, (label, found) in enumerate(view.lines.items()):
        shift = width * (i - (len(view.lines) - 1) / 2)
        at = [view.betas.index(s["beta"]) + shift for s in found]
        every = [(x, v) for x, s in zip(at, found, strict=True) for v in _known(s, metric)]
        x, y = zip(*every, strict=True) if every else ((), ())
        missing = [(x, status) for x, s in zip(at, found, strict=True) for status in _gone(s)]
        look = {"style": view.style(label), "joined": False, "box": 0.75 * width}
        series.append(Series(label, x, y, **look, absent=missing))
    panel = Panel(
        "",
        "β",
        _label(metric),
        series,
        percent="y" if metric == "accuracy" else "",
        xticks={i: f"{beta:g}" for i, beta in enumerate(view.betas)},
        xlim=(-0.5, len(view.betas) - 0.5),
    )
    note = view.note(metric, "boxes: quartiles over seeds, with median and extremes")
    title = f"{_capital(NAMES[metric])} of every seed"
    return panels([panel], title, note, (max(3.4, 1.35 * len(view.betas)), 2.5))


def _differences(view: View, family: Mapping[str, Any]) -> Figure:
    """Accuracy of the methods against each other at equal β."""
    tests, alpha = family["members"], 1 - view.tables["level"]
    names = [
        f"{'* ' if t['p_holm'] is not None and t['p_holm'] < alpha else ''}"
        f"{t['a']} − {t['b'].split(', β')[0]}"
        for t in tests
    ]
    columns = [[test["difference"][key] for test in tests] for key in ("value", "low", "high")]
    return intervals(
        names,
        *columns,
        ["not measurable"] * len(tests),
        "Accuracy of the methods against each other at equal β",
        "difference (percentage points)",
        view.note(
            "accuracy",
            f"bars: {view.level} paired bootstrap intervals",
            "filled: 0 lies outside",
            f"*: significant at {100 * alpha:.3g} %, sign-flip test, Holm over {family['size']}",
        ),
    )


def _learning_curves(view: View, key: str) -> Figure:
    """One panel a method and τ, one line a run, its colour the β; crosses where runs diverged."""
    drawn = []
    for line, settings in view.lines.items():
        series, heights = [], []
        for point in view.points:
            setting = view.cells[point.name].setting
            steps, values = thin(*curve(point, key), VERTICES)
            broken = diverged_at(point)
            if setting.line.label != line or not (steps or broken is not None):
                continue
            heights += values
            place = view.betas.index(setting.beta)
            series.append(
                Series(
                    f"β {setting.beta:g}",
                    steps,
                    values,
                    style=ordinal(place, len(view.betas)),
                    marked=key != "loss",
                    absent=[] if broken is None else [(broken, "diverged")],
                )
            )
        low, high = (min(heights), max(heights)) if heights else (0.0, 1.0)
        room = 0.06 * (high - low) or 0.05
        frame = {"percent": "" if key == "loss" else "y"}
        label = "accuracy on validation pairs (%)"
        if key == "loss":
            label = loss_label(OBJECTIVES[settings[0]["objective"]])
        # Losses of two objectives share no scale; accuracies do.
        frame["ylim"] = (low - room, high + room) if key == "loss" else None
        drawn.append(Panel(line, "optimizer step", label, series, **frame))
    longest = max((len(curve(point, key)[0]) for point in view.points), default=0)
    width = math.ceil(longest / VERTICES)
    note = f"One line a point, each vertex a mean of {width} logged steps." if width > 1 else ""
    note = note or "One line a point."
    note += " Axes differ: losses of two methods cannot be compared." if key == "loss" else ""
    bare = sum(not curve(point, key)[0] for point in view.points)
    note += f"\nWithout such numbers: {bare} of {len(view.points)} points." if bare else ""
    title = {"loss": "Training loss of every point"}.get(key, "Validation accuracy of every point")
    return panels(drawn, title, note)
