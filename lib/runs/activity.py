"""Whether a task is at work on a directory, seen from outside: no lock is taken to find out.

Even a shared lock, held for a moment, would make a task that comes just then give up.
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
    """Who holds a lock, or held it last, as `lib.runs.directory.locked` writes it down."""

    machine: str | None
    process: int | None
    job: str | None

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"{self.machine}, process {self.process}{job}"


def machine() -> str:
    """This host, with digits that tell it from others of its name: by boot and process namespace.

    A process's number means the same wherever this is the same.
    """
    known = []
    with suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return f"{os.uname().nodename} ({digest(known)[:8]})"


def holder(directory: Path) -> Holder | None:
    """Who locked a directory last; None where nobody has. Raises OSError."""
    try:
        text = (directory / ".lock").read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    match = re.fullmatch(r"(.*), process (\d+)(?:, job (\S+))?", text.strip())
    return Holder(match[1], int(match[2]), match[3]) if match else Holder(None, None, None)


def is_this_machine(held_by: Holder | None) -> bool:
    """Whether the last holder ran where `is_held_here` would see its lock."""
    return held_by is not None and held_by.machine == machine() and os.access(LOCKS, os.R_OK)


def is_held_here(directory: Path) -> bool:
    """Whether a process of this machine holds the lock, by the kernel's own list."""
    try:
        inode = (directory / ".lock").stat().st_ino
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return False
    # 1: FLOCK  ADVISORY  WRITE 1234 08:01:131 0 EOF. Waiting ones begin with "1: -> ".
    found = (re.match(r"\d+: FLOCK\s+\S+\s+WRITE\s+(\d+)\s+\S+:(\d+)\s", line) for line in lines)
    pids = [int(match[1]) for match in found if match and int(match[2]) == inode]
    if not pids:
        return False
    # Inodes of two file systems may have one number, and the device that stat gives is not always
    # the kernel's (btrfs, overlays): the process must be the one that the lock names.
    held_by = holder(directory)
    return held_by is None or held_by.process is None or held_by.process in pids


def last_change(directory: Path) -> float:
    """Seconds since a file or folder of a directory was last written to."""
    changed = [entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(directory)]
    return time.time() - max(changed, default=0.0)
