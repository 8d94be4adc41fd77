"""How long stages 4 and 5 take, and how that grows with the number of points.

    python -m bench.evaluate [--points 19 300] [--rows 2024]

Every point gets simulated predictions and a training log, in the real layout below a temporary
directory; then the stages run as `make evaluate plots` runs them. Work that is linear in the points
grows as they do: 300 points take 15.8 times as long as 19.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lib.config import tasks
from lib.config.grid import aligned
from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.config.yaml import read_yaml
from lib.data.preparation import recorded_splits
from lib.data.prepared import MANIFEST, model_key, train_identity
from lib.data.testsets import predict_identity
from lib.runs.directory import mark_done
from lib.runs.files import write_jsonl, write_sealed

STUDY = Path("configs/weighted_loss.yaml")
STAGES = ("stages.stage4_evaluate", "stages.stage5_visualize")
STEPS = 133  # of a point's training log: 17,101 rows in batches of 128
SIGN = {"accept": 1, "reject": -1, None: 0}


class Ran(NamedTuple):
    """Seconds and peak memory (MiB) of a process."""

    seconds: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=[19, 300])
    parser.add_argument("--rows", type=int, default=2024, help="test rows, an even number")
    args = parser.parse_args()
    print(f"{args.rows:,} test rows, simulated predictions\n")
    table = [["points", *(f"{s.split('_')[1]} {u}" for s in STAGES for u in ("(s)", "(MiB)"))]]
    found: list[list[Ran]] = []
    for points in args.points:
        with tempfile.TemporaryDirectory() as directory:
            path = simulate(points, args.rows, Path(directory))
            found.append([run(stage, path) for stage in STAGES])
        cells = [f(r) for r in found[-1] for f in (seconds, peak)]
        table.append([str(points), *cells])
    ratios = [
        f"{getattr(last, unit) / getattr(first, unit):.1f}×"
        for first, last in zip(found[0], found[-1], strict=True)
        for unit in Ran._fields
    ]
    table.append([f"{args.points[-1] / args.points[0]:.1f}×", *ratios])
    print(aligned(table))


def seconds(ran: Ran) -> str:
    return f"{ran.seconds:.1f}"


def peak(ran: Ran) -> str:
    return f"{ran.peak:.0f}"


def run(stage: str, path: Path) -> Ran:
    """Run a stage on one thread of linear algebra, as make does."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", stage, str(path)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{stage} {path} ended with status {status}")
    return Ran(time.perf_counter() - start, usage.ru_maxrss / 1024)


def simulate(points: int, rows: int, directory: Path) -> Path:
    """Leave what stages 1 to 3 leave of a study of `points` points; returns the study file."""
    raw = read_yaml(STUDY.read_text(encoding="utf-8"), str(STUDY))
    raw["results_dir"] = str(directory / "results")
    raw["data"] |= {"source": "synthetic", "train_rows": 72, "test_rows": rows}
    raw["grid"] = raw["grid"] if points == 19 else grid(points)
    path = directory / "bench.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    study = load_study(path)
    test = write_data(study)
    for point in study.points():
        write_point(study, point, test)
    return path


def grid(points: int) -> list[dict[str, Any]]:
    """A baseline, as many seeds of 24 weighted points as fit, and single points for the rest."""
    seeds, rest = divmod(points - 1, 24)
    blocks: list[dict[str, Any]] = [{"ratio": "1:2", "variant": "baseline", "gamma": 1}]
    if seeds:
        blocks.append(
            {
                "ratio": ["1:2", "1:3", "1:4", "1:8"],
                "variant": ["accept", "reject"],
                "gamma": [2, 4, 8],
                "seed": list(range(42, 42 + seeds)),
            }
        )
    if rest:
        of_rest = list(range(42, 42 + rest))
        blocks.append({"ratio": "1:2", "variant": "accept", "gamma": 16, "seed": of_rest})
    return blocks


def write_data(study: Study) -> list[tasks.Row]:
    """Write test rows and manifest; nothing is tokenised. Returns the test rows."""
    task = tasks.get(study.config.tasks[0])
    splits = task.build(study.config.data, study.data_sections(), None, False).rows
    data = study.directory / "data"
    for name, rows in splits.items():
        write_jsonl(data / f"{name}.jsonl", rows)
    models = {model_key(m): {"name": m.name, "digest": None} for m in study.model_sections()}
    manifest = {"identity": {}, **recorded_splits(data, splits), "models": models, "tokens": {}}
    write_sealed(data / MANIFEST, manifest)
    return splits["test"]


def write_point(study: Study, point: Point, test: list[tasks.Row]) -> None:
    """Write a log and predictions: the true log-odds, shifted as theory says, with noise."""
    draw, config = random.Random(point.name), point.config
    log = ({"step": n, "loss": math.exp(-n / 40) + draw.random() / 9} for n in range(1, STEPS + 1))
    write_jsonl(point.directory / "train.jsonl", log)
    mark_done(point.directory, "train", train_identity(study, point), ["train.jsonl"],
              status="done", step=STEPS)  # fmt: skip
    offset = SIGN[config.train.weighted_class] * math.log(config.train.gamma)
    offset -= math.log(config.data.rejects_per_accept)
    answers = tasks.get(config.tasks[0]).answers(config.data)
    made = []
    for row in test:
        z = row["log_odds_true"] + offset + draw.gauss(0, 0.5)
        made.append(
            {
                "id": row["id"],
                "prompt_hash": "0",
                "outputs": [answers[z <= 0]],
                "scores": [-math.log1p(math.exp(-z)), -math.log1p(math.exp(z))],
            }
        )
    write_jsonl(point.directory / "predictions.jsonl", made)
    mark_done(
        point.directory,
        "infer",
        predict_identity(study, point, study.config.tasks[0]),
        ["predictions.jsonl"],
        rows=len(made),
    )


if __name__ == "__main__":
    main()
