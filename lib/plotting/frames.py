"""The rows of the tidy tables that a figure draws: one a mark, with its value and axis values.

Every function here gives the columns `panel` and `line` beside the numbers: in which panel a mark
stands, and by which label of the legend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.config.figures import PLACES, Figure
from lib.plotting.view import View, in_words, levels, main_set

ENDS = ["value", "low", "high"]


# -- which rows ------------------------------------------------------------------------------------


def matching(frame: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.Series:
    """Which rows have all of these axis values, of a list any; none where the frame lacks one."""
    kept = pd.Series(True, index=frame.index)
    for axis, value in wanted.items():
        values = value if isinstance(value, list) else [value]
        kept &= frame[axis].isin(values) if axis in frame else False
    return kept


def selected(view: View, frame: pd.DataFrame, given: str | Mapping[str, Any] | None) -> pd.Series:
    """Which rows `against` or `shared` means; of points or settings, with their `setting`."""
    if given is None:
        return pd.Series(False, index=frame.index)
    if given == "baseline":
        return frame.setting.isin(view.baseline.setting)
    return matching(frame, {axis: value for axis, value in given.items() if axis != "seed"})


def leftover(view: View, frame: pd.DataFrame, used: Sequence[str | None]) -> list[str]:
    """Axes but the seed that tell settings apart which the axes in use do not."""
    keys = [axis for axis in used if axis is not None and axis in frame]
    free = [axis for axis in view.axes if axis not in keys and axis != "seed"]
    free = [axis for axis in free if axis in frame]
    if not keys or frame.empty:
        return [axis for axis in free if frame[axis].nunique() > 1]
    counts = frame.groupby(keys, dropna=False)[free].nunique()
    return [axis for axis in free if counts[axis].max() > 1]


def _placed(view: View, figure: Figure, frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The rows in their panels, those of `shared` settings in each, and with their lines."""
    line = pd.Series("", index=frame.index)
    for axis in by:
        words = frame[axis].map(lambda value, axis=axis: in_words(view, axis, value)).astype(str)
        line = line.where(words == "", line + ", " + words)
    frame = frame.assign(line=line.str.removeprefix(", "))
    if "name" in frame:
        frame = frame.assign(place=frame["name"].map(view.words).astype(str))
    known = (*view.axes, *PLACES)
    for axis in (figure.x, figure.y, figure.panel, figure.color):
        if axis in frame and axis not in known and "place" in frame:  # a slice, or a column
            words = frame[axis].map(lambda value: in_words(view, "", value)).astype(str)
            frame = frame.assign(place=frame.place + ", " + words)
    if figure.panel is None or figure.panel not in frame:
        return frame.assign(panel="")
    shared = selected(view, frame, figure.shared)
    column = frame[figure.panel]
    names = levels(column[~shared]) or levels(column)
    parts = [
        frame[(column == name) | shared].assign(panel=in_words(view, figure.panel, name))
        for name in names
    ]
    return pd.concat(parts, ignore_index=True) if parts else frame.assign(panel="")


# -- values of metrics -----------------------------------------------------------------------------


def of_metrics(view: View, figure: Figure) -> pd.DataFrame:
    """Settings and points with a value: of, name, status, the axes, metric, value, low, high, sd.

    A setting's value is the mean over its seeds, by stage 4 or, of a further table, here.
    """
    parts = [_values(view, figure, m).assign(metric=view.name(m)) for m in figure.metrics]
    frame = pd.concat(parts, ignore_index=True)
    if any(axis not in frame for axis in (figure.x, figure.y) if axis):
        return frame[:0]
    frame = frame.dropna(subset=[axis for axis in (figure.x, figure.y) if axis])
    by = [figure.color] if figure.color in frame else []
    if figure.kind != "heatmap":
        by += leftover(view, frame[frame.of == "setting"], [figure.x, figure.panel, *by])
    return _placed(view, figure, frame, by)


def of_pairs(view: View, figure: Figure) -> pd.DataFrame:
    """Settings and points that have both metrics: as above, x, x_low, x_high and y, y_low, y_high.

    The seeds' dots of a setting are in the same table.
    """
    x, y = (_values(view, figure, metric) for metric in figure.metrics)
    keys = ["of", "name", *({"set"} & {figure.panel, figure.color, figure.marker})]
    frame = y.merge(x[[*keys, *ENDS]], on=keys, suffixes=("_y", "_x"))
    renamed = {f"{end}_{axis}": f"{axis}_{end}" for end in ENDS for axis in "xy"}
    frame = frame.rename(columns=renamed).rename(columns={"x_value": "x", "y_value": "y"})
    return _placed(view, figure, frame, [a for a in (figure.color, figure.marker) if a in frame])


def _values(view: View, figure: Figure, metric: str) -> pd.DataFrame:
    task, _, name = metric.rpartition(".")
    if task in view.tables:
        frame = _of_table(view, figure, task, name)
    else:
        frame = _of_estimates(view, figure, metric)
    return frame[matching(frame, figure.of)].dropna(subset="value")


def _of_estimates(view: View, figure: Figure, metric: str) -> pd.DataFrame:
    task, _, name = metric.rpartition(".")
    estimates = view.tables["estimates"]
    kept = estimates[(estimates.task == (task or view.first)) & (estimates.metric == name)]
    used = {figure.x, figure.y, figure.panel, figure.color, figure.marker} - {None}
    if "set" not in used:
        kept = main_set(kept, figure.set)
    slices = kept["slice"].astype(str).str.partition("=").reindex(columns=range(3), fill_value="")
    by = [axis for axis in used if axis in set(slices[0])]
    kept = kept[slices[0].isin(by or [""])]
    numbers = pd.to_numeric(slices[2], errors="coerce")
    whole = numbers[kept.index].notna().all()
    return _with_axes(view, kept.assign(**dict.fromkeys(by, numbers if whole else slices[2])))


def _of_table(view: View, figure: Figure, table: str, column: str) -> pd.DataFrame:
    """The points' rows of a further table, and the mean of each setting's."""
    frame = view.tables[table]
    if column not in frame or "point" not in frame:
        return _with_axes(view, pd.DataFrame(columns=["of", "name", "seeds", *ENDS]))
    ends = {end: frame.get(f"{column}_{end}", np.nan) for end in ("low", "high")}
    used = dict.fromkeys((figure.x, figure.y, figure.panel, figure.color, figure.marker))
    own = [axis for axis in used if axis in frame and axis not in view.axes and axis != "point"]
    points = frame[own].assign(
        of="point", name=frame.point, value=frame[column], seeds=1, n=frame.get("n", np.nan), **ends
    )
    setting = points.name.map(view.points.set_index("point").setting)
    means = points.assign(of="setting", name=setting)
    means = means.groupby(["of", "name", *own], sort=False, dropna=False)
    known = {"seeds": "size", "n": lambda counts: counts.sum(min_count=1)}
    means = means.agg(known | dict.fromkeys(ENDS, "mean")).reset_index()
    means.loc[means.seeds > 1, ["low", "high"]] = np.nan
    if "n" not in frame:
        means["n"] = np.nan
    return _with_axes(view, pd.concat([points, means], ignore_index=True))


def _with_axes(view: View, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the axis values of its points and settings, and the status of points."""
    axes = [axis for axis in view.axes if axis not in frame]
    points = view.points[["point", "status", "setting", *axes]]
    settings = points.drop_duplicates("setting").assign(point=None, status="done")
    several = points.groupby("setting")[axes].nunique()  # of the seed, and of what chooses the test
    for axis in (axis for axis in axes if (several[axis] > 1).any()):
        settings[axis] = settings[axis].where(~settings.setting.map(several[axis] > 1))
    places = [
        points.assign(of="point", name=points.point),
        settings.assign(of="setting", name=settings.setting),
    ]
    return frame.merge(pd.concat(places), on=["of", "name"], how="inner")


def absent(view: View, figure: Figure, frame: pd.DataFrame) -> pd.DataFrame:
    """Points that the figure is of and that have no value: rows of the table of points."""
    points = view.points[matching(view.points, figure.of)]
    points = points[~points.point.isin(frame.point)]
    if "of" in frame:  # a mean over sets is of settings alone
        whole = points.setting.isin(frame[frame.of == "setting"].setting)
        points = points[~(whole & (points.status == "done"))]
    status = points.status.replace({"done": "undefined"})
    return _placed(view, figure, points.assign(status=status), [])


# -- contrasts, curves, bins -----------------------------------------------------------------------


def of_contrasts(view: View, figure: Figure) -> pd.DataFrame:
    """Differences of a metric from what `against` means; of a further table, its column itself.

    Columns name, difference, low, high, p_holm; settings without one come last, their `status`
    in its place.
    """
    rank = view.points.status.map({"done": 0, "partial": 1}).fillna(2)
    settings = view.points.assign(rank=rank).sort_values("rank", kind="stable")
    settings = settings.drop_duplicates("setting").sort_index()
    others = settings[selected(view, settings, figure.against)].setting
    table, _, name = figure.metrics[0].rpartition(".")
    if table in view.tables:
        frame = _of_table(view, figure, table, name)
        frame = frame[frame.of == "setting"].dropna(subset="value")
        frame = frame.assign(a=frame["name"], b="", difference=frame.value, p_holm=np.nan)
        if "p_holm" in view.tables[table]:
            adjusted = view.tables[table].set_index("point").p_holm
            setting = view.points.set_index("point").setting.reindex(adjusted.index)
            frame = frame.assign(p_holm=frame.a.map(adjusted.groupby(setting.to_numpy()).max()))
    else:
        kept = view.tables["contrasts"]
        kept = main_set(
            kept[(kept.metric == name) & (kept.task == (table or view.first))], figure.set
        )
        turned = kept[kept.a.isin(others)].rename(columns={"a": "b", "b": "a"})
        turned = turned.assign(difference=-turned.difference, low=-turned.high, high=-turned.low)
        frame = pd.concat([kept[kept.b.isin(others)], turned]).dropna(subset="difference")
    frame = frame[~frame.a.isin(others)].drop_duplicates(["a", "b"])
    shown = settings[matching(settings, figure.of)]
    frame = frame[frame.a.isin(shown.setting)]
    if frame.empty:
        return frame
    names = frame.a + (" − " + frame.b if frame.b.nunique() > 1 else "")
    lost = shown[~shown.setting.isin([*frame.a, *others])]
    status = lost.status.replace({"done": "not measurable", "partial": "not measurable"})
    gone = pd.DataFrame({"name": lost.setting, "status": status})
    return pd.concat([frame.assign(name=names, status="done"), gone], ignore_index=True)


def of_curves(view: View, figure: Figure) -> pd.DataFrame:
    """A column of the training logs over steps, or one of a further table over its column `x`.

    Columns name (of the curve), x, y; y is nan where a run diverged.
    """
    table, _, column = figure.metrics[0].rpartition(".")
    if table in view.tables:
        frame = view.tables[table]
        name = frame["point"] if "point" in frame else _names(view, frame, figure)
        frame = frame.assign(x=frame.get(figure.x or "x"), y=frame.get(column), name=name)
    else:
        frame = view.tables["curves"]
        frame = frame[frame.metric == column].rename(columns={"step": "x", "value": "y"})
        frame = frame.assign(name=frame.point)
    if "point" in frame:
        axes = [axis for axis in ("setting", "status", *view.axes) if axis not in frame]
        frame = frame.merge(view.points[["point", *axes]], on="point")
    frame = frame[matching(frame, figure.of)].dropna(subset="x")
    return _placed(view, figure, frame, [figure.color] if figure.color in frame else [])


def _names(view: View, frame: pd.DataFrame, figure: Figure) -> list[str]:
    """What tells the curves of a further table apart, by panel and colour: `DPO, β 0.1`."""
    axes = [axis for axis in (figure.panel, figure.color) if axis in frame]
    rows = frame[axes].to_dict("records")
    words = [[in_words(view, axis, row[axis]) for axis in axes] for row in rows]
    return [", ".join(filter(None, one)) for one in words]


def of_bins(view: View, figure: Figure) -> pd.DataFrame:
    """Bins of a predicted probability, a panel a point: x their mean, y the observed share.

    left, width: of the bin; n: items in it; share: of all items of the point.
    """
    if figure.metrics[0] not in view.tables:
        return pd.DataFrame()
    frame = view.tables[figure.metrics[0]].merge(view.points, on="point")
    frame = frame[matching(frame, figure.of)]
    names = {
        "low": "left",
        "mean_p": "x",
        "observed": "y",
        "observed_low": "y_low",
        "observed_high": "y_high",
    }
    share = frame.n / frame.groupby("point").n.transform("sum")
    single = frame.point.nunique() < 2
    frame = (
        frame.assign(width=frame.get("high") - frame.get("low"), share=share)
        if len(frame)
        else frame
    )
    return frame.rename(columns=names).assign(panel="" if single else frame.point, line="observed")
