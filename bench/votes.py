"""How long the estimates over subsets take for a large test set with many samples.

    python -m bench.votes [--questions 1319] [--samples 64]

Every question has a right answer with a chance of its own and wrong ones of a long-tailed draw, so
that hardly two questions have the same counts; one answer in twenty cannot be parsed. Times are of
one thread, the best of `--repeats`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from lib.analysis.votes import best, classes, majority, passed, subsets, weighted
from lib.config.grid import aligned


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.votes", description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=1319)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    codes, right, rewards = simulated(args.questions, args.samples)
    counts = len({tuple(np.sort(np.bincount(row + 1))) for row in codes})
    print(f"{args.questions:,} questions, {args.samples} samples, {counts:,} different counts\n")
    draws = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= args.samples]
    table, totals = [["n", "majority (s)", "best (s)", "pass (s)", "weighted (s)", "subsets"]], {}
    for n in draws:
        members, whole = subsets(args.samples, n)
        calls: dict[str, Callable[[], np.ndarray]] = {
            "majority": lambda n=n: majority(codes, right, n),
            "best": lambda n=n: best(right, rewards, n),
            "pass": lambda n=n: passed(right, n),
            "weighted": lambda m=members: weighted(codes, right, rewards, m),
        }
        cells = [str(n)]
        for name, call in calls.items():
            seconds = min(timed(call) for _ in range(args.repeats))
            totals[name] = totals.get(name, 0.0) + seconds
            cells.append(f"{seconds:.3f}")
        table.append([*cells, f"{len(members):,} {'all' if whole else 'drawn'}"])
    table.append(["all n", *(f"{seconds:.3f}" for seconds in totals.values()), ""])
    print(aligned(table))


def simulated(questions: int, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, right and rewards, each (questions, samples)."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.7, 0.9, (questions, 1))
    wrong = rng.zipf(1.3, (questions, samples)) % 1000 + 1
    said = np.where(rng.random((questions, samples)) < chance, 0, wrong)
    unread = rng.random((questions, samples)) < 0.05
    texts = [
        [None if lost else str(one) for one, lost in zip(row, gone, strict=True)]
        for row, gone in zip(said.tolist(), unread.tolist(), strict=True)
    ]
    right = (said == 0) & ~unread
    return classes(texts), right, rng.normal(2.0 * right, 2.0)


def timed(call: Callable[[], np.ndarray]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
