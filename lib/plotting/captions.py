"""Title and caption of a figure: what it shows, with the number that says it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lib.analysis.wording import duration, plain, signed
from lib.config.errors import listed
from lib.config.figures import Figure
from lib.plotting.view import View, in_words, levels, ordered

UNBROKEN = "\N{NO-BREAK SPACE}"  # inside a name, so that no line ends there
EMPTY = "No point has this number, so there is nothing to draw."


def number(value: float, unit: str) -> str:
    """`71.2 %` of a share, `12 min`, `6.31 points` of a rating, `0.412` without a unit."""
    if unit == "share":
        text = f"{100 * value:.1f} %"
    else:
        text = duration(value) if unit == "seconds" else f"{plain(value)} {unit}".strip()
    return text.replace("-", "−")


def difference(value: float, unit: str) -> str:
    """`+1.2 percentage points` of shares, `−0.31 nats` of others."""
    if unit == "share":
        return f"{signed(100 * value)} percentage points"
    sign = "+" if value >= 0 else "−"
    return f"{sign}{number(abs(value), unit)}"


def size(value: float, unit: str) -> str:
    """A difference without its sign."""
    return difference(abs(value), unit).lstrip("+")


def interval(low: float, high: float, unit: str) -> str:
    """` [68.9, 73.4]`, empty where there is none."""
    if pd.isna(low):
        return ""
    if unit == "share":
        ends = f"{100 * low:.1f}, {100 * high:.1f}"
    else:
        put = duration if unit == "seconds" else plain
        ends = f"{put(low)}, {put(high)}"
    return f" [{ends}]".replace("-", "−")


def ended(title: str) -> str:
    """A title as a sentence of its own, before its caption."""
    return title if title.endswith("?") else f"{title}."


def inside(name: str) -> str:
    """A name within a sentence: `accuracy`, but `F1 of accepts` and `MT-Bench score`."""
    return name[0].lower() + name[1:] if name[1:2].islower() else name


def title_of(view: View, figure: Figure) -> str:
    """`Accuracy over γ and ratio`, or what the study calls it."""
    if figure.title:
        return figure.title
    first, *others = map(view.name, figure.metrics)
    over = " and ".join(view.axis(axis, unit=False) for axis in (figure.x, figure.y) if axis)
    own = ", ".join(in_words(view, axis, value) for axis, value in figure.of.items())
    if figure.kind == "points":
        text = f"{others[0]} against {inside(first)}"
    elif figure.kind == "reliability":
        text = "Reliability of predicted probabilities"
    else:
        text = ", ".join([first, *map(inside, others)])
        text += f": difference from {against(view, figure)}" if figure.kind == "forest" else ""
        text += f" over {over}" if over else ""
    return f"{text} ({own})" if own else text


def against(view: View, figure: Figure) -> str:
    """The setting that a forest is against, in words."""
    if figure.against == "baseline":
        return "the baseline"
    return ", ".join(in_words(view, axis, value) for axis, value in dict(figure.against).items())


def extremes(view: View, metric: str, frame: pd.DataFrame, verb: str = "runs from") -> str:
    """`Accuracy runs from 51.0 % [48, 54] (…) to 71.2 % [68, 74] (…)`; frame: place, value."""
    label, unit = view.name(metric), view.unit(metric)
    least, most = frame.loc[frame.value.idxmin()], frame.loc[frame.value.idxmax()]
    if len(frame) == 1:
        return f"{label} is {number(most.value, unit)}{interval(most.low, most.high, unit)}"
    if least.value == most.value:
        return f"{label} is {number(most.value, unit)} everywhere"
    low, high = (
        f"{number(row.value, unit)}{interval(row.low, row.high, unit)} ({row['place']})"
        for row in (least, most)
    )
    return f"{label} {verb} {low} to {high}"


def settings(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of settings, each once; of points where there are no settings."""
    kept = frame[frame.of == "setting"]
    kept = kept if len(kept) else frame
    return kept.drop_duplicates([name for name in kept if name != "panel"]).reset_index()


def of_lines(view: View, figure: Figure, frame: pd.DataFrame) -> str:
    """Extremes, and which way the lines of each panel go from the first to the last level of x."""
    metric, own = figure.metrics[0], frame[frame.of == "setting"]
    said = []
    for panel, rows in own.groupby("panel", sort=False):
        table = rows.pivot_table(index="line", columns=figure.x, values="value")
        table = table[levels(pd.Series(table.columns))]
        ends = table.ffill(axis=1).iloc[:, -1] - table.bfill(axis=1).iloc[:, 0]
        ends = ends[table.notna().sum(axis=1) > 1] if ordered(list(table)) else ends[:0]
        ways = [(ends[ends > 0], "rises"), (ends[ends < 0], "falls")]
        parts = [
            f"{way}{f' in {len(some)} of {len(ends)} lines' if len(ends) > 1 else ''} "
            f"(by {size(some.mean(), view.unit(metric))}{' on average' if len(some) > 1 else ''})"
            for some, way in ways
            if len(some)
        ]
        if parts:
            said.append(f"{panel + ': ' if panel else ''}it {' and '.join(parts)}")
    over = f"; over {view.axis(str(figure.x), unit=False)}, {'; '.join(said)}" if said else ""
    return f"{extremes(view, metric, settings(frame))}{over}."


def of_points(view: View, figure: Figure, frame: pd.DataFrame) -> str:
    """With the line y = x, how far the marks lie from it; else the range of y, and the order."""
    (x, y), frame = figure.metrics, settings(frame)
    unit = view.unit(y)
    x_name = inside(view.name(x))
    if figure.identity:
        return f"{view.name(y)} against {x_name}: {from_line(frame, frame.y - frame.x, unit)}."
    text = extremes(view, y, frame.rename(columns={"y": "value", "y_low": "low", "y_high": "high"}))
    table = view.tables.get(figure.curve or "")
    if table is not None:
        gaps = frame.y - np.interp(frame.x, *(table[name] for name in list(table)[:2]))
        return f"{text}; against the line at the same {x_name}: {from_line(frame, gaps, unit)}."
    if len(frame) > 3 and min(frame.x.nunique(), frame.y.nunique()) > 1:
        rho = frame.x.rank().corr(frame.y.rank())
        text += f"; rank correlation with {x_name} {signed(rho, 2)} over {len(frame)} settings"
    return f"{text}."


def from_line(frame: pd.DataFrame, gaps: pd.Series, unit: str) -> str:
    """How far marks lie from a line: `off by 3.1 … on average, most by −8.2 … (a); 19 settings`."""
    if not gaps.any():
        return f"on the line in all {len(frame)} settings"
    worst = gaps.abs().idxmax()
    return (
        f"off by {size(gaps.abs().mean(), unit)} on average, most by "
        f"{difference(gaps[worst], unit)} ({frame['name'][worst]}); {len(frame)} settings"
    )


def of_cells(view: View, figure: Figure, frame: pd.DataFrame) -> str:
    """Of heatmaps and bars: the extremes of each metric, and how wide the intervals are."""
    texts = []
    for metric in figure.metrics:
        own = settings(frame[frame.metric == view.name(metric)])
        if own.empty:
            continue
        half = ((own.high - own.low) / 2).median()
        wide = f"; intervals of ± {size(half, view.unit(metric))} (median)" if half == half else ""
        texts.append(f"{extremes(view, metric, own)}{wide}")
    return "; ".join(texts) + "."


def of_forest(view: View, figure: Figure, frame: pd.DataFrame) -> str:
    """How many differ after Holm's adjustment, and the largest difference."""
    unit, known = view.unit(figure.metrics[0]), frame.dropna(subset="difference")
    clear = known[known.p_holm < 1 - view.level]
    row = known.loc[known.difference.abs().idxmax()]
    return (
        f"{(clear.difference > 0).sum()} of {len(known)} settings higher and "
        f"{(clear.difference < 0).sum()} lower after Holm's adjustment; the largest difference is "
        f"{difference(row.difference, unit)}{interval(row.low, row.high, unit)} ({row['name']})."
    )


def of_curves(view: View, figure: Figure, frame: pd.DataFrame) -> str:
    """Where the curves end, and how many broke off."""
    known = frame.dropna(subset="y").sort_values("x", kind="stable")
    diverged = frame[frame.y.isna()].name.nunique()
    tail = f"; {diverged} of {frame.name.nunique()} diverged" if diverged else ""
    if known.empty:
        return f"No number was logged{tail}."
    last = known.groupby("name", sort=False).tail(1)
    last = last.assign(
        value=last.y, place=last.name.map(view.words), low=np.nan, high=np.nan
    ).reset_index()
    return f"{extremes(view, figure.metrics[0], last, 'ends at')}{tail}."


def of_bins(view: View, figure: Figure, frame: pd.DataFrame) -> str:
    """How far observed shares are from predictions, each answer counting once."""
    full = frame[frame.n > 0]
    gap = (full.n * (full.y - full.x).abs()).sum() / full.n.sum()
    return (
        f"Observed shares are {size(gap, 'share')} from the predicted probabilities, "
        f"on average over {int(full.n.sum()):,} answers."
    )


def missing(view: View, frame: pd.DataFrame) -> str:
    """`No value: diverged: a; missing: b, c`; frame: point and status of those without one."""
    said = []
    for status, part in frame.drop_duplicates("point").groupby("status", sort=True):
        names = listed((view.words(one).replace(" ", UNBROKEN) for one in part.point), 3)
        said.append(f"{status}{f' ({len(part)})' if len(part) > 3 else ''}: {names}")
    return f"No value: {'; '.join(said)}." if said else ""
