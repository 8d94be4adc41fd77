"""bench.gpu: its parts fit into eight minutes, and one that runs over is cut and keeps its rows."""

import time
from types import SimpleNamespace

import psutil

from bench import gpu

# Stands in for Python: writes a row, and starts a process in a session of its own.
OVER = """#!/bin/bash
scratch=$(dirname "$5")
echo '{"way": "lora, TRL", "rate": 20, "mfu": null, "ratio": 0.5}' > "$scratch/rows.jsonl"
setsid sleep 60 &
echo $! > "$0.child"
wait
"""


def test_shares_are_of_eight_minutes():
    assert sum(part.share for part in gpu.PARTS.values()) == 60 * gpu.MINUTES == 480


def test_a_part_that_runs_over_is_cut(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "over"
    program.write_text(OVER)
    program.chmod(0o755)
    monkeypatch.setattr(gpu, "sys", SimpleNamespace(executable=str(program)))
    start = time.monotonic()
    result = gpu.run_part("steps", "tiny", 1.0)
    assert time.monotonic() - start < 30
    assert result["ok"] is None
    assert result["found"].startswith("cut after 1 s")
    child = int((tmp_path / "over.child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"
    assert gpu.speed_table({"steps": result})[1:] == [["steps", "lora, TRL", "0.50", "rate 20"]]


def test_a_part_that_fails_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "fails"
    program.write_text("#!/bin/bash\necho out of memory\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(gpu, "sys", SimpleNamespace(executable=str(program)))
    result = gpu.run_part("steps", "tiny", 30.0)
    assert result["ok"] is False
    assert "exit code 3: out of memory" in result["found"]
