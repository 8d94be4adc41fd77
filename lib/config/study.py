"""A study file and its resolved points.

Precedence of a key's value, from lowest to highest: the schema's default, the file, the `trial:`
section (in `mode: trial`), the point's variant, its axes, `key=value` on the command line, and the
limits of a trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lib.config.checks import check
from lib.config.claim_checks import check_claims
from lib.config.claims import Claim, parse_claims
from lib.config.effects import unused_because
from lib.config.errors import BadInput, listed, nearest
from lib.config.figure_specs import figures_of
from lib.config.grid import Grid, Value, digest, parse_grid, unique_names
from lib.config.schema import RENAMED, RUNTIME_KEYS, Config, Model
from lib.config.search_space import Dimension, Search, parse
from lib.config.study_file import (
    SECTIONS,
    axes_and_variants,
    bundle,
    checked_name,
    drop_sections,
    expect,
    name_keys,
    read_file,
    refuse_swept,
    results_path,
    shrink,
    without_model,
)
from lib.config.types import check_length
from lib.config.validation import dotted_keys, validate
from lib.config.yaml import copy_sections, flatten, parse_override, put

OWN_KEYS = ("name", "mode", "results_dir", "axes", "variants", "grid", "claims", "figures", "trial",
            "search", "selected")  # fmt: skip
MODES = ("full", "trial")
# Names in a study's directory that points cannot have.
TAKEN = ("data", "comparison", "tables", "tracking", "reference", "arrays", "search", "previous",
         "study.json", "grid.csv", "jobs.json", "judge.jsonl", "report.html")  # fmt: skip
BELOW = 512  # bytes that files of a study may add to its path


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
        """What the study sets out to decide: place in the file, from 1 → claim."""
        return parse_claims(self)

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
        resolved = [(values, self.resolve(values)) for values in self.grid]
        named = (
            self.named_values(values, flatten(config.model_dump())) for values, config in resolved
        )
        names = unique_names(named, (*TAKEN, *(self.named("data", t) for t in self.config.tasks)))
        return [
            Point(index, values, name, config, self.directory / name)
            for index, (name, (values, config)) in enumerate(zip(names, resolved, strict=True))
        ]

    def points(self) -> list[Point]:
        """All points in grid order."""
        return self._points

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
        models = (point.config.model for point in self._points)
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
    return list({digest(section.model_dump()): section for section in sections}.values())


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Load, merge and check a study file. Raises BadInput with the file and the key."""
    path = str(path)
    raw = read_file(path)
    known = (*OWN_KEYS, *SECTIONS)
    for key in raw:
        if key not in known:
            raise BadInput(
                f"{path}: {key}: unknown key, expected one of {listed(known, 20)}"
                f"{nearest(key, known)}"
            )
    given = dotted_keys(dict(parse_override(text) for text in overrides))
    own = {key: given.pop(key) for key in list(given) if key.split(".")[0] in OWN_KEYS}
    for key, value in own.items():
        put(raw, key, value, f"command line: {key}")
    name_keys(raw, path)
    axes, variants = axes_and_variants(raw, path)
    raw["trial"] = bundle(raw.get("trial") or {}, f"{path}: trial")
    drop_sections(raw, variants, given, path)
    blocks = expect(raw, "grid", list, path)
    try:
        grid = parse_grid(blocks, ["variant", *axes])
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    for variant in grid.axis_values("variant"):
        if variant not in variants:
            hint = "; quote it" if str(variant) in variants else nearest(variant, variants)
            raise BadInput(
                f"{path}: grid: variant {variant!r} does not exist, expected one of "
                f"{listed(variants)}{hint}"
            )
    name, mode = raw.get("name", Path(path).stem), raw.get("mode", "full")
    if mode not in MODES:
        raise BadInput(
            f"{path}: mode: found {mode!r}, expected one of {listed(MODES)}{nearest(mode, MODES)}"
        )
    own = variants
    if mode == "trial":
        own = {v: without_model(bundle, raw["trial"]) for v, bundle in variants.items()}
    refuse_swept(given, axes, own, grid)
    name, results = checked_name(name, path), results_path(raw.get("results_dir", "results"), path)
    study = Study(path, name, mode, results, raw, tuple(overrides), given, axes, variants, grid)
    try:
        check_length(study.directory, BELOW)
    except ValueError as error:
        raise BadInput(f"{path}: results_dir: found {str(results)!r}, expected {error}") from None
    check(study)
    check_claims(study)
    figures_of(study)
    if study.search is not None:
        from lib.config.search_checks import check_search

        check_search(study)
    if study.raw.get("selected") is not None:
        from lib.config.selected import check_selected

        check_selected(study)
    return study


def identity(config: Config, *sections: str) -> dict[str, Any]:
    """What identifies a result: the dotted keys of these sections that can change it, and the task.

    Keys that the point's objective ignores are left out, so that new objectives orphan no results.
    """
    flat, every = flatten(config.model_dump(include=set(sections))), flatten(config.model_dump())
    kept = {
        key: value
        for key, value in flat.items()
        if key not in RUNTIME_KEYS and unused_because(key, every) is None
    }
    return {"task": config.tasks[0], **_stored(kept)}


def _stored(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys under the names that were hashed before they were renamed."""
    old = {new: old for old, new in RENAMED.items()}
    return {old.get(key, key): value for key, value in flat.items()}
