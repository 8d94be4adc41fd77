"""Why a task ended without a result: from SLURM's state, its error, its exit code and its log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lib.config.study import Study
from lib.slurm.arrays import Array
from lib.slurm.submission import LOGS, option, resources

NODE, PREEMPTED, TIME = "node failure", "preempted", "time limit"
MEMORY, HOST_MEMORY, DISK = "out of memory", "out of host memory", "disk full"
INPUT, CODE = "bad input", "code error"
CANCELLED, STOPPED, STUCK = "cancelled", "stopped", "no progress"
HELD = "held"  # it waits until somebody releases it
KILLED, EARLY = "killed", "ended early"  # nobody says by whom; nor, before attempts were kept, how

# A state of SLURM that alone says why.
OF_STATE = {
    "NODE_FAIL": NODE,
    "BOOT_FAIL": NODE,
    "PREEMPTED": PREEMPTED,
    "TIMEOUT": TIME,
    "DEADLINE": TIME,
    "OUT_OF_MEMORY": HOST_MEMORY,
    "CANCELLED": CANCELLED,
    "REVOKED": CANCELLED,
}
# A line of a log, or an error. Of a log the last line that matches decides.
OF_TEXT = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"DUE TO NODE FAILURE|launch failed", NODE),
        (r"DUE TO PREEMPTION", PREEMPTED),
        (r"DUE TO (TIME LIMIT|DEADLINE)", TIME),
        (r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED"
         r"|No available memory for the cache|Free memory on device .* is less than", MEMORY),
        (r"oom[_-]kill|^MemoryError|Cannot allocate memory|exceeded .*memory limit"
         r"|DefaultCPUAllocator: (can't|not enough)", HOST_MEMORY),
        (r"No space left on device|Disk quota exceeded|no space, quota", DISK),
        (r"slurmstepd: error: \*\*\* .* CANCELLED AT", CANCELLED),
        (r"not requeued: \d+ restarts with no", STUCK),
        (r"stopped early and not requeued|stopped by (SIG)?\w+ at step", STOPPED),
        (r"^error: |^BadInput: ", INPUT),
        (r"^Traceback|^\w*(Error|Exception)\b.*:", CODE),
    )
)  # fmt: skip
TAIL = 8192  # bytes of a log that are read


def reason_of(
    state: str | None, error: str | None, code: int | None, log: Sequence[str], on_cpu: bool
) -> tuple[str, str]:
    """(reason, the line that says so) of a task that ended without a result.

    state: of SLURM. error, code: of the attempt. log: its last lines. on_cpu: the memory that
    training needs is the host's.
    """
    reason, line = OF_STATE.get(state or ""), error or (log[-1] if log else "")
    if reason in (None, CANCELLED, HOST_MEMORY):  # a text may know better
        for text in [error] if error else reversed(log):
            if said := _of_line(text or "", reason):
                reason, line = said, text or ""
                break
    if reason is None:
        reason = {2: INPUT, 75: STOPPED, 1: CODE}.get(code if code is not None else -1, KILLED)
    return (MEMORY if reason == HOST_MEMORY and on_cpu else reason), " ".join(line.split())


def _of_line(text: str, known: str | None) -> str | None:
    said = next((reason for pattern, reason in OF_TEXT if pattern.search(text)), None)
    # What follows from a kill by SLURM, such as a traceback, does not replace its reason.
    return said if known is None or said in (MEMORY, PREEMPTED, TIME, NODE) else None


def log_of(study: Study, array: Array, task: int | str) -> Path | None:
    """Where a task's output went; None for a pattern that this does not know."""
    given = option(resources(study, array.stage).extra, "--output", "-o")
    pattern = given or str(LOGS / f"{array.stage}-%A_%a.out")
    for name, value in (("%A", array.job), ("%a", str(task)), ("%x", array.stage)):
        pattern = pattern.replace(name, value)
    base = option(resources(study, array.stage).extra, "--chdir", "-D") or "."
    return None if "%" in pattern else Path(base) / pattern


def last_lines(path: Path | None) -> list[str]:
    """The last lines of a log that are not blank; none where it cannot be read."""
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    # A progress bar rewrites its line.
    lines = (line.rpartition("\r")[2].strip() for line in text.splitlines())
    return [line for line in lines if line]
