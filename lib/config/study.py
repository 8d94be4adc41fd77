"""A study and its resolved points; `lib.config.load` reads it from its file.

Precedence of a key's value, from lowest to highest: the schema's default, the file, the `trial:`
section (in `mode: trial`), the point's variant, its axes, `key=value` on the command line, and the
limits of a trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.claims import Claim, parse_claims
from lib.config.effects import unused_because
from lib.config.errors import BadInput, listed, nearest
from lib.config.grid import Grid, Value, digest, point_name, unique_names
from lib.config.points import SEED, STUDY
from lib.config.schema import ADDED, RENAMED, RUNTIME_KEYS, Config, Model
from lib.config.search_space import Dimension, Search, parse
from lib.config.study_file import SECTIONS, shrink, without_model
from lib.config.validation import validate
from lib.config.yaml import copy_sections, flatten, get_attribute, put, with_attribute

# Names in a study's directory that points cannot have.
TAKEN = ("data", "comparison", "tables", "tracking", "reference", "arrays", "search", "previous",
         "submissions", "study.json", "grid.csv", "listing.json", "jobs.json", "judge.jsonl",
         "report.html", "freed.jsonl")  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One point of the grid, resolved."""

    index: int
    values: dict[str, Value]
    name: str
    config: Config
    directory: Path
    trial: int | None = None  # number in the study's search; None for points of the grid

    @cached_property
    def flat(self) -> dict[str, Any]:
        """The config under dotted keys."""
        return flatten(self.config.model_dump())

    @property
    def words(self) -> list[str]:
        """Arguments that select the point on a stage's command line."""
        return ["--index", str(self.index)] if self.trial is None else ["--trial", str(self.trial)]

    def describe(self) -> dict[str, Any]:
        """The point as `python -m stages.grid --index` prints it."""
        return {
            "index": self.index,
            "name": self.name,
            "values": self.values,
            "directory": str(self.directory),
            "config": self.config.model_dump(),
        }


Coordinates = dict[str, Any]  # axis → value, of a setting
Settings = dict[str, tuple[Coordinates, list[Point]]]  # label → where it stands, and its points


@dataclass(frozen=True)
class Study:
    """A study file with its overrides."""

    path: str
    name: str
    mode: str
    results_dir: Path
    raw: dict[str, Any]
    words: tuple[str, ...]  # the overrides as on the command line
    overrides: dict[str, Any]
    axes: dict[str, str]
    variants: dict[str, dict[str, Any]]
    grid: Grid

    @cached_property
    def config(self) -> Config:
        """The config without variant and axis values."""
        return self.resolve({})

    @cached_property
    def search(self) -> Search | None:
        """The section `search`, None where the study has none."""
        return None if self.raw.get("search") is None else parse(self.raw["search"], self.path)[0]

    @cached_property
    def space(self) -> dict[str, Dimension]:
        """The space of `search`: key → values; empty where the study searches nothing."""
        return {} if self.search is None else parse(self.raw["search"], self.path)[1]

    @cached_property
    def claims(self) -> dict[int, Claim]:
        """What the study sets out to decide: place in the file, from 1 → claim.

        One of a task that the command line takes out of `tasks` is left out.
        """
        claims = parse_claims(self.raw.get("claims") or [], self.path)
        given = self.raw.get("tasks")
        dropped = {
            task
            for task in tasks.names()
            if isinstance(given, list) and task in given and task not in self.config.tasks
        }
        dropped |= {table for task in dropped for table in tasks.get(task).analysis.by_point}
        return {n: one for n, one in claims.items() if one.metric.partition(".")[0] not in dropped}

    @property
    def tasks(self) -> list[str]:
        """The tasks to predict and evaluate: those not skipped."""
        return [task for task in self.config.tasks if task not in self.config.skip]

    @property
    def directory(self) -> Path:
        """`results/<study>/`, or `results/<study>-trial/` in trial mode."""
        return self.results_dir / (self.name + ("-trial" if self.mode == "trial" else ""))

    def named(self, stem: str, task: str) -> str:
        """Name of a task's own file or mark: the first task's is `stem`, another's `stem_task`."""
        return stem if task == self.config.tasks[0] else f"{stem}_{task}"

    @cached_property
    def grid_hash(self) -> str:
        """Identifies the map from indices to points."""
        variants = {name: _stored(bundle) for name, bundle in self.variants.items()}
        return digest([self.axes, variants, [list(b.items()) for b in self.grid.blocks]])

    @cached_property
    def _points(self) -> list[Point]:
        resolved = list(self._resolved())
        named = (self.named_values(values, flat) for values, _, flat in resolved)
        names = unique_names(named, (*TAKEN, *(self.named("data", t) for t in self.config.tasks)))
        points = []
        for index, (name, (values, config, flat)) in enumerate(zip(names, resolved, strict=True)):
            point = Point(index, values, name, config, self.directory / name)
            vars(point)["flat"] = flat  # as `Point.flat` would store it
            points.append(point)
        return points

    def _resolved(self) -> Iterator[tuple[dict[str, Value], Config, dict[str, Any]]]:
        """Axis values, config and dotted keys of each point.

        A value that is validated by itself is validated once: further points that have it are
        copies of one that differs in such values alone.
        """
        independent = [axis for axis, key in self.axes.items() if _is_independent(self.config, key)]
        first: dict[Any, tuple[Config, dict[str, Any]]] = {}
        valid: dict[Any, Any] = {}  # axis and value → the value as the schema returns it
        for values in self.grid:
            typed = {axis: (axis, type(value), value) for axis, value in values.items()}
            own = [axis for axis in independent if axis in values]
            group = tuple(axis if axis in own else typed[axis] for axis in values)
            if group not in first or any(typed[axis] not in valid for axis in own):
                config = self.resolve(values)
                flat = flatten(config.model_dump())
                first.setdefault(group, (config, flat))
                valid |= {typed[a]: get_attribute(config, self.axes[a]) for a in own}
            else:
                config, flat = first[group]
                changes = {self.axes[axis]: valid[typed[axis]] for axis in own}
                flat = flat | changes
                for key, value in changes.items():
                    config = with_attribute(config, key, value)
            yield values, config, flat

    def points(self) -> list[Point]:
        """All points in grid order."""
        return self._points

    @cached_property
    def settings(self) -> Settings:
        """The points without their seeds and without what they are tested on.

        An axis that a point does not list, and uses, has the value of its config.
        """
        leave_out = (SEED, *tasks.get(self.config.tasks[0]).data_axes)
        settings: Settings = {}
        for point in self.points():
            values = self.named_values(point.values, point.flat)
            place = {a: v for a, v in values.items() if self.axes.get(a) not in leave_out}
            label = point_name({axis: v for axis, v in place.items() if axis != STUDY})
            label = f"{place[STUDY]}/{label}" if STUDY in place else label
            settings.setdefault(label, (place, []))[1].append(point)
        return settings

    def point(self, index: int) -> Point:
        """Point `index`. Raises BadInput when out of range."""
        self.grid.values(index)
        return self._points[index]

    def point_by_name(self, name: str) -> Point:
        """The point of this name. Raises BadInput with the closest valid name."""
        by_name = {point.name: point for point in self._points}
        if name not in by_name:
            raise BadInput(
                f"{self.path}: no point is named {name!r}; the grid has "
                f"{listed(by_name, 4)}{nearest(name, by_name)}"
            )
        return by_name[name]

    def data_sections(self) -> list[Any]:
        """The different `data` sections of the points."""
        return _distinct(point.config.data for point in self._points)

    def model_sections(self) -> list[Model]:
        """The different models of the points without adapters, which determine the tokens."""
        return list(self._models)

    @cached_property
    def _models(self) -> list[Model]:  # asked for by every point: quadratic if found anew
        models = _distinct(point.config.model for point in self._points)
        return _distinct(model.model_copy(update={"adapter": None}) for model in models)

    def resolve(self, values: Mapping[str, Value]) -> Config:
        """The typed config at these axis values. Raises BadInput for what no schema allows."""
        raw = copy_sections({key: self.raw[key] for key in SECTIONS if key in self.raw})
        layers = [("file", "trial: ", self.raw["trial"])] if self.mode == "trial" else []
        if "variant" in values:
            variant = str(values["variant"])
            given = self.variants[variant]
            if self.mode == "trial":  # the trial's model is used for every variant
                given = without_model(given, self.raw["trial"])
            layers.append(("file", f"variants.{variant}: ", given))
        swept = {self.axes[a]: v for a, v in values.items() if a != "variant"}
        layers.append(("file", "grid: ", swept))
        layers.append(("command line", "", self.overrides))
        origin: dict[str, str] = {}
        for source, label, layer in layers:
            for key, value in layer.items():
                where = self.path if source == "file" else source
                put(raw, key, copy_sections(value), f"{where}: {label}{key}")
                origin[key] = f"{where}: {label}"
        config = validate(raw, self.path, origin)
        return shrink(config) if self.mode == "trial" else config

    def named_values(self, values: Mapping[str, Value], flat: Mapping[str, Any]) -> dict[str, Any]:
        """The values in a point's name: of listed axes, and of unlisted ones that it uses."""
        named = {"variant": values["variant"]} if "variant" in values else {}
        for axis, key in self.axes.items():
            untrained = flat["train.epochs"] == 0 and key.startswith("train.")
            if axis in values:
                named[axis] = values[axis]
            elif not untrained and unused_because(key, flat) is None:
                named[axis] = flat.get(key)
        return named


def _distinct(sections: Iterable[Any]) -> list[Any]:
    """Distinct sections, in order of first appearance."""
    objects = {id(section): section for section in sections}.values()  # points share most of them
    return list({digest(section.model_dump()): section for section in objects}.values())


def _is_independent(config: Config, key: str) -> bool:
    """Whether the values of a key are validated by themselves, and not with others of a section."""
    *sections, _ = key.split(".")
    for section in sections:
        config = getattr(config, section, None)
        decorators = getattr(config, "__pydantic_decorators__", None)
        if decorators is None or decorators.model_validators:
            return False
    return bool(sections)


def identity(config: Config, *sections: str) -> dict[str, Any]:
    """What identifies a result: the dotted keys of these sections that can change it, and the task.

    Keys that the point's objective ignores are left out, so that new objectives orphan no results.
    """
    flat, every = flatten(config.model_dump(include=set(sections))), flatten(config.model_dump())
    kept = {
        key: value
        for key, value in flat.items()
        if key not in RUNTIME_KEYS
        and (key not in ADDED or value != ADDED[key])
        and unused_because(key, every) is None
    }
    return {"task": config.tasks[0], **_stored(kept)}


def _stored(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys under the names that were hashed before they were renamed."""
    old = {new: old for old, new in RENAMED.items()}
    return {old.get(key, key): value for key, value in flat.items()}
