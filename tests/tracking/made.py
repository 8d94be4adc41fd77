"""Runs made up for tests: what stage 2 leaves of a point, as far as trackers read it."""

import json
from pathlib import Path
from typing import Any

KEY = "0123456789abcdef" * 2 + "deadbeef"  # what W&B takes for a key


def row(step: int, attempt: int = 1) -> dict[str, Any]:
    """A row of train.jsonl; other numbers in another attempt."""
    made = {"step": step, "epoch": step / 8, "loss": attempt + 1 / step, "grad_norm": 0.5 * step,
            "learning_rate": 1e-05, "seconds": round(step * 0.37, 3)}  # fmt: skip
    return made | ({"validation_accuracy": step / 16} if step % 4 == 0 else {})


def log(directory: Path, rows: list[dict[str, Any]], identity: str = "a1") -> None:
    """Write a point's train.jsonl and config.json."""
    directory.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(made) + "\n" for made in rows)
    (directory / "train.jsonl").write_text(text)
    (directory / "config.json").write_text(json.dumps({"hash": identity}))


def metrics_of(rows: list[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    """What a tracker should have of rows."""
    return [(made["step"], {k: v for k, v in made.items() if k != "step"}) for made in rows]
