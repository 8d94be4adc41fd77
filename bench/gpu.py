"""Checks of the GPU path, each in a separate process: `bash bench/gpu.sh`.

Every check trains or serves a Llama of random weights through the stages, as a user does, and
compares what they wrote with what it must be. Nothing is downloaded. A check that this machine
cannot do is reported as not run, with the reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.gpu_checks import CHECKS, SIZES
from lib.config.grid import aligned
from lib.runs.files import write_json

MINUTES = 8.0  # after which no further check starts
REPORT = Path("logs/gpu.json")


def main() -> int:
    """Run the checks; returns the exit code."""
    parser = argparse.ArgumentParser("bash bench/gpu.sh", description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, help="default: full with a GPU, else tiny")
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="CHECK", default=[*CHECKS])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="no check starts after")
    parser.add_argument("--list", action="store_true", help="name the checks, and run none")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.list:
        print(aligned([[name, one.shows] for name, one in CHECKS.items()]))
        return 0
    if args.job:
        return job(*args.job, args.size)
    size = args.size or ("full" if gpu_name() else "tiny")
    print(f"{gpu_name() or 'no GPU'}, models of the size {size}", flush=True)
    start, results = time.monotonic(), {}
    for name in args.only:
        if time.monotonic() - start > 60 * args.minutes:
            results[name] = {"ok": None, "found": f"not run: {args.minutes:g} minutes are over"}
        else:
            results[name] = run_check(name, size)
        one = results[name]
        print(f"{name}: {verdict(one)}: {one['found']}", flush=True)
    rows = [["check", "shows", "", "expected", "found", "seconds"]]
    for name, one in results.items():
        rows.append([name, CHECKS[name].shows, verdict(one), CHECKS[name].expected,
                     one["found"], f"{one.get('seconds', 0):.0f}"])  # fmt: skip
    print(f"\n{aligned(rows)}")
    write_json(REPORT, {"gpu": gpu_name(), "size": size, "checks": results})
    return int(any(one["ok"] is False for one in results.values()))


def verdict(one: dict) -> str:
    """How a check ended, in a word."""
    return {True: "ok", False: "FAILED", None: "not run"}[one["ok"]]


def gpu_name() -> str | None:
    """The first GPU's name and its driver, asked without CUDA; None where there is none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except OSError:
        return None
    return said.stdout.splitlines()[0] if said.returncode == 0 and said.stdout.strip() else None


def run_check(name: str, size: str) -> dict:
    """One check in a separate process; what the process prints is kept in logs/gpu-NAME.log."""
    log = REPORT.with_name(f"gpu-{name}.log")
    log.parent.mkdir(exist_ok=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lossgrid-gpu-") as scratch, log.open("w") as out:
        report = Path(scratch) / "found.json"
        words = ["--job", name, str(report), "--size", size]
        ended = subprocess.run(
            [sys.executable, "-m", "bench.gpu", *words], stdout=out, stderr=subprocess.STDOUT
        )
        if ended.returncode == 0:
            result = json.loads(report.read_text())
        else:
            last = (log.read_text().strip().splitlines() or ["no output"])[-1]
            result = {"ok": False, "found": f"exit code {ended.returncode}: {last} (see {log})"}
    return {**result, "seconds": time.monotonic() - start}


def job(name: str, report: str, size: str) -> int:
    """A check, in this process."""
    result = CHECKS[name].run(SIZES[size], Path(report).parent)
    Path(report).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
