"""Exports to real local trackers, read back with their own readers."""

import importlib
import json
import os
import sqlite3
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.runs.files import write_json
from lib.tracking import runs, to_tensorboard
from lib.tracking.live import Live, place_of
from lib.tracking.trackers import PACKAGES
from tests.tracking.made import log, metrics_of, row

ROWS = [row(step) for step in range(1, 9)]
BEST = {"best.loss": 1.125, "best.validation_accuracy": 0.5, "final.loss": 1.125,
        "final.validation_accuracy": 0.5, "final.seconds": 2.96}  # fmt: skip


@pytest.fixture
def study(write_study, tmp_path, monkeypatch):
    """Return the small study with the logs of two of its three points; trackio writes below tmp."""
    directory = tmp_path / "trackio"
    monkeypatch.setenv("TRACKIO_DIR", str(directory))
    from trackio import fragments, sqlite_storage, utils

    monkeypatch.setattr(utils, "TRACKIO_DIR", directory)
    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", directory)
    monkeypatch.setattr(fragments.utils, "TRACKIO_DIR", directory)
    loaded = load_study(write_study())
    for point in list(loaded.points())[:2]:
        log(point.directory, ROWS)
    return loaded


def trackio_rows(run: str) -> list[tuple[int, dict[str, float]]]:
    from trackio.sqlite_storage import SQLiteStorage

    logged = SQLiteStorage.get_logs("small", run)
    return [(r["step"], {k: v for k, v in r.items() if k not in ("step", "timestamp")})
            for r in logged]  # fmt: skip


def test_trackio_gets_what_train_jsonl_says_and_only_once(study, run_stage, tmp_path) -> None:
    words = ("track", study.path, "--to", "trackio")
    first = run_stage(*words)
    assert (first.code, "2 runs in project small, 2 with new rows (16 rows)" in first.out) == (0, 1)
    assert trackio_rows("accept_gamma2") == [*metrics_of(ROWS), (8, BEST)]
    assert "0 with new rows (0 rows)" in run_stage(*words).out
    # A requeued attempt logged steps 7 and 8 again, and two more.
    again = [*ROWS[:6], *(row(step, attempt=2) for step in (7, 8, 9, 10))]
    point = study.point_by_name("accept_gamma2")
    log(point.directory, again)
    assert "1 with new rows (4 rows)" in run_stage(*words).out
    assert trackio_rows("accept_gamma2")[:-1] == metrics_of(again)
    assert "0 with new rows (0 rows)" in run_stage(*words).out

    import trackio

    found = {run.name: run for run in trackio.Api().runs("small")}
    assert set(found) == {"baseline_gamma1", "accept_gamma2"}
    run = found["accept_gamma2"]
    assert (run.id, run.config["hash"], run.config["gamma"]) == ("accept_gamma2", "a1", 2)
    assert (run.config["_Group"], run.config["train.learning_rate"]) == ("small", 0.001)
    with sqlite3.connect(tmp_path / "trackio" / "small.db") as database:
        assert database.execute("select count(*) from metrics").fetchone() == (9 + 11,)


def test_trackio_on_a_network_file_system_gets_fragments(study, run_stage, monkeypatch) -> None:
    from trackio import fragments

    monkeypatch.setenv("TRACKIO_STORAGE_MODE", "jsonl")
    run_stage("track", study.path, "--to", "trackio")
    assert not trackio_rows("accept_gamma2")
    run_stage("track", study.path, "--to", "trackio")  # what waits to be imported is no duplicate
    assert len(list(fragments.local_inbox_dir().rglob("*.jsonl"))) == 8
    fragments.import_inbox_dir()
    assert trackio_rows("accept_gamma2") == [*metrics_of(ROWS), (8, BEST)]


def test_a_run_of_another_study_is_refused(study, write_study, run_stage) -> None:
    run_stage("track", study.path, "--to", "trackio")
    other = load_study(write_study(name="other"))
    log(other.point(0).directory, ROWS)
    refused = run_stage("track", other.path, "--to", "trackio", "--project", "small")
    assert refused.code == 2
    assert refused.err.splitlines()[-1] == (
        "error: trackio: project small: run baseline_gamma1 is of the study 'small', expected "
        "'other'; give another project with --project"
    )
    assert trackio_rows("baseline_gamma1") == [*metrics_of(ROWS), (8, BEST)]


def scalars(directory: Path) -> tuple[list[tuple[int, dict[str, float]]], list[str]]:
    """Steps with their scalars, the summary's last step apart; and the tags of texts."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(directory), size_guidance={"scalars": 0, "tensors": 0})
    reader.Reload()
    rows = defaultdict(dict)
    for tag in reader.Tags()["scalars"]:
        for event in reader.Scalars(tag):
            place = (event.step, "." in tag)
            assert tag not in rows[place]
            rows[place][tag] = pytest.approx(event.value, rel=1e-6)
    return [(step, rows[step, of]) for step, of in sorted(rows)], reader.Tags()["tensors"]


def test_tensorboard_reads_what_train_jsonl_says_and_only_once(study, run_stage) -> None:
    words = ("track", study.path, "--to", "tensorboard")
    assert "(16 rows)" in run_stage(*words).out
    point = study.point_by_name("accept_gamma2")
    directory = study.directory / "tracking" / "tensorboard" / point.name
    found, texts = scalars(directory)
    assert (found, texts) == ([*metrics_of(ROWS), (8, BEST)], ["config"])
    assert "(0 rows)" in run_stage(*words).out
    for rows, new in (
        ([*ROWS, row(9)], 1),
        ([*ROWS[:6], *(row(step, attempt=2) for step in (7, 8))], 8),
    ):
        log(point.directory, rows)
        assert f"({new} rows)" in run_stage(*words).out
        assert scalars(directory)[0][:-1] == metrics_of(rows)


def test_tensorboard_after_an_export_that_was_killed(study, monkeypatch) -> None:
    point, place = study.point(1), place_of(study, {})
    run = runs.point_run(study, point)
    monkeypatch.setattr(to_tensorboard.Writer, "finish", lambda self, run: self.writer.close())
    to_tensorboard.write(run, place)
    monkeypatch.undo()
    assert to_tensorboard.write(run, place) == 8
    directory = place.directory / "tensorboard" / point.name
    assert scalars(directory)[0] == [*metrics_of(ROWS), (8, BEST)]


@pytest.mark.parametrize("name", ["trackio", "tensorboard"])
def test_a_live_run_is_as_exported_ones(study, name: str, run_stage) -> None:
    point, place = study.point(1), place_of(study, os.environ)
    exported = runs.point_run(study, point)
    begun = replace(exported, rows=[], summary={}, end=None)
    said: list[str] = []
    for kept, logged in (([], ROWS[:6]), (ROWS[:4], ROWS[4:])):  # requeued from step 4
        live = Live(name, begun, place, said.append)
        live.start(kept)
        for one in logged:
            live.add(one)
        live.finish()
    if name == "trackio":
        assert trackio_rows(point.name) == [*metrics_of(ROWS), (8, BEST)]
    else:
        directory = place.directory / name / point.name
        assert scalars(directory)[0] == [*metrics_of(ROWS), (8, BEST)]
    assert not said
    assert "1 with new rows (8 rows)" in run_stage("track", study.path, "--to", name).out


def test_a_point_is_tracked_while_stage_2_trains_it(prepared_study, run_stage) -> None:
    words = ("stage2_train", prepared_study, "--index", "1", "tracking=tensorboard")
    assert run_stage(*words).code == 0
    study = load_study(prepared_study)
    point = study.point(1)
    directory = study.directory / "tracking" / "tensorboard" / point.name
    found, _ = scalars(directory)
    logged = [
        (row["step"], runs.values(row)) for row in runs.read_log(point.directory / "train.jsonl")
    ]
    assert len(logged) == 3
    assert found[:-1] == logged
    exported = run_stage("track", prepared_study, "--to", "tensorboard")
    assert "1 runs in project small, 0 with new rows" in exported.out


def test_verdicts_go_to_the_study_s_own_run(study, run_stage) -> None:
    verdicts = [{"criterion": "γ moves it", "verdict": "not measurable", "number": "1 of 2"}]
    write_json(study.directory / "comparison" / "aggregated_metrics.json", {"criteria": verdicts})
    line = "not measurable: γ moves it: 1 of 2"
    counts = {"criteria.not_measurable": 1.0, "points.missing": 3.0}
    assert "3 runs in project small" in run_stage("track", study.path, "--to", "trackio").out
    import trackio

    run = next(run for run in trackio.Api().runs("small") if run.name == "comparison")
    assert (run.config["criterion.1"], run.config["_Group"]) == (line, "small")
    assert trackio_rows("comparison") == [(0, counts)]
    assert "3 runs" in run_stage("track", study.path, "--to", "tensorboard").out
    found, texts = scalars(study.directory / "tracking" / "tensorboard" / "comparison")
    assert (found, texts) == ([(0, counts)], ["config", "criterion.1"])


def test_a_tracker_that_fails_ends_no_training(study, monkeypatch) -> None:
    said: list[str] = []
    live = Live(
        "tensorboard", runs.point_run(study, study.point(1)), place_of(study, {}), said.append
    )
    live.start([])
    monkeypatch.setattr("lib.tracking.live.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(live.writer, "add", lambda rows: 1 / 0)
    for step in (1, 2):
        live.add(row(step))
    live.finish()
    assert said == ["accept_gamma2: no longer tracked in tensorboard: division by zero"]


def test_a_point_that_trains_with_its_run_open_is_left_to_it(study, run_stage) -> None:
    live = run_stage("track", study.path, "tracking=tensorboard", "--to", "tensorboard")
    assert (live.code, "nothing to export yet" in live.err) == (2, True)
    other = run_stage("track", study.path, "tracking=trackio", "--to", "tensorboard")
    assert "2 runs" in other.out


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
def test_mlflow_gets_what_train_jsonl_says_and_only_once(study, run_stage, tmp_path) -> None:
    import mlflow

    words = ("track", study.path, "--to", "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{study.directory}/tracking/mlflow.db")

    def read(name: str) -> tuple[list, dict]:
        experiment = client.get_experiment_by_name("small").experiment_id
        (run,) = client.search_runs([experiment], f"tags.`lossgrid.id` = '{name}'")
        rows = defaultdict(dict)
        for key in run.data.metrics:
            if "." not in key:
                for metric in client.get_metric_history(run.info.run_id, key):
                    assert key not in rows[metric.step]
                    rows[metric.step][key] = metric.value
        return sorted(rows.items()), run.data

    assert "2 with new rows (16 rows)" in run_stage(*words).out
    found, data = read("accept_gamma2")
    assert found == metrics_of(ROWS)
    assert {key: data.metrics[key] for key in BEST} == BEST
    assert (data.params["gamma"], data.tags["lossgrid.group"]) == ("2", "small")
    assert "(0 rows)" in run_stage(*words).out
    for rows, new in (([*ROWS, row(9)], 1), ([*ROWS[:6], row(7, 2), row(8, 2)], 8)):
        log(study.point(1).directory, rows)
        assert f"({new} rows)" in run_stage(*words).out
        assert read("accept_gamma2")[0] == metrics_of(rows)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PACKAGES)
def test_a_tracker_that_is_not_installed(study, run_stage, monkeypatch, name: str) -> None:
    monkeypatch.setattr("lib.tracking.trackers.find_spec", lambda name: None)
    ended = run_stage("track", study.path, "--to", name)
    line = f"error: --to: {name} is not installed; .venv/bin/pip install {PACKAGES[name]}"
    assert (ended.code, ended.err.strip()) == (2, line)


def test_a_tracker_that_cannot_be_imported(study, monkeypatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "tensorboard.summary.writer.event_file_writer", None
    )
    with pytest.raises(BadInput, match=r"tensorboard cannot be imported \(.*\); .*pip install"):
        to_tensorboard.write(runs.point_run(study, study.point(0)), place_of(study, {}))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--to", "trakio"], "--to: found 'trakio', expected one of trackio, wandb, tensorboard, "
                             "mlflow; did you mean 'trackio'?"),
        (["--to", "trackio", "--project", "x_system"], "trackio: Project name 'x_system' is not "
                                                       "allowed"),
        (["--to", "trackio", "mode=trial"], "found mode=trial, expected a full run: trials are "
                                            "tracked nowhere"),
        (["--to", "tensorboard", "name=empty"], "nothing to export yet, expected a train.jsonl"),
        (["--to", "tensorboard", "train.report_to=[wandb]"], "command line: train.report_to: "
         "renamed, expected tracking"),
        (["--to", "tensorboard", "tracking=wanb"], "tracking: found 'wanb', expected"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(study, run_stage, words: list[str], line: str) -> None:
    ended = run_stage("track", study.path, *words)
    assert (ended.code, ended.err.count("error: ")) == (2, 1)
    assert line in ended.err.splitlines()[-1]
    assert not (study.directory / "tracking").exists()


def test_a_row_without_a_step_is_named(study, run_stage) -> None:
    path = study.point(1).directory / "train.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": 1}) + "\n" + json.dumps({"loss": 1}) + "\n")
    ended = run_stage("track", study.path, "--to", "tensorboard")
    assert ended.code == 2
    assert f"{path}: line 2: step: found None, expected a whole number" in ended.err
