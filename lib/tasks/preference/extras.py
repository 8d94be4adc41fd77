"""What a study of preferences has beside estimates: methods at equal β, variance over β, losses."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.analysis.estimates import Measured
from lib.analysis.statistics import percentile_interval
from lib.analysis.tables import TABLES
from lib.analysis.variance import Mean, reduction, stretched, variance_over
from lib.config.grid import point_name
from lib.config.metrics import Pair
from lib.config.study import Study
from lib.losses import symbol_of
from lib.runs.files import read_sealed
from lib.tasks.preference.metrics import BETA

COMPARED = (("preference", "accuracy"), ("mt_bench", "score"))  # (task, metric) of `variance`
SHARES = np.linspace(0, 1, 51)  # quantiles of `margins`

Place = dict[str, Any]  # axis → value, of a setting


def extras(answers: Any) -> dict[str, list[dict[str, Any]]]:
    """Rows of the further tables of a study. answers: `lib.analysis.engine.Answers`."""
    return {
        "variance": variances(answers),
        "margins": margins(answers.tables.items),
        "losses": losses(answers.study.directory / "tables" / "loss_curves.json"),
    }


def places(points: pd.DataFrame) -> dict[str, Place]:
    """Setting → its axis values, without those that its points differ in; points: their table."""
    axes = [axis for axis in points if axis not in TABLES["points"]]
    alike = points.groupby("setting", sort=False)[axes].nunique().le(1)
    first = points.drop_duplicates("setting").set_index("setting")[axes]
    return {
        setting: {a: v for a, v in row.items() if pd.notna(v) and alike.loc[setting, a]}
        for setting, row in first.to_dict("index").items()
    }


# -- methods ---------------------------------------------------------------------------------------


def method_pairs(study: Study, points: pd.DataFrame) -> list[Pair]:
    """Settings of two variants that agree on every axis that both have, the later variant first."""
    stand = places(points)
    variants = list(dict.fromkeys(place.get("variant") for place in stand.values()))
    order = sorted(stand, key=lambda setting: variants.index(stand[setting].get("variant")))
    return [
        Pair("methods", later, earlier)
        for earlier, later in combinations(order, 2)
        if stand[earlier].get("variant") != stand[later].get("variant")
        and _agree(stand[earlier], stand[later])
    ]


def _agree(one: Place, other: Place) -> bool:
    return all(other.get(axis, v) == v for axis, v in one.items() if axis != "variant")


# -- variance over β -------------------------------------------------------------------------------


class Line(NamedTuple):
    """Settings that differ in β alone: β → label."""

    variant: str
    label: str
    settings: dict[float, str]


def lines_over(points: pd.DataFrame, axis: str) -> list[Line]:
    """The lines over an axis, in the order of the points; its values ascending."""
    found: dict[str, Line] = {}
    for setting, place in places(points).items():
        label = point_name({a: v for a, v in place.items() if a != axis})
        line = found.setdefault(label, Line(str(place.get("variant", "")), label, {}))
        if axis in place:
            line.settings[float(place[axis])] = setting
    return [line._replace(settings=dict(sorted(line.settings.items())))
            for line in found.values() if line.settings]  # fmt: skip


def variances(answers: Any) -> list[dict[str, Any]]:
    """Rows of the table `variance`; none where the study has no axis over β.

    The two sides of a reduction always hold the same β, those at which all lines have a value.
    """
    axis = next((axis for axis, key in answers.study.axes.items() if key == BETA), None)
    points, level = answers.tables.points, answers.study.config.evaluate.level
    if axis is None:
        return []
    lines = lines_over(points, axis)
    baseline = set(points.loc[points["baseline"] == "yes", "setting"])
    base = next((line for line in lines if baseline & set(line.settings.values())), None)
    rows = []
    for one in answers.measured:
        if one.slice or (one.task, one.metric.name) not in COMPARED:
            continue
        key = {"task": one.task, "set": one.set, "metric": one.metric.name}
        for line in lines:
            rows.append({**key, "line": line.label, **_of_line(one, line, level)})
            if base and line is not base:
                rows[-1] |= _reduced(one, [line], base, level)
        for variant in dict.fromkeys(line.variant for line in lines):
            group = [line for line in lines if line.variant == variant]
            if base and len(group) > 1 and base not in group:
                reduced = _reduced(one, group, base, level)
                rows.append({**key, "line": f"{variant} (all lines)", **reduced})
    return rows


def _of_line(one: Measured, line: Line, level: float) -> dict[str, Any]:
    means = _means(one, line)
    found: dict[str, Any] = {"levels": _listed(means)}
    if len(means) > 1:
        value, resampled = variance_over(list(means.values()))
        low, high = stretched(value, percentile_interval(resampled, level, flat=True))
        found |= {"sd": value**0.5, "variance": value, "variance_low": low, "variance_high": high}
    return found


def _reduced(one: Measured, group: list[Line], base: Line, level: float) -> dict[str, Any]:
    every = [_means(one, line) for line in (base, *group)]
    shared = sorted(set.intersection(*map(set, every)))
    planned = {beta for line in (base, *group) for beta in line.settings}
    found: dict[str, Any] = {"reason": "fewer than two β with values of both"}
    if len(shared) > 1:
        theirs, *ours = [[means[beta] for beta in shared] for means in every]
        found = reduction(ours, theirs, level)
    return {"against": base.label, "reduction": found.get("value"),
            "reduction_low": found.get("low"), "reduction_high": found.get("high"),
            "shared": _listed(shared), "left_out": _listed(planned - set(shared)),
            "reason": found["reason"]}  # fmt: skip


def _means(one: Measured, line: Line) -> dict[float, Mean]:
    """β → mean over seeds, and the same of every resample, where the line has a value."""
    found = {}
    for beta, setting in line.settings.items():
        if runs := list(one.settings.get(setting, {}).values()):
            resampled = np.mean([run.resampled for run in runs], axis=0)
            found[beta] = (float(np.mean([run.value for run in runs])), resampled)
    return found


def _listed(betas: Iterable[float]) -> str:
    return " ".join(f"{beta:g}" for beta in sorted(betas))


# -- margins and losses ----------------------------------------------------------------------------


def margins(items: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table `margins`: 51 quantiles of ρ of each point."""
    known = items[items["task"] == "preference"].dropna(subset="margin")
    rows = []
    for point, of_point in known.groupby("point", sort=False, observed=True)["margin"]:
        found = np.quantile(of_point.to_numpy(float), SHARES)
        rows += [{"point": point, "share": share, "margin": margin}
                 for share, margin in zip(SHARES, found, strict=True)]  # fmt: skip
    return rows


def losses(path: Path) -> list[dict[str, Any]]:
    """Rows of the table `losses`, from the functions that trained; none before training.

    path: what stage 2 leaves, see `lib.training.curves`. Raises BadInput where it was changed.
    """
    if not path.exists():
        return []
    made = read_sealed(path, "remove it and run a point of stage 2 again")
    rows = []
    for line in made["lines"]:
        variant, _, setting = line["label"].rpartition(" ")
        key, _, value = setting.partition("=")
        parameter = f"{symbol_of(key)} {float(value):g}" if key else ""
        own = {"variant": variant, "parameter": parameter, "unit": line.get("unit", "nats")}
        rows += [
            {**own, "margin": margin, "loss": loss, "gradient": gradient}
            for margin, loss, gradient in zip(
                made["margin"], line["loss"], line["gradient"], strict=True
            )
        ]
    return rows
