"""Space: what a directory holds, what is free, and whether what is to be written fits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lib.config.errors import BadInput


class Space(NamedTuple):
    """Bytes and files (inodes); None: unknown, or without a limit."""

    bytes: int | None
    files: int | None

    def __str__(self) -> str:
        files = "unknown" if self.files is None else f"{self.files:,}"
        return f"{size(self.bytes)}, {files} files"


class Need(NamedTuple):
    """What is to be written: a name for it, and its size."""

    what: str
    bytes: int
    files: int


def size(number: float | None) -> str:
    """`1.5 GB`, `23 MB`, `400 kB`; unknown for None."""
    if number is None:
        return "unknown"
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number / 1e3:.3g} kB"


def held(path: Path) -> Space:
    """What a file or a directory takes, links not followed; nothing where it is missing.

    Blocks as the disk has them, so that a sparse file counts with what it takes.
    """
    if not path.is_dir() or path.is_symlink():
        try:
            return Space(path.lstat().st_blocks * 512, 1)
        except OSError:
            return Space(0, 0)
    taken, files = 0, 1
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            inside = held(Path(entry.path))
            taken, files = taken + inside.bytes, files + inside.files
        else:
            taken, files = taken + entry.stat(follow_symlinks=False).st_blocks * 512, files + 1
    return Space(taken, files)


def free(directory: Path) -> Space:
    """What this user may still write where `directory` is, or is to be; quotas are not seen.

    File systems that make inodes as they need them report none: their number has no limit.
    """
    there = next(p for p in (directory.absolute(), *directory.absolute().parents) if p.exists())
    system = os.statvfs(there)
    return Space(system.f_bavail * system.f_frsize, system.f_favail if system.f_files else None)


def check_space(directory: Path, needs: Iterable[Need]) -> None:
    """Raise BadInput, with what is needed and what is free, where `needs` do not fit."""
    needs = [need for need in needs if need.bytes > 0 or need.files > 0]
    wanted = Space(sum(need.bytes for need in needs), sum(need.files for need in needs))
    there = free(directory)
    if there.bytes < wanted.bytes:
        parts = ", ".join(f"{need.what} {size(need.bytes)}" for need in needs if need.bytes)
        short = f"{size(there.bytes)} are free, {size(wanted.bytes)} needed ({parts})"
    elif there.files is not None and there.files < wanted.files:
        short = f"{there.files:,} files (inodes) are free, {wanted.files:,} needed"
    else:
        return
    raise BadInput(f"{directory}: not enough space: {short}; make clean-study frees what a study "
                   f"no longer needs, results_dir=… takes another disk")  # fmt: skip
