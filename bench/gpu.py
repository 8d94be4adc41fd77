"""Checks of the GPU path and speeds, each in a separate process: `bash bench/gpu.sh`.

Every check trains or serves a Llama of random weights through the stages, as a user does, and
compares what they wrote with what it must be. Speeds compare lossgrid with TRL, or ways of lossgrid
with each other. Nothing is downloaded. Each has a share of the time, and what others left: one
that runs over is cut, its finished rows are kept, and the others still run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.gpu_checks import CHECKS, SIZES
from bench.gpu_speed import ROWS, SPEEDS
from lib.config.grid import aligned
from lib.runs.files import read_jsonl, write_json

PARTS = {**CHECKS, **SPEEDS}
MINUTES = 8.0  # of all parts together
REPORT = Path("logs/gpu.json")


def main() -> int:
    """Run the checks; returns the exit code."""
    parser = argparse.ArgumentParser("bash bench/gpu.sh", description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, help="default: full with a GPU, else tiny")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", default=[*PARTS])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all parts; default: 8")
    parser.add_argument("--list", action="store_true", help="name the checks, and run none")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.list:
        print(aligned([[name, one.shows] for name, one in PARTS.items()]))
        return 0
    if args.job:
        return job(*args.job, args.size)
    size = args.size or ("full" if gpu_name() else "tiny")
    print(f"{gpu_name() or 'no GPU'}, models of the size {size}", flush=True)
    start, results, share = time.monotonic(), {}, 0.0
    total = sum(PARTS[name].share for name in args.only)
    for name in args.only:
        share += PARTS[name].share
        until = start + 60 * args.minutes * share / total
        results[name] = one = run_part(name, size, until - time.monotonic())
        print(f"{name}: {verdict(one)}: {one['found']}", flush=True)
    rows = [["part", "shows", "", "expected", "found", "seconds"]]
    for name, one in results.items():
        rows.append([name, PARTS[name].shows, verdict(one), PARTS[name].expected,
                     one["found"], f"{one['seconds']:.0f}"])  # fmt: skip
    print(f"\n{aligned(rows)}")
    if speeds := speed_table(results):
        print(f"\n{aligned(speeds)}")
    write_json(REPORT, {"gpu": gpu_name(), "size": size, "checks": results})
    return int(any(one["ok"] is False for one in results.values()))


def speed_table(results: dict[str, dict]) -> list[list[str]]:
    """One row a way that was measured, its values in words; empty where none was."""
    rows = [["part", "way", "ratio", "measured"]]
    for name, one in results.items():
        for row in one["rows"]:
            values = {k: v for k, v in row.items() if k not in ("way", "ratio") and v is not None}
            words = ", ".join(f"{key.replace('_', ' ')} {v:.3g}" for key, v in values.items())
            rows.append([name, row["way"], f"{row['ratio']:.2f}", words])
    return rows if len(rows) > 1 else []


def verdict(one: dict) -> str:
    """How a check ended, in a word."""
    return {True: "ok", False: "FAILED", None: "not shown"}[one["ok"]]


def gpu_name() -> str | None:
    """The first GPU's name and its driver, asked without CUDA; None where there is none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except OSError:
        return None
    return said.stdout.splitlines()[0] if said.returncode == 0 and said.stdout.strip() else None


def run_part(name: str, size: str, seconds: float) -> dict:
    """One part in a separate process, cut after so many seconds.

    What the process prints is kept in logs/gpu-NAME.log. `rows`: what a speed measured.
    """
    log = REPORT.with_name(f"gpu-{name}.log")
    log.parent.mkdir(exist_ok=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lossgrid-gpu-") as scratch, log.open("w") as out:
        report, rows = Path(scratch) / "found.json", Path(scratch) / ROWS
        words = [sys.executable, "-m", "bench.gpu", "--job", name, str(report), "--size", size]
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
        try:
            code = process.wait(timeout=max(seconds, 0))
        except subprocess.TimeoutExpired:
            end_tree(process)
            result = {"ok": None, "found": f"cut after {seconds:.0f} s (--only {name} for longer)"}
        else:
            if code == 0:
                result = json.loads(report.read_text())
            else:
                last = (log.read_text().strip().splitlines() or ["no output"])[-1]
                result = {"ok": False, "found": f"exit code {code}: {last} (see {log})"}
        kept = read_jsonl(rows) if rows.exists() else []
    return {**result, "rows": kept, "seconds": time.monotonic() - start}


def end_tree(process: subprocess.Popen) -> None:
    """End a process and all that it started, in whatever sessions."""
    import psutil

    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.kill()
    process.wait()


def job(name: str, report: str, size: str) -> int:
    """A part, in this process."""
    result = PARTS[name].run(SIZES[size], Path(report).parent)
    Path(report).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
