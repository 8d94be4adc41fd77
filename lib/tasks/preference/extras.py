"""What a study of preferences has beside estimates: methods at equal β, variance over β, losses."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.analysis.estimates import Measured, Run
from lib.analysis.model import Pair
from lib.analysis.tables import TABLES
from lib.analysis.variance import Bounded, Variance, interval, reduction, variance
from lib.config.grid import point_name
from lib.losses import symbol_of
from lib.runs.files import read_sealed

BETA = "train.beta"  # key of the axis that variances are over
COMPARED = (("preference", "accuracy"), ("mt_bench", "score"))  # (task, metric) of `variance`
SHARES = np.linspace(0, 1, 101)  # quantiles of `margins`

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


def method_pairs(points: pd.DataFrame, eval_config: Any) -> list[Pair]:
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
    return [line._replace(settings=dict(sorted(line.settings.items()))) for line in found.values()]


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
    known = [beta for beta, setting in line.settings.items() if setting in one.settings]
    found = _variance(one, line, known)
    if found is None:
        return {"levels": _listed(known)}
    value, low, high, _ = interval(found, level)
    return {"levels": _listed(known), "sd": value**0.5, "variance": value,
            "variance_low": low, "variance_high": high}  # fmt: skip


def _reduced(one: Measured, group: list[Line], base: Line, level: float) -> dict[str, Any]:
    everyone = [base, *group]
    known = [{b for b, setting in line.settings.items() if setting in one.settings}
             for line in everyone]  # fmt: skip
    betas = sorted(set.intersection(*known))
    planned = sorted({beta for line in everyone for beta in line.settings})
    found: Bounded = reduction(
        [_variance(one, line, betas) for line in group], _variance(one, base, betas), level
    )
    return {"against": base.label, "reduction": found.value, "reduction_low": found.low,
            "reduction_high": found.high, "shared": _listed(betas),
            "left_out": _listed([b for b in planned if b not in betas]),
            "reason": found.reason}  # fmt: skip


def _variance(one: Measured, line: Line, betas: list[float]) -> Variance | None:
    if len(betas) < 2:
        return None
    runs: list[list[Run]] = [list(one.settings[line.settings[beta]].values()) for beta in betas]
    means = [float(np.mean([run.value for run in seeds])) for seeds in runs]
    return variance(means, np.array([np.mean([r.resampled for r in seeds], 0) for seeds in runs]))


def _listed(betas: list[float]) -> str:
    return " ".join(f"{beta:g}" for beta in betas)


# -- margins and losses ----------------------------------------------------------------------------


def margins(items: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table `margins`: 101 quantiles of ρ of each point."""
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
