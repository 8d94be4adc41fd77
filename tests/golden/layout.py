"""Where stages 1 to 3 would leave a simulated study: the one place here that knows lib.

What is written is what `lib` reads today, sealed as the stages seal it. Where the form of these
files changes, this module changes, and no number of a golden file does.
"""

import copy
from pathlib import Path
from typing import Any

import yaml

from lib.config import tasks
from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.config.yaml import put, read_yaml
from lib.data.preparation import recorded_splits
from lib.data.prepared import MANIFEST, model_key, train_identity
from lib.data.testsets import directory, predict_identity
from lib.judging.judgments import write_judgments
from lib.runs.directory import done_mark, mark_done
from lib.runs.files import write_json, write_jsonl, write_sealed
from tests.golden.simulation import Outputs, Row, Simulation

CONFIGS = Path(__file__).parents[2] / "configs"


def write_study(simulation: Simulation, root: Path) -> Path:
    """Leave all of a study below `root` that stage 4 reads; returns the study file."""
    path = root / f"{simulation.config}.yaml"
    path.write_text(study_text(simulation, root), encoding="utf-8")
    study = load_study(path)
    _write_data(study, simulation)
    for point in study.points():
        outputs = simulation.outputs_of(point.values, point.name)
        if outputs is not None:
            _write_point(study, point, outputs)
    return path


def study_text(simulation: Simulation, root: Path) -> str:
    """The study file of configs/ with the simulation's changes, as YAML."""
    source = CONFIGS / f"{simulation.config}.yaml"
    raw = read_yaml(source.read_text(encoding="utf-8"), str(source))
    raw["results_dir"] = str(root / "results")
    for key, value in simulation.changes.items():
        put(raw, key, copy.deepcopy(value), key)
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)


def _write_data(study: Study, simulation: Simulation) -> None:
    """The test set of each task; training sets of one row, which stage 4 never reads."""
    part = tasks.get(study.config.tasks[0])
    named = {part.train_split(section) for section in study.data_sections()}
    models = {model_key(m): {"name": m.name, "digest": None} for m in study.model_sections()}
    for task, rows in simulation.rows.items():
        place, splits = directory(study, task), {"test": rows}
        if task == study.config.tasks[0]:
            splits |= {name: [{"id": name}] for name in sorted(named)}
        for name, kept in splits.items():
            write_jsonl(place / f"{name}.jsonl", kept)
        manifest: Row = {"study": study.name, "identity": {}, **recorded_splits(place, splits)}
        write_sealed(place / MANIFEST, manifest | {"models": models, "tokens": {}})


def _write_point(study: Study, point: Point, outputs: Outputs) -> None:
    files = []
    if outputs.log:
        write_jsonl(point.directory / "train.jsonl", outputs.log)
        files.append("train.jsonl")
    for name, content in outputs.records.items():
        write_json(point.directory / f"{name}.json", content)
        files.append(f"{name}.json")
    mark_done(point.directory, "train", train_identity(study, point), files,
              status=outputs.status, step=len(outputs.log))  # fmt: skip
    some = slice(point.config.infer.rows)
    for task, rows in outputs.predictions.items():
        name, mark = study.named("predictions", task), study.named("infer", task)
        write_jsonl(point.directory / f"{name}.jsonl", rows[some])
        mark_done(point.directory, mark, predict_identity(study, point, task), [f"{name}.jsonl"],
                  rows=len(rows[some]))  # fmt: skip
        if task in outputs.judgments:
            answers = _checksum(point.directory, mark, f"{name}.jsonl")
            judged = outputs.judgments[task][some]
            write_judgments(point, task, {"answers": answers}, judged, outputs.whole)


def _checksum(place: Path, mark: str, name: str) -> str:
    recorded: Any = done_mark(place, mark)
    return recorded["files"][name]["sha256"][:12]
