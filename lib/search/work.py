"""One trial, from its parameters to its result; a requeued task resumes its trial.

Stage 2 trains in a process of its own, whose log this one reads: each validation is recorded in the
journal, and the pruner decides. A kill loses only what came after the last checkpoint: the journal
has complete lines, the trial resumes by its number, and its result follows from its files.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from optuna.trial import TrialState

from lib.config.errors import BadInput
from lib.config.steps import step_count
from lib.config.study import Point, Study
from lib.data.prepared import split_size
from lib.runs.children import RESUMABLE, child
from lib.runs.directory import CANDIDATES, done_mark, locked
from lib.search.journal import FINAL, Journal, is_over
from lib.search.trials import (
    claim,
    last_step,
    result,
    trial_directory,
    validations,
    write_trial,
)

POLL = 1.0  # seconds between two reads of a trial's log

Say = Callable[[str], None]


def run_trial(
    study: Study,
    number: int,
    by: Mapping[str, Any],
    who: str,
    say: Say,
    command: Callable[[Point], Sequence[str]],
    steps: Callable[[Point], int] | None = None,
    again: bool = False,
) -> int:
    """Run or resume a trial; returns an exit code: 0, 75, or that of its training.

    by: the worker, for the journal; who: for locks. command: trains a point. steps: of a point's
    training, by default from the study's data. again: even after too many deaths.
    Raises Busy where another task has the trial.
    """
    with locked(claim(study, number), who):
        journal = Journal(study)
        attempt = journal.take(number, by, again)
        if is_over(attempt):
            say(f"trial {number}: {described(attempt)} already")
            if attempt.state == TrialState.PRUNED:  # killed before recording it
                _clean_up(trial_directory(study, number), who)
            return 0 if attempt.state in FINAL else 1
        point = write_trial(study, number, attempt.params)
        shown = ", ".join(f"{key}={value}" for key, value in attempt.params.items())
        say(f"trial {number}: {shown}")
        last = (steps or (lambda p: step_count(p.config.train, split_size(study, p))))(point)
        pruned, code = watched(journal, attempt, point, last), RESUMABLE
        if not pruned:
            with child(command(point)) as process:
                pruned = _follow(journal, attempt, point, last, process)
            code = process.returncode
        if pruned:
            _clean_up(point.directory, who)
            say(f"trial {number}: pruned")
            return 0
        if code == 0:
            return _finish(journal, attempt, point, number, say)
        if code != RESUMABLE:
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            journal.fail(attempt, how)
            say(f"trial {number}: failed ({how}); make search tries it again")
            return code if code > 0 else 1
        return code


def watched(journal: Journal, attempt: Any, point: Point, last: int) -> bool:
    """Record new validations in the journal; returns whether the trial is pruned.

    Not after the last step: a completed training has a result.
    """
    measured = validations(point, journal.search.metric)
    if not measured:
        return False
    poor = journal.report(attempt, measured)
    if not poor or last_step(point) == last or done_mark(point.directory, "train"):
        return False
    journal.prune(attempt, f"pruned at validation {max(measured)}")
    return True


def _follow(journal: Journal, attempt: Any, point: Point, last: int, process: Popen) -> bool:
    """Read the log until the training ends; returns whether pruning ended it."""
    seen = None
    while process.poll() is None:
        with suppress(TimeoutExpired):
            process.wait(POLL)
        if (now := last_step(point)) != seen:
            seen = now
            if watched(journal, attempt, point, last):
                process.send_signal(signal.SIGUSR2)  # it stops at a checkpoint
                process.wait()
                return True
    return False


def _finish(journal: Journal, attempt: Any, point: Point, number: int, say: Say) -> int:
    mark = done_mark(point.directory, "train")
    journal.report(attempt, validations(point, journal.search.metric))
    if mark["status"] == "diverged":
        journal.prune(attempt, f"diverged at step {mark['step']}")
        say(f"trial {number}: diverged")
        return 0
    value = result(point, journal.search.metric)
    if value is None:
        raise BadInput(f"{point.directory / 'train.jsonl'}: no {journal.search.metric}, by which "
                       f"the search chooses; is there a validation split?")  # fmt: skip
    journal.complete(attempt, value)
    say(f"trial {number}: {journal.search.metric} {value:.4f}")
    return 0


def _clean_up(directory: Path, who: str) -> None:
    """Remove a pruned trial's checkpoints and candidates."""
    with locked(directory, who):
        for name in ("checkpoints", CANDIDATES):
            shutil.rmtree(directory / name, ignore_errors=True)


def described(attempt: Any) -> str:
    """`complete`, `pruned at validation 2`, `diverged at step 40` or `failed (exit code 1)`."""
    reason = attempt.user_attrs.get("reason", "")
    if attempt.state.name == "COMPLETE":
        return f"complete ({attempt.value:.4f})"
    return reason if attempt.state.name == "PRUNED" else f"failed ({reason})"
