"""`mode: trial`: a study in miniature, which goes through all stages in minutes on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.settings import get, put

LIMITS = {
    "train.epochs": 1.0,
    "train.max_steps": 2,
    "train.importance.batches": 2,
    "data.test_rows": 8,
    "infer.max_new_tokens": 16,
}
FIXED = {"tracking": "none", "train.processes": 1, "train.fsdp": None}


def shrink(raw: dict[str, Any], path: str) -> None:
    """Bring a point's settings within the limits of a trial, whatever the file says."""
    for key, value in FIXED.items():
        put(raw, key, value, f"{path}: {key}")
    for key, limit in LIMITS.items():
        given = get(raw, key)
        usable = isinstance(given, (int, float)) and not isinstance(given, bool)
        put(raw, key, min(given, limit) if usable else given or limit, f"{path}: {key}")


def without_model(variant: Mapping[str, Any], trial: Mapping[str, Any]) -> dict[str, Any]:
    """A variant without the keys of `model` that the trial sets: it runs on any machine."""
    return {k: v for k, v in variant.items() if not (k in trial and k.startswith("model."))}
