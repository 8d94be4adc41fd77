"""A search whose workers are killed at random: is a trial lost or doubled, is the best the same?

    python -m bench.search [--trials 200] [--workers 8] [--kills 80] [--sampler random] [--slurm]

Trials train nothing: an objective writes the log of a training with six validations and a
checkpoint after each. Workers are processes, or with --slurm the tasks of an array on a private
SLURM (see tests/slurm; as root). A killed task is started again, as SLURM does with a requeued one;
every fourth stays dead, for the reaper. With --sampler random a trial's parameters depend on its
number alone, so that the best has to be the same as without kills.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from lib.config.grid import format_indices
from lib.runs.directory import mark_done
from lib.runs.files import read_jsonl, write_jsonl

VALIDATIONS, PAUSE = 6, 0.03
STUDY = """
results_dir: {root}/results
tasks: [glue]
model: {{name: nobody/nothing}}
data: {{source: synthetic}}
train: {{objective: classification, tuning: lora, validations: 6, micro_batch: 1, batch_size: 8}}
evaluate: {{baseline: {{seed: 42}}}}
axes: {{seed: train.seed}}
grid: [{{seed: [42, 43]}}]
search:
  metric: validation_accuracy
  fixed: {{seed: 42}}
  trials: {trials}
  sampler: {sampler}
  pruner: {pruner}
  space:
    train.learning_rate: {{float: [1e-5, 1e-2], log: true}}
    train.batch_size: {{categorical: [8, 16, 32]}}
    train.lora.r: {{int: [4, 16], step: 4}}
"""


def write_study(root: Path, trials: int, sampler: str = "random", pruner: str = "none") -> Path:
    path = root / "bench.yaml"
    path.write_text(STUDY.format(root=root, trials=trials, sampler=sampler, pruner=pruner))
    return path


def objective(directory: Path) -> int:
    """Stand in for stage 2: resume from the log, a row at a time, then write the done mark."""
    params = json.loads((directory / "trial.json").read_text())["params"]
    peak = 1 - abs(params["train.learning_rate"] - 1e-3) - 0.01 * (params["train.batch_size"] != 16)
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda n, frame: stop.append(n))
    log = directory / "train.jsonl"
    rows = read_jsonl(log, torn_tail=True) if log.exists() else []
    for step in range(len(rows) + 1, VALIDATIONS + 1):
        if stop:
            return 75
        time.sleep(PAUSE)
        rows.append({"step": step, "loss": 1.0, "validation_accuracy": peak * step / VALIDATIONS})
        write_jsonl(log, rows)
    if (directory / "done" / "train.json").exists():
        return 0
    with (directory / "finished").open("a") as file:
        file.write("once\n")
    mark_done(directory, "train", {}, ["train.jsonl"], status="done", step=VALIDATIONS)
    return 0


def work(study_path: str, number: int, restarts: int) -> int:
    """Run one trial, as `stages.search --trial` does, with the objective in place of stage 2."""
    from lib.config.load import load_study
    from lib.runs.directory import Busy
    from lib.search import work as module
    from lib.search.reap import worker
    from stages.command import slurm_job, who

    module.POLL = 0.02
    study = load_study(study_path)
    restarts = int(os.environ.get("SLURM_RESTART_COUNT") or restarts)

    def command(point):
        return [sys.executable, "-m", "bench.search", "--objective", str(point.directory)]

    by = worker(who(), slurm_job(), restarts)
    while True:  # the objective of a killed worker may take a moment to end
        try:
            return module.run_trial(study, number, by, who(), print, command, lambda _: VALIDATIONS)
        except Busy:
            time.sleep(0.1)


def start(path: Path, number: int, restarts: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "bench.search", "--worker", str(path),
               "--trial", str(number), "--restarts", str(restarts)]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def supervise(
    path: Path, trials: int, workers: int, kills: int, seed: int, start: Any = start
) -> dict[str, int]:
    """All trials as processes, `workers` at a time, of which `kills` are killed at random."""
    chance, waiting, running = random.Random(seed), list(range(trials)), {}
    counts = Counter()
    due = sorted(chance.random() for _ in range(kills))  # by the share of trials that have ended
    killed: set[int] = set()
    restarts: Counter = Counter()
    ended = 0
    while waiting or running:
        while waiting and len(running) < workers:
            number = waiting.pop(0)
            running[number] = start(path, number, restarts[number])
        time.sleep(0.02)
        while due and due[0] <= ended / trials:
            time.sleep(chance.random() * 0.3)
            alive = [n for n, process in running.items() if process.poll() is None]
            if not alive:
                break
            due.pop(0)
            number = chance.choice(alive)
            running[number].kill()
            killed.add(number)
            counts["kills"] += 1
        for number, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[number]
            if process.returncode == 0:
                ended += 1
            elif number in killed and counts["kills"] % 4:
                killed.discard(number)
                restarts[number] += 1
                waiting.insert(0, number)  # requeued
                counts["requeued"] += 1
            else:
                killed.discard(number)
                ended += 1  # left to the reaper
                counts["left dead"] += 1
                if process.returncode > 0:
                    counts["failed"] += 1
        if not waiting and not running:
            waiting = reaped(path)
            counts["reaped"] += len(waiting)
            ended -= len(waiting)
    return dict(counts)


def reaped(path: Path) -> list[int]:
    """Fail the dead and return what is still to be run, as `make search` does."""
    from lib.config.load import load_study
    from lib.search import reap
    from lib.search.journal import Journal

    study = load_study(path)
    journal = Journal(study)
    current = journal.current()
    queue, _ = reap.look(study, current)
    reap.reap(journal, current, reap.states(study, current, queue))
    current = journal.current()
    return list(reap.to_run(current, reap.states(study, current, queue)))


def on_slurm(path: Path, trials: int, workers: int, kills: int, seed: int, root: Path) -> dict:
    """All trials as tasks of an array on a private SLURM."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "slurm"))
    from cluster import ENDED, Cluster

    repository = Path(__file__).parents[1]
    script = root / "task.sh"
    script.write_text(
        f"#!/usr/bin/env bash\ncd {repository}\n"
        f'exec {sys.executable} -m bench.search --worker {path} --trial "$SLURM_ARRAY_TASK_ID"\n'
    )
    chance, counts = random.Random(seed), Counter()
    with Cluster(root / "slurm") as cluster:
        os.environ["SLURM_CONF"] = cluster.env["SLURM_CONF"]
        left = list(range(trials))
        while left:
            job = cluster.sbatch(f"--array={format_indices(left)}%{workers}", "--requeue",
                                 f"--output={root}/task-%A_%a.out", script, cwd=root)  # fmt: skip
            while True:
                states = cluster.elements(job)
                running = [e for e, (state, *_) in states.items() if state == "RUNNING"]
                if all(state in ENDED for state, *_ in states.values()):
                    break
                if running and counts["kills"] + counts["requeued"] < kills:
                    element = chance.choice(running)
                    # Half of them: scontrol requeue, as after a preemption; half: kill -9.
                    with contextlib.suppress(RuntimeError):
                        if counts["kills"] <= counts["requeued"]:
                            cluster.signal(element, signal.SIGKILL)
                            counts["kills"] += 1
                        else:
                            cluster.run("scontrol", "requeue", element)
                            counts["requeued"] += 1
                time.sleep(0.3)
            left = reaped(path)
            counts["reaped"] += len(left)
        del os.environ["SLURM_CONF"]
    return dict(counts)


def report(path: Path) -> tuple[int, int, int | None, float | None, dict]:
    """Trials lost, trials doubled, and the best of a search that has ended."""
    from lib.config.load import load_study
    from lib.search.best import best_of
    from lib.search.journal import FINAL, Journal
    from lib.search.trials import trial_directory

    study = load_study(path)
    journal = Journal(study)
    results = Counter(a.user_attrs["trial"] for a in journal.attempts() if a.state in FINAL)
    done = [trial_directory(study, n) / "finished" for n in range(study.search.trials)]
    lost = sum(n not in results for n in range(study.search.trials))
    doubled = sum(count > 1 for count in results.values())
    trained_twice = sum(f.exists() and len(f.read_text().split()) > 1 for f in done)
    current = journal.current()
    best = best_of(current, study.search.metric)
    value = None if best is None else current[best].value
    params = {} if best is None else current[best].params
    return lost, doubled + trained_twice, best, value, params


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    arguments.add_argument("--trials", type=int, default=200)
    arguments.add_argument("--workers", type=int, default=8)
    arguments.add_argument("--kills", type=int, default=80)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--sampler", default="random")
    arguments.add_argument("--slurm", action="store_true")
    for hidden in ("--worker", "--objective"):
        arguments.add_argument(hidden, help=argparse.SUPPRESS)
    arguments.add_argument("--trial", type=int, help=argparse.SUPPRESS)
    arguments.add_argument("--restarts", type=int, default=0, help=argparse.SUPPRESS)
    args = arguments.parse_args()
    if args.objective:
        raise SystemExit(objective(Path(args.objective)))
    if args.worker:
        raise SystemExit(work(args.worker, args.trial, args.restarts))
    found = []
    for kills in (0, args.kills):
        with tempfile.TemporaryDirectory(prefix="s") as scratch:
            root = Path(scratch)
            path = write_study(root, args.trials, args.sampler)
            start = time.monotonic()
            if args.slurm:
                counts = on_slurm(path, args.trials, args.workers, kills, args.seed, root)
            else:
                with contextlib.redirect_stderr(io.StringIO()):
                    counts = supervise(path, args.trials, args.workers, kills, args.seed)
            lost, doubled, best, value, params = report(path)
            found.append((best, value, params))
            print(f"{args.trials} trials, {args.workers} workers, {kills} kills: "
                  f"{time.monotonic() - start:.0f} s, {lost} lost, {doubled} doubled, best: trial "
                  f"{best}, {value}; {counts}", flush=True)  # fmt: skip
    print(f"the same best: {'yes' if found[0] == found[1] else 'no'}")


if __name__ == "__main__":
    main()
