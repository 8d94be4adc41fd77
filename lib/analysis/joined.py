"""Points of several studies in one comparison: `--run-ids` with names such as `study/point`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.load import load_study
from lib.config.points import STUDY
from lib.config.study import Point, Study
from lib.data.testsets import manifest_of
from lib.runs.files import read_json

TRIAL = "-trial"  # how the directory of a trial ends


@dataclass(frozen=True, kw_only=True)
class JoinedStudy(Study):
    """A study and points of others, which are called `study/point` and have the axis STUDY."""

    own: Study
    others: Mapping[str, Study]  # directory → study
    more: tuple[tuple[str, Point], ...]  # its directory, and a point of another study

    @cached_property
    def _points(self) -> list[Point]:
        points = list(self.own.points())
        for place, point in self.more:
            values = {**point.values, STUDY: place}
            name = f"{place}/{point.name}"
            points.append(replace(point, index=len(points), name=name, values=values))
        return points

    def named_values(self, values: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
        """As the study of a point names them, and STUDY."""
        place = values.get(STUDY)
        named = self.others.get(place, self.own).named_values(values, flat)
        return named if place is None else {**named, STUDY: place}


def home(study: Study, point: Point) -> tuple[Study, Point]:
    """The study below whose directory a point's results are, and the point as it is there."""
    if STUDY not in point.values:
        return study, point
    other = study.others[point.values[STUDY]]
    return other, other.point_by_name(point.name.partition("/")[2])


def join(study: Study, names: Sequence[str]) -> Study:
    """The study with the points of others that `names` has; itself where it has none.

    Raises BadInput for a study that is not below the same results_dir, and for one of other tasks,
    or with another test set.
    """
    split = [name.partition("/") for name in names if "/" in name]
    if not split:
        return study
    others = {place: _other(study, place) for place, _, _ in split}
    axes = dict(study.axes)
    for place, other in others.items():
        for axis, key in other.axes.items():
            if axes.setdefault(axis, key) != key:
                raise BadInput(f"--run-ids: {place}: axes.{axis}: found {key}, expected "
                               f"{axes[axis]}, as in {study.path}")  # fmt: skip
    more = tuple((place, others[place].point_by_name(name)) for place, _, name in split)
    given = {one.name: getattr(study, one.name) for one in fields(study)}
    return JoinedStudy(
        **given | {"axes": {**axes, STUDY: STUDY}}, own=study, others=others, more=more
    )


def _other(study: Study, place: str) -> Study:
    directory = study.results_dir / place
    if not (directory / "study.json").exists():
        known = sorted(path.parent.name for path in study.results_dir.glob("*/study.json"))
        raise BadInput(f"--run-ids: no study {place!r} in {study.results_dir}, expected one of "
                       f"{listed(known)}{nearest(place, known)}")  # fmt: skip
    record = read_json(directory / "study.json")
    words = [f"{key}={json.dumps(value)}" for key, value in record["overrides"].items()]
    mode = "trial" if place.endswith(TRIAL) else "full"
    words += [f"name={place.removesuffix(TRIAL)}", f"mode={mode}"]
    other = load_study(record["path"], [*words, f"results_dir={study.results_dir}"])
    if other.config.tasks != study.config.tasks:
        raise BadInput(f"--run-ids: {place}: tasks: found {listed(other.config.tasks)}, expected "
                       f"{listed(study.config.tasks)}, as in {study.path}")  # fmt: skip
    for task in study.config.tasks:
        ours, theirs = (manifest_of(one, task)["splits"]["test"]["sha256"][:12]
                        for one in (study, other))  # fmt: skip
        if ours != theirs:
            raise BadInput(f"--run-ids: {place}: another test set of {task}: found {theirs}, "
                           f"expected {ours}, that of {study.path}")  # fmt: skip
    return other
