"""Rewards of many points by one start of the reward model, or by one start a point.

    python -m bench.rewards [--model DIR] [--points 4] [--questions 10]

Without --model it is SmolLM2-135M-Instruct (`make setup` unpacks it) with a head drawn at random:
the time is that of a trained one. Answers are worked ones of other problems, eight and a greedy one
a question, none the same twice. Every way runs in separate processes, start-up included, as array
tasks would; the rewards of both ways are compared.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lib.config.grid import aligned
from lib.config.load import load_study
from lib.config.study import Study
from lib.runs.directory import archive
from lib.runs.files import read_jsonl, write_jsonl

BASE = ".cache/SmolLM2-135M-Instruct"
SAMPLES = 8


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.rewards", description=__doc__.split("\n")[0])
    parser.add_argument("--model", metavar="DIR", help="a reward model")
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--questions", type=int, default=10)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        score_here(args.job[0], [int(index) for index in args.job[1:]])
        return
    with tempfile.TemporaryDirectory() as scratch:
        compare(args, Path(scratch))


def compare(args: argparse.Namespace, scratch: Path) -> None:
    """Score the same predictions both ways and print the table."""
    model = args.model or str(with_head(scratch / "model"))
    study = write_study(args, model, scratch)
    write_predictions(study)
    indices = [str(index) for index in range(args.points)]
    ways = {"one start": [indices], "one start a point": [[index] for index in indices]}
    seconds, rewards = {}, {}
    for way, jobs in ways.items():
        start = time.perf_counter()
        for job in jobs:
            command = [sys.executable, "-m", "bench.rewards", "--job", study.path, *job]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           check=True)  # fmt: skip
        seconds[way], rewards[way] = time.perf_counter() - start, list(take(study))
    plain = seconds["one start a point"]
    rows = [["", "starts", "seconds", "ratio"]]
    for way, taken in seconds.items():
        rows.append([way, f"{len(ways[way])}", f"{taken:.1f}", f"{plain / taken:.2f}"])
    apart = max(abs(a - b) for a, b in zip(*rewards.values(), strict=True))
    per_point = len(rewards["one start"]) // args.points
    print(f"{args.points} points, {per_point} answers each; largest difference of a reward between "
          f"the two: {apart:.1e}\n")  # fmt: skip
    print(aligned(rows))


def with_head(directory: Path) -> Path:
    """The base model with a head of one logit."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        BASE, num_labels=1, dtype=torch.float32
    )
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(BASE).save_pretrained(directory)
    return directory


def write_study(args: argparse.Namespace, model: str, scratch: Path) -> Study:
    """A study of points that differ in the seed, with its test rows."""
    from lib.data.preparation import prepare

    content = {
        "results_dir": str(scratch / "results"),
        "tasks": ["symbolic"],
        "model": {"name": BASE, "max_length": 512},
        "data": {
            "source": "synthetic",
            "instances": args.questions,
            "held_out_templates": 10,
            "train_rows": 20,
            "set_rows": args.questions // 2,
        },
        "infer": {"precision": args.precision, "samples": SAMPLES, "temperature": 0.8},
        "judge": {"kind": "reward", "model": model},
        "evaluate": {"baseline": {"seed": 0}},
        "axes": {"seed": "train.seed"},
        "grid": [{"seed": list(range(args.points))}],
    }
    path = scratch / "rewards.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    study = load_study(path)
    prepare(study)
    return study


def write_predictions(study: Study) -> None:
    """Worked answers of the synthetic templates, each with a number of its own."""
    from lib.tasks.symbolic.synthetic import generate

    rows = read_jsonl(study.directory / "data" / "test.jsonl")
    needed = len(study.grid) * len(rows) * (SAMPLES + 1)
    worked = [one["answer"] for one in generate(1 + needed // 30, 1)[0]]
    texts = (f"Answer {number}: {text}" for number, text in enumerate(worked))
    for point in study.points():
        made = [
            {"id": row["id"], "outputs": [next(texts) for _ in range(SAMPLES)],
             "greedy": next(texts)} for row in rows
        ]  # fmt: skip
        write_jsonl(point.directory / "predictions.jsonl", made)


def take(study: Study) -> Iterator[float]:
    """All rewards, in order; the files and done marks go."""
    for point in study.points():
        file = "judgments_symbolic.jsonl"
        for row in read_jsonl(point.directory / file):
            found: dict[str, Any] = row["judgments"]
            yield from (*found["rewards"], found["greedy_reward"])
        archive(point.directory, [file, "done/judge_symbolic.json"])


def score_here(path: str, indices: list[int]) -> None:
    """What stage 3 does once the answers are there."""
    from lib.judging.loop import judge_answers

    study = load_study(path)
    points = [study.point(index) for index in indices]
    judge_answers(study, "symbolic", points, {}, lambda line: None, lambda: False)


if __name__ == "__main__":
    main()
