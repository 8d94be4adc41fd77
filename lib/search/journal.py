"""The journal of a search: a file of Optuna's, to which all workers append.

results/<study>/search/journal.log

A *trial* has a fixed number, 0 to `search.trials` − 1, for its task in the array, its directory and
the user attribute `trial` of Optuna's trials. Optuna's trials are *attempts*: one that died is
followed by another with the same parameters. Each is created by a single line with parameters and
worker, so that a kill leaves none or a complete one, and a requeued task finds its own again.

The file is locked by a symbolic link, which is atomic on NFS too; if a worker is killed while it
holds the lock, the others wait 30 s. An incomplete line, of a kill or a full disk, is removed
first: Optuna would append to it and make the journal unreadable.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from lib.config.errors import BadInput
from lib.config.search_checks import DIRECTIONS, base_values
from lib.config.search_space import Dimension, Search
from lib.config.study import Study, identity
from lib.runs.directory import Busy, refuse_change
from lib.runs.files import refusal

FILE = Path("search") / "journal.log"
MOST_RETRIES = 2  # attempts at a trial after the first one died
GRACE = 30  # seconds after which the lock of an inactive holder is taken over
FINAL = (TrialState.COMPLETE, TrialState.PRUNED)  # results, never retried

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Backend(JournalFileBackend):
    """Optuna's file, without incomplete lines."""

    def __init__(self, path: Path) -> None:
        path = path.absolute()  # absolute: the lock is a link to it, from any working directory
        super().__init__(str(path), JournalFileSymlinkLock(str(path), grace_period=GRACE))
        self.path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, flushed to the disk. Raises BadInput where the disk refuses."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._lock.acquire()
        try:
            with self.path.open("r+b") as file:
                _end_of_lines(file)
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if (reason := refusal(error)) is None:
                raise
            raise BadInput(
                f"{self.path}: cannot be written: {reason}; run it again once that has changed: "
                f"what it holds already is whole"
            ) from None
        finally:
            self._lock.release()


def _end_of_lines(file: Any) -> None:
    """Truncate the file after its last complete line."""
    end = file.seek(0, os.SEEK_END)
    if end:
        file.seek(end - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            end = file.read().rfind(b"\n") + 1
            file.truncate(end)
    file.seek(end)


class Journal:
    """The trials of one study's search."""

    def __init__(self, study: Study) -> None:
        """Open or create it. Raises BadInput for a damaged journal, or one of another search."""
        self.path, self.search = study.directory / FILE, study.search
        self.distributions = {key: distribution(d) for key, d in study.space.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.storage = JournalStorage(Backend(self.path))
            there = {known.study_name for known in self.storage.get_all_studies()}
            self.optuna = optuna.create_study(
                storage=self.storage, study_name=study.name, load_if_exists=True,
                direction=DIRECTIONS[self.search.metric], pruner=pruner(self.search),
            ) if study.name not in there else optuna.load_study(
                study_name=study.name, storage=self.storage, pruner=pruner(self.search)
            )  # fmt: skip
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be used: {error.strerror}") from None
        except (ValueError, KeyError, AssertionError) as error:
            raise BadInput(f"{self.path}: {_damage(self.path)} ({error}): restore it, or move "
                           f"{self.path.parent} away to start a new search") from None  # fmt: skip
        self.id = self.storage.get_study_id_from_name(study.name)
        now = search_identity(study)
        before = self.optuna.user_attrs.get("search")
        if before is None:
            self.optuna.set_user_attr("search", now)
        else:
            refuse_change(self.path.parent, "the journal", before, now)

    def attempts(self) -> list[FrozenTrial]:
        """All attempts in the order of their start."""
        return self.storage.get_all_trials(self.id, deepcopy=False)

    def current(self) -> dict[int, FrozenTrial]:
        """Trial → the attempt that represents it: its result, the running one, or the last."""
        current: dict[int, FrozenTrial] = {}
        for attempt in self.attempts():
            number = attempt.user_attrs.get("trial")
            if number is not None and (
                number not in current or _rank(attempt) > _rank(current[number])
            ):
                current[number] = attempt
        return current

    def take(self, number: int, by: Mapping[str, Any], again: bool = False) -> FrozenTrial:
        """The attempt to resume: a trial's running one, a new one, or its result, if it has one.

        by: the worker, for `lib.search.reap`. again: even after too many deaths. The caller holds
        the trial's lock; where locks do not reach all nodes, whoever wrote the journal's first line
        has the trial, and the other one gets Busy.
        """
        attempt = self.current().get(number)
        if attempt is None:
            return self._begin(number, self._suggest(number), 0, by)
        if attempt.state in FINAL:
            return attempt
        if attempt.state == TrialState.FAIL:
            retries = attempt.user_attrs["retries"]
            if retries >= MOST_RETRIES and not again:
                return attempt
            return self._begin(number, attempt.params, 0 if again else retries + 1, by)
        self.storage.set_trial_user_attr(attempt._trial_id, "by", dict(by))
        return attempt

    def _begin(
        self, number: int, params: dict[str, Any], retries: int, by: Mapping[str, Any]
    ) -> FrozenTrial:
        made = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=self.distributions,
            user_attrs={"trial": number, "retries": retries, "by": dict(by)},
        )
        mine = self.storage.create_new_trial(self.id, template_trial=made)
        first = self.current()[number]
        if first._trial_id != mine:
            self.fail(self.storage.get_trial(mine), "begun twice")
            raise Busy(f"{self.path.parent}: trial {number} was just started by another task")
        return first

    def _suggest(self, number: int) -> dict[str, Any]:
        """Parameters of a trial, given the results of the others.

        Sampled from a copy in memory, since Optuna's `ask` would write a trial without parameters
        to the journal.
        """
        seed = int(np.random.SeedSequence([self.search.seed, number]).generate_state(1)[0])
        copy = optuna.create_study(
            direction=DIRECTIONS[self.search.metric], sampler=sampler(self.search, seed)
        )
        copy.add_trials([a for a in self.attempts() if a.state != TrialState.FAIL])
        return copy.ask(self.distributions).params

    def report(self, attempt: FrozenTrial, values: Mapping[int, float]) -> bool:
        """Record validations, number → value; returns whether to prune the trial."""
        known = self.storage.get_trial(attempt._trial_id)
        for step, value in values.items():
            if known.intermediate_values.get(step) != value and not known.state.is_finished():
                self._write(self.storage.set_trial_intermediate_value, attempt, step, value)
        known = self.storage.get_trial(attempt._trial_id)
        return bool(known.intermediate_values and self.optuna.pruner.prune(self.optuna, known))

    def complete(self, attempt: FrozenTrial, value: float) -> None:
        """Record a trial's result; repeating it changes nothing."""
        self._write(self.storage.set_trial_state_values, attempt, TrialState.COMPLETE, [value])

    def prune(self, attempt: FrozenTrial, reason: str) -> None:
        """Record a pruned or diverged trial; its result is its last validation."""
        values = self.storage.get_trial(attempt._trial_id).intermediate_values
        last = [values[max(values)]] if values else None
        self._write(self.storage.set_trial_user_attr, attempt, "reason", reason)
        self._write(self.storage.set_trial_state_values, attempt, TrialState.PRUNED, last)

    def fail(self, attempt: FrozenTrial, reason: str) -> None:
        """Record a dead attempt; the trial is retried, at most MOST_RETRIES times."""
        self._write(self.storage.set_trial_user_attr, attempt, "reason", reason)
        self._write(self.storage.set_trial_state_values, attempt, TrialState.FAIL, None)

    def _write(self, write: Callable[..., Any], attempt: FrozenTrial, *what: Any) -> None:
        try:
            write(attempt._trial_id, *what)
        except UpdateFinishedTrialError:  # by an earlier start of this task, or on the login node
            return


def _rank(attempt: FrozenTrial) -> tuple[int, int]:
    """Rank of an attempt: the highest one represents its trial."""
    if attempt.state == TrialState.FAIL:
        return 0, attempt.user_attrs["retries"]
    return (2 if attempt.state in FINAL else 1), 0


def is_over(attempt: FrozenTrial | None) -> bool:
    """Whether a trial is over: it has a result, or has died too often."""
    if attempt is None:
        return False
    given_up = attempt.user_attrs["retries"] >= MOST_RETRIES
    return attempt.state in FINAL or (attempt.state == TrialState.FAIL and given_up)


def state_of(attempt: FrozenTrial) -> str:
    """`diverged`, else the state in Optuna's words, in lower case."""
    diverged = str(attempt.user_attrs.get("reason", "")).startswith("diverged")
    return "diverged" if diverged else attempt.state.name.lower()


def search_identity(study: Study) -> dict[str, Any]:
    """Identity of a search: metric, space, and the config without the space."""
    values = base_values(study)
    config = identity(study.resolve(values), "model", "data", "train")
    return {
        "metric": study.search.metric,
        **{f"space.{key}": dimension.describe() for key, dimension in study.space.items()},
        **{f"fixed.{axis}": value for axis, value in values.items()},
        **{key: value for key, value in config.items() if key not in study.space},
    }


def distribution(dimension: Dimension) -> BaseDistribution:
    """The dimension as Optuna's."""
    if dimension.kind == "categorical":
        return CategoricalDistribution(dimension.values)
    if dimension.kind == "int":
        return IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log, step=dimension.step
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def sampler(search: Search, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of one trial. TPE counts running trials as poor ones (its `constant_liar`)."""
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed)
    return optuna.samplers.TPESampler(n_startup_trials=search.startup, seed=seed)


def pruner(search: Search) -> optuna.pruners.BasePruner:
    """The pruner; its steps are validations, counted from 1, and start after `warmup`."""
    if search.pruner == "median":
        return optuna.pruners.MedianPruner(search.startup, search.warmup + 1)
    if search.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=search.warmup + 1)
    return optuna.pruners.NopPruner()


def _damage(path: Path) -> str:
    """Which line of a journal is damaged."""
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            if not isinstance(json.loads(line), dict):
                return f"line {number} is no entry of a journal"
        except ValueError:
            return f"line {number} is no entry of a journal"
    return "no journal of a search"
