"""What figures, captions and findings see of a study: its tables, and how things are called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.analysis.tables import TABLES
from lib.config.figures import LOG, analyses
from lib.config.grid import point_name
from lib.config.metrics import TRAINING
from lib.losses import label_of
from lib.runs.train_log import diverged_at

if TYPE_CHECKING:
    from lib.analysis.tables import StudyTables
    from lib.config.study import Study
    from lib.config.tasks import PointResult

NAMES = {"alpha": "α", "beta": "β", "gamma": "γ", "tau": "τ", "learning_rate": "learning rate"}


@dataclass(frozen=True, kw_only=True)
class View:
    """What figures, captions and findings read of a study.

    tables: as stage 4 wrote them but for the items, and `curves`: point, step, metric, value.
    axes: names, in the order of the study. metrics: name as figures spell it → (label, unit).
    axis_labels: axis → its label, the unit in parentheses.
    """

    tables: Mapping[str, pd.DataFrame]
    axes: Sequence[str]
    metrics: Mapping[str, tuple[str, str]]
    first: str  # the study's first task, whose metrics have no prefix
    axis_labels: Mapping[str, str] = field(default_factory=dict)
    level: float = 0.95
    called: Mapping[str, str] = field(default_factory=dict)  # point → what it is, in words

    @property
    def points(self) -> pd.DataFrame:
        """The table of points."""
        return self.tables["points"]

    @property
    def baseline(self) -> pd.DataFrame:
        """The points of the setting that `evaluate.baseline` names."""
        return self.points[self.points.baseline == "yes"]

    @cached_property
    def _by_point(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Table → point → its rows, of the tables that have points."""
        return {
            name: dict(iter(frame.groupby("point", sort=False)))
            for name, frame in self.tables.items()
            if "point" in frame
        }

    def of_point(self, point: str) -> View:
        """The same of one point alone."""
        own = {
            name: rows.get(point, self.tables[name][:0]) for name, rows in self._by_point.items()
        }
        return replace(self, tables={**self.tables, **own})

    def words(self, name: str) -> str:
        """A point in words; a setting is already."""
        return self.called.get(name, name)

    def axis(self, name: str, unit: bool = True) -> str:
        """What an axis is called, with its unit or without."""
        label = self.axis_labels.get(name) or NAMES.get(name) or name.replace("_", " ")
        return label if unit else label.partition(" (")[0]

    def name(self, metric: str) -> str:
        """A metric in words, with a capital."""
        label = self.metrics.get(metric, (metric.replace("_", " "), ""))[0]
        return label[:1].upper() + label[1:]

    def unit(self, metric: str) -> str:
        """The unit of a metric; a `share` is shown in %."""
        return self.metrics.get(metric, ("", ""))[1]

    def label(self, metric: str) -> str:
        """What a metric's axis says: `Accuracy (%)`."""
        unit = self.unit(metric).replace("share", "%")
        return f"{self.name(metric)} ({unit})" if unit else self.name(metric)


def view_of(study: Study, tables: StudyTables, points: Iterable[PointResult]) -> View:
    """A study as its figures see it; points: with their training logs."""
    metrics = {f"training.{one.name}": (one.label, one.unit) for one in TRAINING} | LOG
    axis_labels = {}
    for task, analysis in analyses(study).items():
        prefix = "" if task == study.config.tasks[0] else f"{task}."
        for one in analysis.metrics(study.config.evaluate):
            metrics[prefix + one.name] = (one.label, one.unit)
        for table, columns in analysis.tables.items():
            for column, text in columns.items():
                label, _, unit = text.removesuffix(")").partition(" (")
                metrics[f"{table}.{column}"] = (label, unit)
        for axis, key in study.axes.items():
            if key in analysis.axes:
                axis_labels[axis] = analysis.axes[key]
    own = {name: getattr(tables, name) for name in TABLES if name != "items"}
    own |= tables.extras | {"curves": log_columns(points)}
    # Rows are taken from these small tables again and again: from Arrow's strings that is slower.
    plain = {n: t.astype(dict.fromkeys(t.select_dtypes("str"), object)) for n, t in own.items()}
    view = View(
        tables=plain,
        axes=[axis for axis in ("variant", *study.axes) if axis in tables.points],
        metrics=metrics,
        first=study.config.tasks[0],
        axis_labels=axis_labels,
        level=study.config.evaluate.level,
    )
    return with_words(view)


def with_words(view: View) -> View:
    """The same with settings called by what they are: `iw_lora · α 1e-4 · β 1 · sum`.

    In every table, so that they are called the same everywhere. Points keep their names, which are
    those of their directories; `View.called` has their words.
    """
    points, labels, lines = view.points, {}, {}
    fixed = [axis for axis in view.axes if axis != "seed"]
    for label, rows in points.groupby("setting", sort=False):
        row = rows.iloc[0]
        own = [axis for axis in fixed if rows[axis].nunique() == len(rows[axis].unique()) == 1]
        labels[label] = _words(view, row, own) or label
        swept = [[axis for axis in own if axis != one] for one in own]
        for shared in (own[:1], *swept):  # what settings on a line share, and lines of a variant
            name = point_name({axis: row[axis] for axis in shared})
            lines[name] = _words(view, row, shared) or name
    if len(set(labels.values())) < len(labels):  # told apart by what is not an axis
        return view
    more = ["seed"] * (points.seed.nunique() > 1)
    words = {row.point: _words(view, row, [*fixed, *more]) for _, row in points.iterrows()}
    called = words if len(set(words.values())) == len(words) else {}
    estimates, contrasts = view.tables["estimates"], view.tables["contrasts"]
    of_settings = estimates["name"].map(labels).where(estimates["of"] == "setting")
    tables = {
        "points": points.assign(setting=points.setting.map(labels)),
        "estimates": estimates.assign(name=of_settings.fillna(estimates["name"])),
        "contrasts": contrasts.assign(a=contrasts.a.map(labels), b=contrasts.b.map(labels)),
    }
    claims = view.tables.get("claims", pd.DataFrame())
    columns = [name for name in ("number", "needed") if name in claims]
    tables["claims"] = claims.assign(**{c: _reworded(claims[c], labels | called) for c in columns})
    for name, table in view.tables.items():
        named = [c for c in ("line", "against") if c in table] if "line" in table else []
        reworded = table.assign(**{c: _line_words(table[c], lines) for c in named})
        tables.setdefault(name, reworded)
    return replace(view, tables=tables, called=called)


def _line_words(names: pd.Series, lines: Mapping[str, str]) -> pd.Series:
    """`td_dpo_tau0.5` and `td_dpo (all lines)` in words."""
    texts = names.dropna()
    heads = texts.map(lambda text: text.partition(" ")[0])
    words = [lines.get(h, h) + t[len(h) :] for h, t in zip(heads, texts, strict=True)]
    return pd.Series(words, texts.index, dtype=object).reindex(names.index)


def _reworded(texts: pd.Series, names: Mapping[str, str]) -> pd.Series:
    """Texts with these names in words; a name that is a plain word stays."""
    # The longer first, since one can be the beginning of another.
    every = [re.escape(name) for name in sorted(names, key=len, reverse=True) if "_" in name]
    found = re.compile(rf"(?<![\w.])(?:{'|'.join(every) or '(?!)'})(?![\w.])")
    return texts.map(
        lambda text: found.sub(lambda one: names[one[0]], text) if isinstance(text, str) else text
    )


def _words(view: View, row: pd.Series, axes: Sequence[str]) -> str:
    """Axis values as one label; words stand without the name of their axis, as they name it."""
    words = []
    for axis in axes:
        value = row[axis]
        plain = isinstance(value, str) and not ordered([value])
        words.append(in_words(view, "" if plain else axis, value))
    return " · ".join(filter(None, words))


def log_columns(points: Iterable[PointResult]) -> pd.DataFrame:
    """One row a point, step and column of train.jsonl that LOG names; a nan where it diverged."""
    rows = []
    for point in points:
        for row in point.train_log or ():
            rows += [
                (point.name, row["step"], column, row[column])
                for column in LOG
                if "step" in row and row.get(column) is not None and math.isfinite(row[column])
            ]
        if (lost := diverged_at(point)) is not None:
            rows.append((point.name, lost, "loss", math.nan))
    return pd.DataFrame(rows, columns=["point", "step", "metric", "value"])


def in_words(view: View, axis: str, value: Any) -> str:
    """A value as legends and captions name it: `accept`, `γ 2`, `ratio 1:2`; "" for none."""
    if isinstance(value, list):
        return " or ".join(in_words(view, axis, one) for one in value)
    if pd.isna(value):
        return ""
    text = short(value) if isinstance(value, (int, float)) else label_of(view.words(str(value)))
    named = axis in view.axes and axis != "variant"
    return f"{NAMES.get(axis, axis.replace('_', ' '))} {text}" if named else text


def short(value: float) -> str:
    """`0.05`, `2.5e-4`: a value of an axis."""
    if isinstance(value, bool) or value == 0 or abs(value) >= 1e-3:
        return f"{value:g}" if not isinstance(value, bool) else str(value).lower()
    digits, _, exponent = f"{value:e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


def levels(values: pd.Series) -> list[Any]:
    """The values of an axis in order: numbers and ratios ascending, words as they come."""
    found = list(dict.fromkeys(values.dropna()))
    if found and ordered(found):
        return sorted(found, key=lambda value: [float(part) for part in str(value).split(":")])
    return found


def ordered(values: Sequence[Any]) -> bool:
    """Whether values are numbers, or ratios such as 1:2: they have an order to show."""
    return all(
        isinstance(value, (int, float)) or re.fullmatch(r"[\d.]+:[\d.]+", str(value))
        for value in values
    )


def main_set(frame: pd.DataFrame, wanted: str | None = None) -> pd.DataFrame:
    """The rows of one test set: the wanted one, else the mean over sets, else the first."""
    sets = [wanted] if wanted else sorted(frame["set"].unique(), key=lambda name: name != "mean")
    return frame[frame["set"] == sets[0]] if sets else frame


def broken(text: str) -> str:
    """A name of a tick in lines of about ten letters; lines that it has already are kept."""
    text = text.replace(" · ", "\n")
    if "\n" in text:
        return "\n".join(map(broken, text.split("\n")))
    lines = [""]
    for word in text.replace("_", " ").split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > 10:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
