"""The demonstration: all five stages of a study, here or through SLURM, with a table as it goes.

    python -m stages.demo configs/demo.yaml

Ends by naming the figures. Run again, it does what is left to do. A trial of a large grid takes a
sample of its points, in which every variant and every value of every axis occurs.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lib.config import tasks
from lib.config.errors import BadInput
from lib.config.study import Point, Study
from lib.runs.children import call, child
from lib.runs.directory import done_mark, status
from lib.runs.files import read_json, read_jsonl
from lib.runs.progress import clock
from lib.slurm import commands as slurm
from stages.command import DONE, load, parser, run, say
from stages.estimate import describe
from stages.submit import asks_a_judge, local_command, submit, through_slurm

LARGE = 8  # points; a trial of more takes a sample
SILENCE = 15.0  # seconds without a finished point, until the log's last line is shown
POLL = 5.0  # seconds between two looks at SLURM's queue, which all users share
PATIENCE = 600.0  # seconds that a controller may be away, as when it is restarted
LAG = 60.0  # seconds until what a node wrote to a shared file system is seen here


def main(argv: Sequence[str] | None = None) -> int:
    """Run the five stages; returns the exit code."""
    arguments = parser("stages.demo", __doc__, force=False)
    arguments.add_argument("--here", action="store_true", help="on this machine, without SLURM")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    submits = through_slurm(args.here)
    start = time.monotonic()
    small = study.mode == "full" or len(study.grid) <= LARGE
    points = study.points() if small else sample(study.points())
    if code := stage(study, "stage1_generate_datasets"):
        return code
    if study.mode == "trial":
        say(describe(study, points))
    width = max(len(point.name) for point in points)
    for word, column, result_of in (("train", "last loss", _loss), ("infer", "found", _found)):
        say(f"\n{word}: {len(points)} points\n  {'point':{width}}  {column:>15}  elapsed")
        stage_start = time.monotonic()
        for point in as_they_finish(study, word, points, submits):
            text = result_of(study, point)
            say(f"  {point.name:{width}}  {text:>15}  {clock(time.monotonic() - stage_start)}")
    for module, words in (("stage4_evaluate", [] if small else ["--allow-missing"]),
                          ("stage5_visualize", [])):  # fmt: skip
        say("")
        if code := stage(study, module, *words):
            return code
    comparison = study.directory / "comparison"
    for name in ("findings.md", "criteria.md"):
        say("\n" + (comparison / name).read_text(encoding="utf-8").rstrip())
    names = read_json(comparison / "done" / "visualize.json")["figures"]
    say(f"\ndone in {clock(time.monotonic() - start)}; figures in {comparison}/:")
    for name in names:
        say(f"  {name}.png")
    return DONE


def sample(points: Sequence[Point]) -> list[Point]:
    """Points in which every variant and every value of every axis occurs."""
    sampled, seen = [], set()
    for point in points:
        new = {(axis, repr(value)) for axis, value in point.values.items()}
        if not new <= seen:
            sampled.append(point)
            seen |= new
    return sampled


def stage(study: Study, module: str, *words: str) -> int:
    """Run one stage as its user would."""
    command = [sys.executable, "-m", f"stages.{module}", study.path, *study.words, *words]
    say(pastable(command))
    return call(command)


def pastable(command: Sequence[str]) -> str:
    """A command of Python as it can be given to a shell in this directory."""
    python = Path(command[0])
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return shlex.join([str(python), *command[1:]])


def last_line(log: Path) -> str:
    """The last line of a log; of several that a pattern names, of the one written last."""
    written = sorted(log.parent.glob(log.name), key=lambda path: path.stat().st_mtime)
    lines = written[-1].read_text(errors="replace").splitlines() if written else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def as_they_finish(
    study: Study, word: str, points: Sequence[Point], through_slurm: bool
) -> Iterator[Point]:
    """Start an array stage over these points, and yield each once it is done.

    Raises BadInput that names the log where the stage ends before all points are done, or fails.
    """
    left = [point for point in points if not is_finished(study, word, point)]
    yield from (point for point in points if point not in left)
    if not left and not (word == "infer" and asks_a_judge(study)):
        return
    started = submitted(study, word) if through_slurm else run_here(study, word, points)
    with started as (log, state):
        say(f"  (log: {log})")
        ended, said, line = None, time.monotonic(), ""
        while left:
            code = state()  # before the marks: what ends between the two is seen in the marks
            for point in [p for p in left if is_finished(study, word, p)]:
                left.remove(point)
                yield point
                said = time.monotonic()
            if time.monotonic() - said > SILENCE:
                before, line, said = line, last_line(log), time.monotonic()
                if line != before:
                    say(f"  … {line}")
            if left and code is not None:
                ended = ended or time.monotonic()
                if not through_slurm or time.monotonic() - ended > LAG:
                    raise BadInput(f"{word}: ended with {len(left)} points not done; see {log}")
            time.sleep(1)
        while (code := state()) is None:  # what all points wait for, such as a judge
            time.sleep(1)
        if code:
            raise BadInput(f"{word}: ended with exit code {code}; see {log}")


State = Callable[[], int | None]  # None while a stage runs, then its exit code, as far as known


@contextmanager
def run_here(study: Study, word: str, points: Sequence[Point]) -> Iterator[tuple[Path, State]]:
    """A stage as a process on this machine: its log, and how it is getting on."""
    log = Path("logs") / f"{study.name}-{word}.out"
    log.parent.mkdir(exist_ok=True)
    command = local_command(study, word, points=[point.index for point in points])
    say(f"  {pastable(command)}")
    with log.open("w") as file, child(command, stdout=file, stderr=file) as process:
        yield log, process.poll


@contextmanager
def submitted(study: Study, word: str) -> Iterator[tuple[Path, State]]:
    """A stage as jobs of SLURM, which stay in the queue should this process end."""
    jobs = submit(study, word)
    asked, answered, running = float("-inf"), time.monotonic(), True

    def state() -> int | None:
        nonlocal asked, answered, running
        if running and time.monotonic() - asked >= POLL:
            asked = time.monotonic()
            try:
                running = bool(slurm.queued(jobs, attempts=1))
                answered = time.monotonic()
            except slurm.NoAnswer as error:
                if time.monotonic() - answered > PATIENCE:
                    raise BadInput(f"{error}; the jobs are not affected: run this again to wait "
                                   f"for them") from None  # fmt: skip
        return None if running else 0

    yield Path("logs") / f"{word}-{jobs[0] if jobs else '*'}_*.out", state


def is_finished(study: Study, word: str, point: Point) -> bool:
    """Whether a stage has done all that it will do for a point."""
    if word == "train":
        return done_mark(point.directory, word) is not None
    return status(study, point) in ("done", "diverged")


def _loss(study: Study, point: Point) -> str:
    if done_mark(point.directory, "train")["step"] == 0:
        return "not trained"
    rows = read_jsonl(point.directory / "train.jsonl", torn_tail=True)
    return f"{rows[-1]['loss']:.4f}" if rows and rows[-1]["loss"] is not None else "diverged"


def _found(study: Study, point: Point) -> str:
    if status(study, point) == "diverged":
        return "diverged"
    task = study.tasks[0]
    path = point.directory / f"{study.named('predictions', task)}.jsonl"
    return tasks.get(task).summary(read_jsonl(path))


if __name__ == "__main__":
    raise SystemExit(run(main))
