"""Measurements in processes of their own: seconds, peak memory, and what a job found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def measured(module: str, what: dict[str, Any]) -> dict[str, Any]:
    """`python -m MODULE --job WHAT`: {"seconds": of the process, "peak": MiB, **what it left}.

    The peak is that of the GPU where the job left one, else of the process. What the job prints
    goes to standard error. Ends this process where the job fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "found.json"
        text = json.dumps({**what, "report": str(report)})
        seconds, peak = timed([sys.executable, "-m", module, "--job", text])
        return {"seconds": seconds, "peak": peak, **json.loads(report.read_text())}


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a process; its words go to standard error."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def leave(what: dict[str, Any], **found: Any) -> None:
    """What a job found, for `measured`; on a GPU its peak too."""
    import torch

    if torch.cuda.is_available():
        found["peak"] = torch.cuda.max_memory_allocated() / 2**20
    Path(what["report"]).write_text(json.dumps(found))
