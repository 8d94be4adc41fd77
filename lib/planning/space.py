"""What a study takes on the disk: bytes and files, at its end and while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.config.study import Point, Study
from lib.losses import OBJECTIVES
from lib.models.needs import MODEL_FILES, RUN_FILES, prediction_bytes, run_needs
from lib.models.sizes import Footprint, directories, footprint, parameters
from lib.planning.work import Data
from lib.runs.disk import Space, held

LOG_ROW, RUN = 300, 60_000  # bytes of a row of train.jsonl; of configs, marks and metrics
HUB_WIDTH = 2  # bytes a weight of a model on the hub


class Part(NamedTuple):
    """A part of what a study writes. passing: removed once its points are done."""

    what: str
    space: Space
    passing: bool = False


def study_space(study: Study, data: Data, at_once: int) -> list[Part]:
    """What a study takes, part by part. at_once: tasks that train at a time."""
    alike: dict[Any, list[Point]] = {}
    for point in study.points():
        alike.setdefault(_space_key(point), []).append(point)
    models, candidates, running = Space(0, 0), Space(0, 0), Space(0, 0)
    for points in alike.values():
        config, size = points[0].config, _size(points)
        needs = {need.what: need for need in run_needs(config, size)}
        known = bool(needs)
        models = _more(models, size.model, MODEL_FILES, len(points))
        for what, need in needs.items():
            if what.endswith("candidates"):
                candidates = _more(candidates, need.bytes, need.files, len(points))
        passing = [n for what, n in needs.items() if "checkpoint" in what or "best" in what]
        fullest = Space(sum(n.bytes for n in passing) if known else None,
                        sum(n.files for n in passing) if known else None)  # fmt: skip
        running = _larger(running, fullest)
    parts = [
        Part("data", _data_space(study, data)),
        Part("base models", _base_models(study)),
        Part("trained models", models),
        Part("predictions, logs, metrics", _records(study, data)),
        Part("candidates", candidates, passing=True),
        Part("checkpoints", _more(Space(0, 0), running.bytes, running.files, at_once), True),
    ]
    return [part for part in parts if part.space != Space(0, 0)]


def total(parts: Sequence[Part], passing: bool) -> tuple[Space, list[str]]:
    """Of all parts, or of those that stay; and the parts of unknown size, which it leaves out."""
    counted = [part for part in parts if passing or not part.passing]
    unknown = [part.what for part in counted if part.space.bytes is None]
    spaces = [part.space for part in counted]
    return Space(sum(one.bytes or 0 for one in spaces),
                 sum(one.files or 0 for one in spaces)), unknown  # fmt: skip


def _sum(numbers: Sequence[int | None]) -> int | None:
    return None if None in numbers else sum(numbers)


def _more(space: Space, size: int | None, files: int | None, count: int) -> Space:
    return Space(_sum([space.bytes, None if size is None else size * count]),
                 _sum([space.files, None if files is None else files * count]))  # fmt: skip


def _larger(one: Space, other: Space) -> Space:
    if None in (one.bytes, other.bytes):
        return Space(None, None)
    return Space(max(one.bytes, other.bytes), max(one.files, other.files))


def _space_key(point: Point) -> Any:
    config = point.config
    train, model = config.train, config.model
    adapters = (train.lora.model_dump_json(), train.adalora.init_r, train.adalora.target_r)
    return (model.name, model.revision, model.adapter, train.epochs == 0, train.tuning,
            train.precision, OBJECTIVES[train.objective].batch, train.keep, train.processes,
            train.checkpoint_candidates, None if train.tuning == "full" else adapters)  # fmt: skip


def _size(points: Sequence[Point]) -> Footprint:
    """Of points that write the same: computed, else as the first finished one among them has it."""
    size = footprint(points[0].config)
    if size.model is not None:
        return size
    for point in points:
        if (point.directory / "done" / "train.json").exists():
            written = held(point.directory / "model").bytes
            narrow = point.config.train.tuning == "full" and point.config.train.precision == "bf16"
            if written:
                return Footprint(written, written * (6 if narrow else 3))
    return size


def _data_space(study: Study, data: Data) -> Space:
    """Of what stage 1 wrote; unknown before it has."""
    if not data.made:
        return Space(None, None)
    names = ["data", *(study.named("data", task) for task in study.config.tasks[1:]), "reference"]
    spaces = [held(study.directory / name) for name in names]
    return Space(sum(one.bytes for one in spaces), sum(one.files for one in spaces))


def _records(study: Study, data: Data) -> Space:
    written = 0
    for point in study.points():
        work = data.work(point)
        written += RUN + LOG_ROW * ((work.steps or 0) // point.config.train.log_steps)
        for task in study.tasks:
            written += prediction_bytes(point.config, task, data.rows(point, task) or 0)
    return Space(written, len(study.grid) * RUN_FILES)


def _base_models(study: Study) -> Space:
    """Of the models that points start from: what is here, else what their weights will take."""
    spaces = []
    for model in study.model_sections():
        if there := directories(model):
            sizes = [_resolved(path) for path in there]
            spaces.append(Space(sum(s.bytes for s in sizes), sum(s.files for s in sizes)))
        else:
            weights = parameters(model).weights
            spaces.append(Space(weights and weights * HUB_WIDTH, MODEL_FILES))
    return Space(_sum([one.bytes for one in spaces]), _sum([one.files for one in spaces]))


def _resolved(directory: Path) -> Space:
    """Of the files of a directory, those behind links too, as the hub's cache has them."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return Space(sum(path.stat().st_size for path in files), len(files))
