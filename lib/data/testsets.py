"""The test set of every task: the first task's lies with the training data, another's by itself.

results/<study>/data/test.jsonl             of the first task, see `lib.data.prepared`
results/<study>/data_<task>/test.jsonl      of a further task, with a manifest.json beside it
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.schema import Config
from lib.config.study import Point, Study, identity
from lib.config.yaml import flatten
from lib.data.preparation import file_checksums, made_from, store
from lib.data.prepared import REMEDY, prompt_digest, read_manifest, train_identity
from lib.runs.directory import locked
from lib.runs.files import check_writable, read_jsonl
from lib.runs.integrity import verify


def directory(study: Study, task: str) -> Path:
    """Where the test set of a task lies."""
    return study.directory / study.named("data", task)


def build_test(study: Study, task: str) -> tasks.Splits:
    """The test rows of a further task, not yet written. Raises BadInput for bad data."""
    section = getattr(study.config, task)
    return tasks.get(task).build(section, [section], study.config.evaluate, False)


def prepare_test(study: Study, task: str, force: bool = False, who: str = "") -> dict[str, Any]:
    """Write the test set of a further task; returns its manifest.

    Raises BadInput, before anything is written, for bad data, or where there is one that was made
    from other settings; `force` sets that aside.
    """
    name, section = directory(study, task).name, getattr(study.config, task)
    now = flatten({task: section.model_dump()})
    now |= file_checksums(list(now.values()))
    if not force and (manifest := made_from(study, name, now)):
        return manifest
    check_writable(study.directory)
    built = build_test(study, task)
    content = {"task": task, "identity": now, "report": built.report}
    with locked(study.directory, who):
        return store(study, name, {"test": built.rows["test"]}, content, force)


def manifest_of(study: Study, task: str) -> dict[str, Any]:
    """The manifest that names a task's test set. Raises BadInput where stage 1 has not run."""
    return read_manifest(study, directory(study, task).name)


def rows_of(study: Study, task: str, point: Point | None = None) -> list[tasks.Row]:
    """The rows of a task's test split, in order; of a point those that it predicts.

    Raises BadInput where they are not those that stage 1 wrote.
    """
    manifest, place = manifest_of(study, task), directory(study, task)
    verify(place, manifest["files"], REMEDY, ["test.jsonl"])
    rows = read_jsonl(place / "test.jsonl")
    return own_rows(task, rows, point.config)[: point.config.infer.rows] if point else rows


def own_rows(task: str, rows: Sequence[tasks.Row], config: Config) -> list[tasks.Row]:
    """Of a task's test or validation rows those that concern a point, see `Task.select_rows`."""
    return tasks.get(task).select_rows(rows, section_of(config, task))


def section_of(config: Config, task: str) -> Any:
    """The section of a task: `data` of the first, of another the one that has its name."""
    return config.data if task == config.tasks[0] else getattr(config, task)


def predict_identity(study: Study, point: Point, task: str) -> dict[str, Any]:
    """What the predictions of a point depend on."""
    first = task == study.config.tasks[0]
    section = [] if first else [task]
    return {
        **train_identity(study, point),
        **identity(point.config, "infer", *section),
        "test sha256": manifest_of(study, task)["splits"]["test"]["sha256"][:12],
        "test tokens": prompt_digest(study, point) if first else None,
    }
