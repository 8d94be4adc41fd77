"""Search over training settings: one trial, or, on a login node, the search as a whole.

    python -m stages.search configs/iw_lora_search.yaml             submit, show, select the best
    python -m stages.search configs/iw_lora_search.yaml --trial 3   run or resume trial 3

Without --trial: shows the state of every trial, marks those with a dead task as failed, and submits
unfinished ones (without SLURM: runs them here, one by one). After the last trial it names the best,
draws history, importance and slices into results/<study>/search/, and writes
configs/generated/<study>-best.yaml, a study with new seeds. On USR2 or TERM a trial saves a
checkpoint and exits 75; run again, it resumes there.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import format_indices, parse_indices
from lib.config.study import Point, Study
from lib.data.prepared import read_manifest
from lib.runs.directory import Busy, locked
from lib.runs.files import as_csv, write_json, write_text
from lib.search.trials import trial_count
from lib.slurm import commands as slurm
from lib.slurm.submission import LOGS, freeze, make_log_directories, sbatch_command
from stages.command import DONE, FAILED, load, parser, run, say, slurm_job, who
from stages.points import check_grid
from stages.submit import through_slurm


def main(argv: Sequence[str] | None = None) -> int:
    """Run trials, or manage the search; returns the exit code."""
    arguments = parser("stages.search", __doc__)
    arguments.add_argument("--trial", "--index", metavar="N", help="run trial 3, or 0-4,7 in turn")
    arguments.add_argument(
        "--grid-hash",
        metavar="HASH",
        help="refuse to run if the grid is not the one with this hash",
    )
    arguments.add_argument("--dry-run", action="store_true", help="only print the command")
    arguments.add_argument("--here", action="store_true", help="on this machine, without SLURM")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if study.search is None:
        raise BadInput(f"{study.path}: search: missing, expected the section that says what to "
                       f"search (lib/config/search_space.py)")  # fmt: skip
    count = trial_count(study)
    if count == 0:
        say(f"{study.name}: mode: trial has no search trials")
        return DONE
    if args.trial is None:
        if args.force:
            raise BadInput("--force: is for --trial N, a trial that has died too often")
        return oversee(study, args.dry_run, args.here)
    element = os.environ.get("SLURM_ARRAY_TASK_ID")
    if element == args.trial and int(element) >= count:
        say(f"{study.name}: the search has {count} trials, task {element} has nothing to do")
        return DONE
    numbers = parse_indices(args.trial, count, "--trial", "search")
    check_grid(study, args.grid_hash)
    return in_turn(study, numbers, args.force)


def in_turn(study: Study, numbers: Sequence[int], again: bool = False) -> int:
    """Run trials one after the other; the first exit code above 0. A stop ends all (SystemExit)."""
    from lib.search.reap import worker
    from lib.search.work import run_trial

    read_manifest(study)  # once, and not in each trial
    worst = DONE
    for number in numbers:
        by = worker(who(), slurm_job(), int(os.environ.get("SLURM_RESTART_COUNT") or 0))
        try:
            code = run_trial(study, number, by, who(), say, _command(study), again=again)
        except Busy as error:
            print(f"error: trial {number}: {error}", file=sys.stderr)
            code = FAILED
        if code == 75:
            return code
        worst = worst or code
    return worst


def _command(study: Study) -> Any:
    def command(point: Point) -> list[str]:
        return [sys.executable, "-m", "stages.stage2_train", study.path, *study.words, *point.words]

    return command


def oversee(study: Study, dry_run: bool, here: bool) -> int:
    """Fail dead trials, submit or run missing ones, show the state; conclude once all are over."""
    from lib.search import reap
    from lib.search.best import best_of, table
    from lib.search.journal import Journal, is_over

    if dry_run:
        say(shlex.join(sbatch_command(study, "search", range(trial_count(study)))))
        return DONE
    submits = through_slurm(here)
    read_manifest(study)
    with locked(
        study.directory / "search", who()
    ):  # one at a time, since each checks what is queued
        journal = Journal(study)
        current = journal.current()
        queue, notes = reap.look(study, current)
        known = reap.states(study, current, queue)
        for line in reap.reap(journal, current, known):
            say(line)
        current = journal.current()
        known = reap.states(study, current, queue)
        missing = reap.to_run(current, known)
        if missing and submits and queue is not None:
            submit(study, missing, queue)
            known |= dict.fromkeys(missing, "queued")
    code = DONE
    if missing and not submits:
        say(f"running {len(missing)} trials here, in turn")
        code = in_turn(study, missing)
        for _ in range(2):  # failed ones too, as `make search` would submit them again
            with suppress(BadInput):
                known = reap.states(study, current := journal.current(), queue)
            if not (again := reap.to_run(current, known)):
                break
            code = in_turn(study, again)
        current = journal.current()
        known = reap.states(study, current, queue)
    say(table(current, known, list(study.space)))
    counts = list(known.values())
    say("; ".join(f"{counts.count(state)} {state}" for state in dict.fromkeys(counts)))
    for note in notes:
        say(note)
    if all(is_over(current.get(number)) for number in known):
        return choose(study, journal, current) or code
    if (best := best_of(current, study.search.metric)) is not None:
        say(f"best so far: trial {best}, {study.search.metric} {current[best].value:.4f}")
    return code


def submit(study: Study, numbers: Sequence[int], queue: dict[str, slurm.Tasks]) -> None:
    """Submit trials as one array, at most `search.workers` at a time, and record its id."""
    from lib.search.reap import record_job

    make_log_directories(study, "search")
    job = slurm.sbatch(sbatch_command(study, "search", numbers, frozen=freeze(study)))
    record_job(study, job, queue)
    say(f"submitted trials {format_indices(numbers)} of {study.name} as job {job}; "
        f"{LOGS}/search-{job}_*.out")  # fmt: skip


def choose(study: Study, journal: Any, current: dict[int, Any]) -> int:
    """Report and draw the results of a finished search, and write the study of its best trial."""
    from lib.search.best import best_of, history, importances, neighbours, write_best_study
    from lib.search.figures import draw
    from lib.search.work import described

    directory, metric = study.directory / "search", study.search.metric
    rows = history(current, metric)
    write_text(directory / "trials.csv", as_csv(rows))
    if (best := best_of(current, metric)) is None:
        say("no trial is complete, so none can be selected")
        return FAILED
    around, shares = neighbours(current, best, study.space), importances(journal)
    say(f"best: trial {best}, {metric} {current[best].value:.4f}")
    for key, value in current[best].params.items():
        say(f"  {key}: {value}")
    say("its neighbours (distance from 0 to 1):")
    for number, distance in around:
        say(f"  trial {number}: {described(current[number])}, {distance:.2f} away")
    if shares:
        say("importance: " + ", ".join(f"{key} {100 * s:.0f} %" for key, s in shares.items()))
    path = write_best_study(study, current, best)
    write_json(directory / "best.json", {
        "trial": best, "metric": metric, "value": current[best].value,
        "params": current[best].params, "neighbours": [
            {"trial": n, "distance": d, "value": current[n].value} for n, d in around
        ],
        "importance": shares, "study": str(path),
    })  # fmt: skip
    for topic in draw(rows, shares, study.space, metric, directory, study.name):
        say(f"figure: {directory / topic}.pdf")
    say(f"study of the best trial, with new seeds: {path}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(run(main))
