"""The project's own code: what identifies it, and snapshots that submitted tasks run.

results/<study>/submissions/code-<digest>/{lib,stages,sbatch}   a snapshot
results/<study>/submissions/code-<digest>/code.json             its digest and git commit
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.runs.files import read_json, replacing, write_json

ROOT = Path(__file__).parents[2]  # of the code that runs: a checkout, or a snapshot
PARTS = ("lib", "stages", "sbatch")
RECORD = "code.json"
MOST_BYTES = 50_000_000  # of a snapshot: data that someone keeps below lib/ are not copied for it


def code_files(root: Path) -> Iterator[Path]:
    """The files of the code below `root`, in a fixed order, without caches and hidden files."""
    for part in PARTS:
        for path in sorted((root / part).rglob("*")):
            names = path.relative_to(root).parts
            if path.is_file() and not any(n[0] == "." or n == "__pycache__" for n in names):
                yield path


def code_digest(root: Path) -> str:
    """12 hex digits of the code below `root`: paths and contents of its files."""
    seen = hashlib.sha256()
    for path in code_files(root):
        content = path.read_bytes()
        seen.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return seen.hexdigest()[:12]


@cache
def code_version(root: Path = ROOT) -> dict[str, Any]:
    """What runs: `code`, its digest, and `git`, commit and dirty flag, None outside git.

    Those of a snapshot are of the checkout that it was copied from.
    """
    if (root / RECORD).exists():
        return read_json(root / RECORD)
    return {"code": code_digest(root), "git": _git(root)}


def _git(root: Path) -> dict[str, Any] | None:
    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def snapshot(directory: Path, root: Path = ROOT) -> Path:
    """A copy of the code in `directory`, one for each digest; returns where it is.

    Raises BadInput where the copy was changed since, or would be larger than MOST_BYTES.
    """
    version = {"code": code_digest(root), "git": _git(root)}
    target = directory / f"code-{version['code']}"
    if target.exists():
        if (found := code_digest(target)) != version["code"]:
            raise BadInput(f"{target}: changed since it was copied (digest {found}); remove it "
                           f"once no queued task runs it")  # fmt: skip
        return target
    if (size := sum(path.stat().st_size for path in code_files(root))) > MOST_BYTES:
        raise BadInput(f"{root}: found {size / 1e6:.0f} MB in {', '.join(PARTS)}, expected at most "
                       f"{MOST_BYTES / 1e6:.0f} MB of code: keep data elsewhere")  # fmt: skip
    with replacing(target) as temporary:
        for path in code_files(root):
            copy = temporary / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        if (copied := code_digest(temporary)) != version["code"]:
            raise BadInput(f"{root}: edited while it was copied (digest {copied}): submit again")
        write_json(temporary / RECORD, version)
    return target
