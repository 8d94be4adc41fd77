"""What the reference of preference pairs depends on, and where it is kept. No torch.

results/<study>/reference/<digest>/key.json     the key, and the checksums of all files
results/<study>/reference/<digest>/<split>.npy  (n, 2) float64: chosen, rejected; in row order
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.config.grid import digest
from lib.config.schema import Model, Train
from lib.config.study import Point, Study
from lib.data.prepared import read_manifest
from lib.losses import OBJECTIVES
from lib.models.precision import precision_here

SCORING = 3  # of how pairs are packed and scored; another one rounds in another way


def pair_checksums(study: Study) -> dict[str, str]:
    """Checksums of the tokens of each split, and of the base model under `model`."""
    manifest = read_manifest(study)
    (base,) = manifest["models"].values()  # pairs have one, see lib.config.checks
    tokens = {name: manifest["tokens"][f"encoded/{name}"] for name in manifest["splits"]}
    return {**tokens, "model": base["digest"]}


def reference_key(
    model: Model, train: Train, checksums: Mapping[str, str], four_bits: bool
) -> dict[str, Any]:
    """What the reference's log-probabilities depend on; neither β, τ, objective nor seed.

    `checksums`: see `pair_checksums`; chat template and length limit are part of the tokens.
    `four_bits`: whether the device that trains holds 4-bit weights, see models.trainable.nf4_fault.
    """
    precision = precision_here(train.precision)
    weights = {"qlora": "nf4", "lora": precision, "full": "fp32"}[train.tuning]
    if train.tuning == "qlora" and not four_bits:
        weights = precision
    return {
        "model": model.name,
        "revision": model.revision,
        "weights": weights,
        "precision": precision,
        "scoring": SCORING,
        **({"forward": "bf16"} if in_bf16(train) else {}),
        "content": dict(sorted(checksums.items())),
    }


def in_bf16(train: Train) -> bool:
    """Whether a forward pass casts every weight and the residual stream to bf16, as FSDP2 does.

    Autocast leaves the residual stream and the norms of fp32 weights in fp32.
    """
    return train.fsdp is not None and precision_here(train.precision) == "bf16"


def reference_directory(study: Path, key: Mapping[str, Any]) -> Path:
    """Where a reference is kept; study: results/<study>/."""
    return study / "reference" / digest(key)


def is_stored(study: Path, key: Mapping[str, Any]) -> bool:
    """Whether a reference is there, whole."""
    return (reference_directory(study, key) / "key.json").exists()


def needs_reference(point: Point) -> bool:
    """Whether a point is trained on preference pairs."""
    train = point.config.train
    return OBJECTIVES[train.objective].batch == "pairs" and train.epochs > 0


def has_reference(study: Study, point: Point) -> bool:
    """Whether the reference of a point is stored.

    Of either kind of weights and precision: a login node need not have the device that trains.
    """
    return any(is_stored(study.directory, key) for key in _keys(study, point))


def points_without_reference(study: Study) -> list[Point]:
    """The first point of each reference that is missing; none where none is needed.

    Raises BadInput where stage 1 has not run.
    """
    missing: dict[str, Point] = {}
    for point in study.points():
        if needs_reference(point) and not has_reference(study, point):
            missing.setdefault(digest(_keys(study, point)[0]), point)
    return list(missing.values())


def _keys(study: Study, point: Point) -> list[dict[str, Any]]:
    checksums, config = pair_checksums(study), point.config
    given = config.train.precision
    trains = [
        config.train.model_copy(update={"precision": precision})
        for precision in (("bf16", "fp32") if given == "auto" else (given,))
    ]
    return [
        reference_key(config.model, train, checksums, four_bits)
        for train in trains
        for four_bits in (True, False)
    ]
