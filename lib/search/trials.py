"""A trial of a search as a point of its study, and its metrics. No torch, no Optuna.

results/<study>/search/trial-0003/            the files of a point
results/<study>/search/trial-0003/trial.json  its parameters, as in the journal
results/<study>/search/claims/0003/           the lock of the task that runs it
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.search_checks import ACCURACY, LOSS, base_values, trial_config
from lib.config.study import Point, Study
from lib.runs.files import read_jsonl, read_sealed, write_sealed

RECORD = "trial.json"


def trial_name(number: int) -> str:
    """`trial-0003`."""
    return f"trial-{number:04d}"


def trial_directory(study: Study, number: int) -> Path:
    """Directory of a trial."""
    return study.directory / "search" / trial_name(number)


def claim(study: Study, number: int) -> Path:
    """Directory whose lock the task of a trial holds, beside that of its training."""
    return study.directory / "search" / "claims" / f"{number:04d}"


def trial_count(study: Study) -> int:
    """Number of trials; none in trial mode."""
    return 0 if study.search is None or study.mode == "trial" else study.search.trials


def write_trial(study: Study, number: int, params: Mapping[str, Any]) -> Point:
    """Write a trial's parameters for the stages that run it; returns its point."""
    path = trial_directory(study, number) / RECORD
    record = {"trial": number, "params": dict(params)}
    if not path.exists() or read_sealed(path, "remove it", ("params",)) != record:
        write_sealed(path, record)
    return _point(study, number, params)


def read_trial(study: Study, number: int) -> Point:
    """The point of a trial. Raises BadInput for an unknown one, or one not started."""
    check_number(study, number)
    path = trial_directory(study, number) / RECORD
    again = f"run python -m stages.search {study.path} --trial {number}"
    if not path.exists():
        raise BadInput(f"{path}: no parameters yet; {again}")
    return _point(study, number, read_sealed(path, f"remove it and {again}", ("params",))["params"])


def check_number(study: Study, number: int) -> None:
    """Raise BadInput for a trial that the study does not have."""
    if study.search is None:
        raise BadInput(f"{study.path}: search: missing; only a study with this section has trials")
    count = trial_count(study)
    if not 0 <= number < count:
        valid = f"valid are 0 to {count - 1}" if count else "mode: trial has none"
        raise BadInput(f"--trial: {number} is outside the search; {valid}")


def _point(study: Study, number: int, params: Mapping[str, Any]) -> Point:
    config = trial_config(study, params)
    values = {**base_values(study), **params}
    directory = trial_directory(study, number)
    return Point(-1, values, trial_name(number), config, directory, trial=number)


def validations(point: Point, metric: str) -> dict[int, float]:
    """Finite values of a validation metric in train.jsonl: number, from 1 → value.

    By number rather than step, since steps depend on the batch size.
    """
    rows = _validated(point)
    return {n: row[metric] for n, row in enumerate(rows, 1) if row.get(metric) is not None}


def result(point: Point, metric: str) -> float | None:
    """The metric of a finished trial's final weights, None if its log has none."""
    rows = [row for row in _validated(point) if row.get(metric) is not None]
    if not rows:
        return None
    if point.config.train.keep == "last":
        return rows[-1][metric]
    return max(rows, key=lambda row: row.get(ACCURACY, -row[LOSS]))[metric]  # the first of ties


def last_step(point: Point) -> int | None:
    """The step of the last validation."""
    rows = _validated(point)
    return rows[-1]["step"] if rows else None


def _validated(point: Point) -> list[dict[str, Any]]:
    path = point.directory / "train.jsonl"
    rows = read_jsonl(path, torn_tail=True) if path.exists() else []
    return [row for row in rows if ACCURACY in row or LOSS in row]
