"""Whether a task is working on a directory, found out without taking its lock.

Even a shared lock, held for a moment, would make a task that starts just then fail.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lib.config.grid import digest

LOCKS = Path("/proc/locks")


class Holder(NamedTuple):
    """The current or last holder of a lock, as written by `lib.runs.directory.locked`."""

    machine: str | None
    process: int | None
    job: str | None

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"{self.machine}, process {self.process}{job}"


def machine() -> str:
    """Host name with a hash of its boot and process namespace, within which a PID is unique."""
    known = []
    with suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return f"{os.uname().nodename} ({digest(known)[:8]})"


def holder(directory: Path) -> Holder | None:
    """Who locked a directory last, or None. Raises OSError."""
    try:
        text = (directory / ".lock").read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    match = re.fullmatch(r"(.*), process (\d+)(?:, job (\S+))?", text.strip())
    return Holder(match[1], int(match[2]), match[3]) if match else Holder(None, None, None)


def is_this_machine(held_by: Holder | None) -> bool:
    """Whether the last holder ran where `is_held_here` can see its lock."""
    return held_by is not None and held_by.machine == machine() and os.access(LOCKS, os.R_OK)


def locks_here() -> dict[int, list[int]]:
    """Inode of each file that a process of this machine has locked → the processes."""
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return {}
    held: dict[int, list[int]] = {}
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 1234 08:01:131 0 EOF. Waiting locks start with "1: -> ".
        if match := re.match(r"\d+: FLOCK\s+\S+\s+WRITE\s+(\d+)\s+\S+:(\d+)\s", line):
            held.setdefault(int(match[2]), []).append(int(match[1]))
    return held


def is_held_here(directory: Path, held: dict[int, list[int]] | None = None) -> bool:
    """Whether a process of this machine holds the lock; held: `locks_here` of a moment ago."""
    try:
        inode = (directory / ".lock").stat().st_ino
    except OSError:
        return False
    pids = (locks_here() if held is None else held).get(inode, [])
    if not pids:
        return False
    # An inode number is unique per file system only, and stat's device may differ from the
    # kernel's (btrfs, overlays), so the process has to be the holder too.
    held_by = holder(directory)
    return held_by is None or held_by.process is None or held_by.process in pids


def last_change(directory: Path) -> float:
    """Seconds since anything below a directory was last written to."""
    changed = [entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(directory)]
    return time.time() - max(changed, default=0.0)
