"""The points table: where each point stands, and what its training used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lib.analysis.tables import columns
from lib.config.selected import is_selected
from lib.config.settings import baseline, selected
from lib.config.study import Point, Study
from lib.config.tasks import PointResult
from lib.runs.train_log import curve, diverged_at, validation_accuracy

GB = 1e9


def find_baseline(study: Study, results: Sequence[PointResult]) -> tuple[str | None, str | None]:
    """Label of the setting that `evaluate.baseline` names; why it cannot serve here, if so."""
    (label, (_, points)), *_ = selected(study.settings, baseline(study)).items()
    own = {point.name for point in points}
    statuses = {result.status for result in results if result.name in own}
    if not statuses:
        return None, f"the baseline {label} is not among these points"
    if "done" not in statuses:
        return label, f"the baseline {label} is {', '.join(sorted(statuses))}"
    return label, None


def points_table(
    study: Study,
    points: Sequence[Point],
    results: Sequence[PointResult],
    complete: Mapping[str, bool | None],
) -> pd.DataFrame:
    """results: of the first task, one a point. complete: whether all answers are valid."""
    labels = {
        point.name: label for label, (_, members) in study.settings.items() for point in members
    }
    named, _ = find_baseline(study, results)
    axes = [axis for axis in ("variant", *study.axes)
            if axis != "seed" and any(axis in point.values for point in points)]  # fmt: skip
    rows = []
    for point, result in zip(points, results, strict=True):
        label = labels[point.name]
        rows.append({
            "point": point.name,
            "index": point.index,
            "seed": point.config.train.seed,
            "status": result.status,
            "setting": label,
            **{axis: point.values.get(axis) for axis in axes},
            "selected": "yes" if is_selected(study, point) else None,
            "baseline": "yes" if label == named else None,
            "trained": {"missing": None, "diverged": 0.0}.get(result.status, 1.0),
            "complete": _as_number(complete.get(point.name)),
            **training_of(result),
        })  # fmt: skip
    return pd.DataFrame(rows)[columns("points", tuple(axes))]


def _as_number(known: bool | None) -> float | None:
    return None if known is None else float(known)


def training_of(result: PointResult) -> dict[str, Any]:
    """Columns of the points table that say what training used and reached; None where unknown."""
    usage, made = (result.records.get(name) or {} for name in ("usage", "run"))
    steps, times = curve(result, "seconds")
    seconds, calibration = usage.get("seconds"), usage.get("calibration_seconds")
    if seconds is None:
        seconds = times[-1] if times else None
    if seconds is not None:
        seconds += calibration or 0.0
    device, memory = usage.get("device") or made.get("device"), usage.get("peak_memory_bytes")
    slurm = made.get("slurm") or {}
    job = slurm.get("SLURM_ARRAY_JOB_ID") or slurm.get("SLURM_JOB_ID")
    index = slurm.get("SLURM_ARRAY_TASK_ID")
    on_gpu = device is not None and "cpu" not in str(device).lower()
    hours = seconds / 3600 * result.config.train.processes if seconds and on_gpu else None
    return {
        "steps": usage.get("steps") or (int(steps[-1]) if steps else None),
        "diverged_at": diverged_at(result),
        "validation_accuracy": validation_accuracy(result),
        "seconds": seconds,
        "gpu_hours": hours,
        "peak_memory_gb": None if memory is None else memory / GB,
        "trainable_parameters": usage.get("trainable_parameters"),
        "calibration_share": calibration / seconds if seconds and calibration is not None else None,
        "job": None if job is None else f"{job}_{index}" if index is not None else str(job),
        "node": made.get("host"),
        "device": device,
    }
