"""Time from a task's start to its first optimizer step: data prepared once, or by every task.

    python -m bench.start [--model .cache/SmolLM2-135M-Instruct] [--rows 5000]

The corpus is the synthetic one, whose rows are short (four statements); papers with abstracts take
longer to tokenise. The step itself is of one row, and the model's load is part of both ways.
`source sbatch/env.sh` first gives the tasks the memory settings of jobs.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from lib.config.grid import aligned
from lib.config.load import load_study

PREPARED, PLAIN = "prepared by stage 1", "read and tokenised in the task"


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.start", description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=".cache/SmolLM2-135M-Instruct", metavar="DIR")
    parser.add_argument("--rows", type=int, default=5000, help="training rows, synthetic")
    parser.add_argument("--repeat", type=int, default=3, help="tasks of each; the median counts")
    parser.add_argument("--task", metavar="STUDY", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        plain_task(args.task)
        return
    with tempfile.TemporaryDirectory() as directory:
        study = write_study(Path(directory), args.model, args.rows)
        start = time.perf_counter()
        if code := python("stages.stage1_generate_datasets", str(study)).wait():
            raise SystemExit(f"stage 1 of {study} ended with {code}")
        once = time.perf_counter() - start
        found: dict[str, list[float]] = {PREPARED: [], PLAIN: []}
        for number in range(args.repeat):
            prepared = ("stages.stage2_train", str(study), "--index", str(number))
            log = next_log(study, number)
            found[PREPARED].append(first_step(prepared, log))
            found[PLAIN].append(first_step(("bench.start", "--task", str(study)), plain_log(study)))
            shutil.rmtree(plain_log(study).parent)  # else the next one finds its checkpoint
    seconds = {way: statistics.median(values) for way, values in found.items()}
    rows = [["training data", "seconds to the first step", "ratio"]]
    for way, value in seconds.items():
        rows.append([way, f"{value:.1f}", f"{value / seconds[PREPARED]:.2f}"])
    print(f"{args.rows:,} synthetic rows; stage 1, once for the whole grid: {once:.1f} s\n")
    print(aligned(rows))


def write_study(directory: Path, model: str, rows: int) -> Path:
    """A study of one-step points that differ in the seed."""
    study = {
        "results_dir": str(directory / "results"),
        "tasks": ["decision"],
        "model": {"name": model, "max_length": 256},
        "data": {"source": "synthetic", "ratio": "1:1", "train_rows": rows, "test_rows": 2},
        "train": {
            "tuning": "lora",
            "max_steps": 1,
            "batch_size": 1,
            "micro_batch": 1,
            "precision": "fp32",
            "gradient_checkpointing": False,
        },
        "evaluate": {"baseline": {"seed": 0}},
        "axes": {"seed": "train.seed"},
        "grid": [{"seed": list(range(100))}],
    }
    path = directory / "start.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def next_log(study: Path, index: int) -> Path:
    return load_study(study).point(index).directory / "train.jsonl"


def plain_log(study: Path) -> Path:
    return study.parent / "plain" / "train.jsonl"


def python(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def first_step(words: tuple[str, ...], log: Path) -> float:
    """Seconds from the start of a process to the first row in its log."""
    start = time.perf_counter()
    process = python(*words)
    while not written(log):
        if process.poll() is not None and not written(log):
            raise SystemExit(f"python -m {' '.join(words)} ended with {process.returncode}")
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    process.wait()
    return seconds


def written(log: Path) -> bool:
    return log.exists() and log.stat().st_size > 0


def plain_task(path: str) -> None:
    """The plain way: read the source, tokenise it and train, all in one process."""
    from datasets import Dataset

    from lib.config import tasks
    from lib.data.encoding import answer_encoder, encode_row
    from lib.models.load import load_tokenizer
    from lib.training.inputs import TrainData
    from lib.training.loop import train_point

    study = load_study(path)
    point = study.point(0)
    data, task = point.config.data, tasks.get("decision")
    rows = task.build(data, [data], None, False).rows[task.train_split(data)]
    tokenizer, room = load_tokenizer(point.config.model), point.config.model.max_length
    answers = answer_encoder(tokenizer)
    encoded = [encode_row(tokenizer, task, row, data, room, answers) for row in rows]
    directory = plain_log(Path(path)).parent
    directory.mkdir(exist_ok=True)
    train_point(point, TrainData(Dataset.from_list(encoded)), directory, lambda: False)


if __name__ == "__main__":
    main()
