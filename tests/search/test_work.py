"""Trials as tasks run them: killed, requeued, pruned, diverged; and what `make search` does."""

import csv
import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import search as bench
from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.search_checks import UNTRACKED
from lib.config.yaml import flatten
from lib.runs.children import RESUMABLE
from lib.runs.directory import Busy, locked, mark_done
from lib.runs.files import read_json, write_jsonl
from lib.search import reap, work
from lib.search.journal import Journal
from lib.search.trials import claim, read_trial, result, trial_directory, write_trial
from stages.command import who
from tests.fake_slurm import FakeSlurm

HERE = {"job": None, "restarts": 0, "holder": ""}
STEPS = 6


def trained(point, values, status="done"):
    """Write what stage 2 leaves."""
    rows = [{"step": n, "loss": 1.0, "validation_accuracy": v, "validation_loss": 1 - v}
            for n, v in enumerate(values, 1)]  # fmt: skip
    write_jsonl(point.directory / "train.jsonl", rows)
    if status:
        mark_done(point.directory, "train", {}, ["train.jsonl"], status=status, step=len(rows))


def run(study, number, code=0, said=None, **more):
    """Run a trial whose training ends at once, with an exit code."""
    command = [sys.executable, "-SEc", f"raise SystemExit({code})"]
    say = (lambda line: None) if said is None else said.append
    return work.run_trial(study, number, HERE, who(), say, lambda point: command,
                          lambda point: STEPS, **more)  # fmt: skip


def begun(study, number):
    return write_trial(study, number, Journal(study).take(number, HERE).params)


def state(study, number):
    attempt = Journal(study).current()[number]
    return attempt.state.name, attempt.value


def test_a_kill_between_training_and_result_loses_nothing(study):
    trained(begun(study, 0), [0.25, 0.5])
    assert run(study, 0) == 0
    assert state(study, 0) == ("COMPLETE", 0.5)
    assert Journal(study).current()[0].intermediate_values == {1: 0.25, 2: 0.5}
    assert run(study, 0, code=1) == 0  # is over: nothing is started
    assert len(Journal(study).attempts()) == 1


def test_a_trial_lies_apart_and_is_a_point_that_stage_2_takes(study):
    point = begun(study, 3)
    assert point.directory == study.directory / "search" / "trial-0003"
    assert point.words == ["--trial", "3"]
    assert read_trial(study, 3) == point
    ((key, off),), flat = UNTRACKED.items(), flatten(point.config.model_dump())
    assert flat[key] == off
    assert "trial-0003" not in {point.name for point in study.points()}
    with pytest.raises(BadInput, match=r"no parameters yet; run python -m .* --trial 4"):
        read_trial(study, 4)
    with pytest.raises(BadInput, match="--trial: 6 is outside the search; valid are 0 to 5"):
        read_trial(study, 6)


def test_a_diverged_trial_is_a_result(study):
    trained(begun(study, 0), [0.25], "diverged")
    assert run(study, 0) == 0
    assert state(study, 0) == ("PRUNED", 0.25)
    current = Journal(study).current()
    assert reap.states(study, current, {})[0] == "diverged"
    assert reap.to_run(current, reap.states(study, current, {})) == [1, 2, 3, 4, 5]


def test_a_stopped_trial_goes_on_and_a_failed_one_is_counted(study):
    assert run(study, 0, code=RESUMABLE) == RESUMABLE
    assert state(study, 0) == ("RUNNING", None)
    for _ in range(3):
        assert run(study, 0, code=1) == 1
    said = []
    assert run(study, 0, said=said) == 1
    assert said == ["trial 0: failed (exit code 1) already"]
    trained(read_trial(study, 0), [0.5])
    assert run(study, 0, again=True) == 0  # --force
    assert state(study, 0) == ("COMPLETE", 0.5)


def test_no_validation_at_all_is_said(study):
    trained(begun(study, 0), [])
    with pytest.raises(BadInput, match=r"train.jsonl: no validation_accuracy, by which the search"):
        run(study, 0)


def test_two_workers_never_run_one_trial(study):
    with locked(claim(study, 0), "somebody"), pytest.raises(Busy, match="held by another task"):
        run(study, 0)
    assert not (study.directory / "search" / "journal.log").exists()


def test_best_or_last_weights_give_the_value(study, tmp_path):
    point = begun(study, 0)
    trained(point, [0.25, 0.75, 0.5])
    assert result(point, "validation_accuracy") == 0.5
    kept = point.config.train.model_copy(update={"keep": "best"})
    object.__setattr__(point, "config", point.config.model_copy(update={"train": kept}))
    assert result(point, "validation_accuracy") == 0.75
    assert result(point, "validation_loss") == 0.25


def test_a_poor_trial_is_stopped_and_its_checkpoints_go(write_search, monkeypatch):
    monkeypatch.setattr(work, "POLL", 0.05)
    study = load_study(write_search({"pruner": "median", "startup": 1, "warmup": 1}))
    trained(begun(study, 0), [0.8] * STEPS)
    run(study, 0)
    point = begun(study, 1)
    # Writes a second, poor validation, then waits for USR2 as stage 2 does between two steps.
    script = (
        "import json, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGUSR2, lambda *_: sys.exit(75))\n"
        "d = pathlib.Path(sys.argv[1])\n"
        "(d / 'checkpoints' / 'checkpoint-2').mkdir(parents=True)\n"
        "with (d / 'train.jsonl').open('a') as f:\n"
        "    f.write(json.dumps({'step': 2, 'validation_accuracy': 0.2}) + '\\n')\n"
        "time.sleep(60)\n"
    )
    trained(point, [0.1], status=None)
    code = work.run_trial(
        study, 1, HERE, who(), print, lambda p: [sys.executable, "-SEc", script, str(p.directory)],
        lambda p: STEPS,
    )  # fmt: skip
    assert code == 0
    assert state(study, 1) == ("PRUNED", 0.2)
    assert Journal(study).current()[1].user_attrs["reason"] == "pruned at validation 2"
    assert not (point.directory / "checkpoints").exists()
    # A kill before the clean-up: the next start of the task does it.
    (point.directory / "checkpoints").mkdir()
    assert run(study, 1, code=1) == 0
    assert not (point.directory / "checkpoints").exists()
    # After the last validation nothing is pruned.
    trained(begun(study, 2), [0.1] * STEPS)
    run(study, 2)
    assert state(study, 2) == ("COMPLETE", 0.1)


@dataclass
class Forked:
    """A worker as subprocess.Popen looks, forked from here, where all is imported."""

    process: multiprocessing.Process

    def poll(self) -> int | None:
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode


@pytest.mark.slow
def test_workers_that_are_killed_at_random_lose_and_double_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.search.journal.GRACE", 3)  # of a lock whose holder was killed
    trials = 10
    forking = multiprocessing.get_context("fork")

    def start(path: Path, number: int, restarts: int) -> Forked:
        def target() -> None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os._exit(bench.work(str(path), number, restarts))

        process = forking.Process(target=target)
        process.start()
        return Forked(process)

    found = []
    for kills in (0, 8):
        root = tmp_path / str(kills)
        root.mkdir()
        path = bench.write_study(root, trials)
        counts = bench.supervise(path, trials, 4, kills, seed=kills, start=start)
        lost, doubled, *best = bench.report(path)
        assert (lost, doubled) == (0, 0)
        found.append(best)
    assert counts["kills"] >= 2
    assert found[0] == found[1]


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}:{os.environ['PATH']}")
    monkeypatch.setattr("stages.search.read_manifest", lambda study: None)
    monkeypatch.chdir(tmp_path)
    return fake


def test_make_search_submits_what_is_missing_once(slurm, study, run_stage):
    ended = run_stage("search", study.path)
    assert ended.code == 0, ended.err
    words = slurm.calls("sbatch")[0]
    assert "--array=0-5%8" in words
    template, code, _, last = words[-4:]
    assert (Path(template).name, last) == ("search.sbatch", f"--grid-hash={study.grid_hash}")
    assert template.startswith(code.removeprefix("--code="))
    assert "6 queued" in ended.out
    assert run_stage("search", study.path).code == 0
    assert len(slurm.calls("sbatch")) == 1


def test_make_search_reaps_the_dead_and_submits_them_again(slurm, study, run_stage):
    run_stage("search", study.path)
    journal = Journal(study)
    params = {}
    for number in range(4):
        by = {"job": f"101_{number}", "restarts": 0, "holder": "node7 (0), process 1"}
        params[number] = journal.take(number, by).params
    journal.complete(journal.current()[3], 0.5)
    # 0 runs, 1 is gone, 2 was requeued, 4 waits for its turn, 5 has never begun and is gone.
    slurm.set(queue={"101": {"0": "RUNNING", "2": "PENDING", "4": "PENDING"}})
    ended = run_stage("search", study.path)
    assert "trial 1: dead (job 101_1 is no longer queued), to be tried again with its" in ended.out
    assert "--array=1,5%8" in slurm.calls("sbatch")[1]
    assert len(slurm.calls("squeue")) == 1  # of all jobs
    assert "1 running; 3 queued; 1 complete" not in ended.out  # 1, 2, 4 and 5 wait
    assert "1 running; 4 queued; 1 complete" in ended.out
    assert "best so far: trial 3, validation_accuracy 0.5000" in ended.out
    again = Journal(study).take(1, {"job": "102_1", "restarts": 0})
    assert (again.user_attrs["retries"], again.params) == (1, params[1])
    assert read_json(study.directory / "search" / "jobs.json") == ["101", "102"]


def test_a_silent_controller_reaps_and_submits_nothing(slurm, study, run_stage, monkeypatch):
    run_stage("search", study.path)
    Journal(study).take(0, {"job": "101_0", "restarts": 0, "holder": "node7 (0), process 1"})
    slurm.set(fails={"squeue": "no route"})
    monkeypatch.setattr("lib.slurm.commands.PAUSE", 0)
    ended = run_stage("search", study.path)
    assert (ended.code, len(slurm.calls("sbatch"))) == (0, 1)
    assert "1 unknown; 5 missing" in ended.out
    assert "the queue is unknown: squeue --noheader: no route" in ended.out
    assert state(study, 0)[0] == "RUNNING"


def test_workers_of_this_machine_are_known_by_their_locks(study):
    journal = Journal(study)
    journal.take(0, reap.worker(who(), None, 0))
    journal.take(1, reap.worker("elsewhere (0a0a0a0a), process 7", None, 0))
    with locked(claim(study, 0), who()):
        assert reap.states(study, journal.current(), {})[0] == "running"
    known = reap.states(study, journal.current(), {})
    assert (known[0], known[1]) == ("dead", "unknown")


def test_here_in_turn_until_the_best_is_chosen(study, run_stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.search.read_manifest", lambda study: None)
    monkeypatch.setattr("stages.search._command", lambda study: lambda point: [])
    chance, failed = random.Random(1), []

    def run_trial(study, number, by, who, say, command, again=False):
        journal = Journal(study)
        attempt = journal.take(number, by)
        if number == 2 and not failed:
            failed.append(number)
            journal.fail(attempt, "exit code 1")
            return 1
        trained(write_trial(study, number, attempt.params), [chance.random()])
        journal.complete(attempt, result(read_trial(study, number), "validation_accuracy"))
        return 0

    monkeypatch.setattr(work, "run_trial", run_trial)
    ended = run_stage("search", study.path, "--here")
    assert ended.code == 0, ended.err
    assert failed == [2]
    assert "6 complete" in ended.out
    directory = study.directory / "search"
    chosen = read_json(directory / "best.json")
    with (directory / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["retries"] for row in sorted(rows, key=lambda r: r["trial"])] == list("001000")
    assert chosen["value"] == max(float(row["validation_accuracy"]) for row in rows)
    assert len(chosen["neighbours"]) == 4
    assert sum(chosen["importance"].values()) == pytest.approx(1)
    for topic in ("history", "slices", "importance"):
        assert {(directory / f"{topic}.{kind}").exists() for kind in ("png", "pdf")} == {True}
    best = load_study(tmp_path / "configs" / "generated" / "found-best.yaml")
    assert best.raw["selected"]["trial"] == chosen["trial"]


def test_a_task_beyond_the_trials_has_nothing_to_do(study, run_stage, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "30")
    ended = run_stage("search", study.path, "--index", "30")
    assert (ended.code, ended.err) == (0, "")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    ended = run_stage("search", study.path, "--trial", "30")
    assert ended.code == 2
    assert "valid are 0 to 5" in ended.err


def test_a_study_without_a_search_and_a_miniature(write_study, study, run_stage):
    ended = run_stage("search", write_study())
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "search: missing, expected the section" in ended.err
    ended = run_stage("search", study.path, "mode=trial")
    assert (ended.code, ended.out.strip()) == (0, "found: mode: trial has no search trials")


def test_stage_2_trains_a_trial_and_its_result_is_told(
    write_search, tiny_encoders, run_stage, snapshot, tmp_path
):
    data = {"source": "synthetic", "train_rows": 32, "validation_rows": 16, "test_rows": 8}
    train = {"objective": "classification", "tuning": "lora", "precision": "fp32", "epochs": 1,
             "validations": 2, "batch_size": 8, "micro_batch": 8, "log_steps": 1}  # fmt: skip
    importance = {"alpha": 1e-4, "batches": 1, "batch_size": 4}
    variants = {"plain": {}, "penalised": {"train.importance": importance}}
    model = {"name": str(tiny_encoders["bert"]), "max_length": 64}
    path = write_search(
        {"space": {"train.learning_rate": {"float": [1e-4, 1e-2], "log": True}}},
        model=model, data=data, train=train, variants=variants,
    )  # fmt: skip
    study = load_study(path)
    assert run_stage("stage1_generate_datasets", path).code == 0
    before = snapshot(study.directory / "data")
    point = begun(study, 1)
    ended = run_stage("stage2_train", path, "--trial", "1")
    assert ended.code == 0, ended.err
    files = {file.name for file in point.directory.iterdir()}
    assert files == {".lock", "attempts.json", "config.json", "done", "importance.json", "model",
                     "train.jsonl", "trial.json", "usage.json"}  # fmt: skip
    config = read_json(point.directory / "config.json")
    assert config["config"]["train"]["learning_rate"] == point.values["train.learning_rate"]
    assert config["config"]["train"]["seed"] == 42
    assert {p.name for p in study.directory.iterdir()} == {
        ".lock", "data", "grid.csv", "listing.json", "search", "study.json"
    }  # fmt: skip
    assert snapshot(study.directory / "data") == before
    assert run(study, 1) == 0
    last = read_json(point.directory / "done" / "train.json")["step"]
    assert state(study, 1)[0] == "COMPLETE"
    assert len(Journal(study).current()[1].intermediate_values) == 2
    assert last == 4


def test_a_warning_stops_the_training_and_the_next_start_goes_on(study):
    script = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGUSR2, lambda *_: sys.exit(75))\n"
        "(pathlib.Path(sys.argv[1]) / 'started').touch()\n"
        "time.sleep(60)\n"
    )

    def worker() -> None:
        try:
            code = work.run_trial(
                study, 0, HERE, who(), lambda line: None,
                lambda p: [sys.executable, "-SEc", script, str(p.directory)], lambda p: STEPS,
            )  # fmt: skip
        except SystemExit as ended:
            code = ended.code
        os._exit(code)

    process = multiprocessing.get_context("fork").Process(target=worker)
    process.start()
    while not (trial_directory(study, 0) / "started").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGUSR2)
    process.join(20)
    assert process.exitcode == RESUMABLE
    assert state(study, 0) == ("RUNNING", None)
    trained(read_trial(study, 0), [0.5])
    assert run(study, 0) == 0
    assert state(study, 0) == ("COMPLETE", 0.5)
    assert len(Journal(study).attempts()) == 1
