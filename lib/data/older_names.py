"""Results under the names that an earlier grid gave its points, found by what they compute.

A point is named by its values, so a new axis renames every point, also those that compute what they
did before. Their results are recognised by the identity of their training and of their predictions,
and `results/<study>/<point>` becomes a link to the older directory. Nothing is moved: a task that
is at work there goes on, and the lock, a file of that directory, is one under both names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.study import Point, Study, identity
from lib.data.prepared import MANIFEST, train_identity
from lib.data.testsets import predict_identity
from lib.runs.directory import done_mark, unchanged
from lib.runs.files import read_json


def link_older_names(study: Study) -> list[str]:
    """Link the points that have no directory to older ones with their results; returns their names.

    All is decided on one listing of the study's directory, by the order of the grid, and a link
    is never replaced: tasks that look at the same time link alike, and no two points share a
    directory. Results that the disk does not let link stay as they are.
    """
    if not (study.directory / "data" / MANIFEST).exists():
        return []
    points = {point.name: point for point in study.points()}
    entries = sorted(os.scandir(study.directory), key=lambda entry: entry.name)
    listed = {entry.name for entry in entries}
    used = set()
    for entry in entries:
        if entry.name in points and entry.is_symlink():
            used.add(os.readlink(entry))
            if not os.path.exists(entry):  # its results were removed: the point begins anew
                Path(entry).unlink(missing_ok=True)
    older = [
        Path(entry)
        for entry in entries
        if entry.name not in points
        and entry.name not in used
        and entry.is_dir(follow_symlinks=False)
    ]
    recorded = {path: trained_from for path in older if (trained_from := _trained_from(path))}
    linked = []
    for name, point in points.items() if recorded else ():
        if name in listed:
            continue
        match = next((p for p, before in recorded.items() if _holds(study, point, p, before)), None)
        if match is None:
            continue
        del recorded[match]
        with suppress(OSError):
            point.directory.symlink_to(match.name, target_is_directory=True)
            linked.append(name)
    return linked


def _trained_from(directory: Path) -> dict[str, Any] | None:
    """The identity of the training in a directory, finished or begun; None where there is none."""
    with suppress(BadInput):
        if mark := done_mark(directory, "train"):
            return mark["identity"]
        if (directory / "config.json").exists():
            return read_json(directory / "config.json").get("identity")
    return None


def _holds(study: Study, point: Point, directory: Path, trained_from: Mapping[str, Any]) -> bool:
    """Whether a directory holds what this point would train and predict."""
    # The config first, which is quick: keys with a space stand for contents of files.
    config = {key: value for key, value in trained_from.items() if " " not in key}
    if not unchanged(config, identity(point.config, "model", "data", "train")):
        return False
    try:
        if not unchanged(trained_from, train_identity(study, point)):
            return False
        marks = {task: done_mark(directory, study.named("infer", task)) for task in study.tasks}
        return all(
            unchanged(mark["identity"], predict_identity(study, point, task))
            for task, mark in marks.items()
            if mark
        )
    except BadInput:  # data that stage 1 has still to build, or a damaged mark
        return False
