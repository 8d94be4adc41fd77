"""The journal of a search: whole lines, one owner a trial, dead trials tried again."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.runs.directory import Busy
from lib.search.journal import MOST_RETRIES, Journal, is_over

ME, OTHER = {"job": "17_3", "restarts": 0}, {"job": "18_3", "restarts": 0}


@pytest.fixture
def journal(study):
    return Journal(study)


def test_a_trial_is_begun_by_one_line_and_found_again(study, journal):
    before = len(journal.path.read_text().splitlines())
    attempt = journal.take(3, ME)
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()[before:]]
    assert len(lines) == 1
    assert set(lines[0]["params"]) == set(study.space)
    assert lines[0]["user_attrs"] == {"trial": 3, "retries": 0, "by": ME}

    requeued = Journal(study).take(3, ME | {"restarts": 1})
    assert (requeued.number, requeued.params) == (attempt.number, attempt.params)
    assert Journal(study).current()[3].user_attrs["by"]["restarts"] == 1
    assert len(journal.attempts()) == 1


def test_parameters_depend_on_the_number_and_differ_between_trials(study, write_search, tmp_path):
    params = {n: Journal(study).take(n, ME).params for n in (4, 0, 2)}
    again = Journal(load_study(write_search(), [f"results_dir={tmp_path / 'other'}"]))
    assert {n: again.take(n, ME).params for n in (0, 2, 4)} == params
    assert len({p["train.learning_rate"] for p in params.values()}) == 3


def test_tpe_learns_from_results_and_never_writes_what_it_only_asks(write_search):
    study = load_study(write_search({"sampler": "tpe", "startup": 4, "trials": 40}))
    journal = Journal(study)
    for number in range(30):
        attempt = journal.take(number, ME)
        journal.complete(attempt, 1.0 if attempt.params["train.batch_size"] == 16 else 0.0)
    chosen = [journal.take(n, ME).params["train.batch_size"] for n in range(30, 40)]
    assert chosen.count(16) >= 7  # a random choice of three: 3 or 4
    assert len(journal.attempts()) == 40


@pytest.mark.parametrize("torn", ['{"op_code":4,"worker_id":"torn', "\0\0\0"])
def test_a_line_that_was_cut_in_two_is_removed_before_the_next(study, journal, torn):
    journal.take(0, ME)
    with journal.path.open("a") as file:
        file.write(torn)  # as a kill or a full disk leaves it
    reader = Journal(study)
    assert set(reader.current()) == {0}
    reader.take(1, ME)
    journal.take(2, ME)  # opened before that line
    assert set(Journal(study).current()) == {0, 1, 2}
    assert torn not in journal.path.read_text()


def test_a_damaged_line_in_the_middle_is_named(study, journal, run_stage, monkeypatch):
    journal.take(0, ME)
    lines = journal.path.read_text().splitlines(keepends=True)
    journal.path.write_text("".join([*lines[:-1], "{broken\n", lines[-1]]))
    with pytest.raises(BadInput, match=rf"journal.log: line {len(lines)} is no entry of a journal"):
        Journal(study)


def test_the_lock_points_to_the_file_from_any_directory(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = Journal(replace(study, results_dir=Path("below")))
    lock = there.storage._backend._lock
    lock.acquire()
    assert os.path.isabs(os.readlink(lock._lock_file))
    assert os.path.samefile(lock._lock_file, there.path)  # else Optuna waits without an end
    lock.release()


def test_a_result_is_told_once_and_stays(journal):
    attempt = journal.take(0, ME)
    journal.report(attempt, {1: 0.25, 2: 0.5})
    journal.complete(attempt, 0.5)
    size = journal.path.stat().st_size
    for tell in (
        lambda: journal.complete(attempt, 0.9),
        lambda: journal.fail(attempt, "reaped"),
        lambda: journal.report(attempt, {3: 0.7}),
    ):
        tell()
    found = journal.take(0, ME)
    assert (found.state.name, found.value) == ("COMPLETE", 0.5)
    assert found.intermediate_values == {1: 0.25, 2: 0.5}
    assert is_over(found)
    assert journal.path.stat().st_size > size  # lines that Optuna ignores, and a second reader too


def test_a_trial_that_died_is_tried_again_with_its_parameters_at_most_twice(journal):
    first = attempt = journal.take(0, ME)
    for retry in range(1, MOST_RETRIES + 1):
        journal.fail(attempt, "killed")
        attempt = journal.take(0, ME)
        assert attempt.user_attrs["retries"] == retry
        assert attempt.params == first.params
    journal.fail(attempt, "killed")
    given_up = journal.take(0, ME)
    assert given_up.state.name == "FAIL"
    assert is_over(given_up)
    assert journal.take(0, ME, again=True).params == first.params
    assert not is_over(journal.current()[0])


def test_of_two_tasks_that_begin_a_trial_at_once_one_has_it(study, journal, monkeypatch):
    # On a file system whose locks don't reach other nodes: both see no trial 3.
    other = Journal(study)
    monkeypatch.setattr(other, "_suggest", lambda number: journal.take(3, ME).params)
    with pytest.raises(Busy, match="trial 3 was just started by another task"):
        other.take(3, OTHER)
    assert journal.current()[3].user_attrs["by"] == ME
    states = [a.state.name for a in journal.attempts()]
    assert states == ["RUNNING", "FAIL"]


def test_a_pruned_trial_has_its_last_validation_for_a_value(write_search):
    journal = Journal(load_study(write_search({"pruner": "median", "startup": 2, "warmup": 1})))
    for number, value in enumerate((0.8, 0.9)):
        attempt = journal.take(number, ME)
        assert not journal.report(attempt, {1: value, 2: value})
        journal.complete(attempt, value)
    poor = journal.take(2, ME)
    assert not journal.report(poor, {1: 0.1})  # the first one is the warm-up
    assert journal.report(poor, {1: 0.1, 2: 0.2})
    journal.prune(poor, "pruned at validation 2")
    found = journal.current()[2]
    assert (found.state.name, found.value) == ("PRUNED", 0.2)
    assert not journal.report(journal.take(3, ME), {1: 0.1, 2: 0.95})


@pytest.mark.parametrize(("changed", "message"), [
    ({"space": {"train.batch_size": {"categorical": [8, 16]}}}, "space.train.batch_size was"),
    ({"metric": "validation_loss", "direction": "minimize"}, "metric was 'validation_acc"),
    ({"fixed": {"variant": "penalised", "seed": 43}}, "fixed.seed was 42, is 43"),
])  # fmt: skip
def test_a_journal_of_another_search_is_refused(study, write_search, run_stage, monkeypatch,
                                                changed, message):  # fmt: skip
    Journal(study).take(0, ME)
    before = (study.directory / "search" / "journal.log").read_bytes()
    monkeypatch.setattr("stages.search.read_manifest", lambda study: None)
    ended = run_stage("search", write_search(changed), "--here")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "the journal has results of another config" in ended.err
    assert message in ended.err
    assert (study.directory / "search" / "journal.log").read_bytes() == before


def test_more_trials_and_another_sampler_go_on_with_the_same_journal(study, write_search):
    Journal(study).take(0, ME)
    changed = write_search({"trials": 9, "sampler": "tpe", "pruner": "median", "seed": 5})
    assert set(Journal(load_study(changed)).current()) == {0}
    words = ["train.epochs=2"]  # which makes other trials of them
    with pytest.raises(BadInput, match="train.epochs was 1.0, is 2"):
        Journal(load_study(changed, words))


def test_the_lock_of_a_worker_that_was_killed_is_taken_over(study, journal, monkeypatch):
    monkeypatch.setattr("lib.search.journal.GRACE", 1)
    with pytest.warns(UserWarning, match="grace_period"):
        other = Journal(study)
    journal.storage._backend._lock.acquire()  # and is never released
    assert other.take(0, ME).state.name == "RUNNING"
