"""What is tracked of a study, and that its names are those of the files and of the README."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.evaluate import write_data, write_point
from lib.config.errors import BadInput
from lib.config.grid import unique_names
from lib.config.load import load_study
from lib.config.study import TAKEN
from lib.runs.train_log import ALWAYS, SOMETIMES
from lib.tracking import runs
from lib.tracking.live import live, place_of
from lib.tracking.readback import as_logged
from lib.tracking.trackers import PACKAGES
from tests.conftest import REPOSITORY
from tests.tracking.made import log, row


def test_the_last_attempt_wins_a_step() -> None:
    rows = [row(1), row(2), row(3), row(2, attempt=2), row(4, attempt=2)]
    assert runs.last_attempt(rows) == [row(1), row(2, attempt=2), row(3), row(4, attempt=2)]


def test_a_null_is_not_logged_and_no_zero() -> None:
    made = {"step": 3, "loss": None, "grad_norm": float("nan"), "seconds": 0.0, "note": "x"}
    assert runs.values(made) == {"seconds": 0.0}


def test_summary_has_best_and_final_values() -> None:
    rows = [
        {"step": 1, "loss": 0.5, "validation_accuracy": 0.7, "seconds": 1.0, "epoch": 0.1},
        {"step": 2, "loss": 0.2, "validation_accuracy": 0.9, "seconds": 2.0, "epoch": 0.2},
        {"step": 3, "loss": 0.4, "seconds": 3.0, "epoch": 0.3},
    ]
    assert runs.of_training(rows) == {
        "final.loss": 0.4,
        "best.loss": 0.2,
        "final.validation_accuracy": 0.9,  # the last known one
        "best.validation_accuracy": 0.9,
        "final.seconds": 3.0,
    }


def test_metrics_have_the_names_of_metrics_json() -> None:
    nested = {"accuracy": {"value": 0.5, "low": 0.2, "high": None, "method": "wilson"},
              "by_set": {"new": {"value": 1}}, "rate": 0.25, "flag": True}  # fmt: skip
    found = dict(runs.metric_values(nested, "mt_bench."))
    assert found == {"mt_bench.accuracy": 0.5, "mt_bench.accuracy.low": 0.2,
                     "mt_bench.by_set.new": 1.0, "mt_bench.rate": 0.25}  # fmt: skip


def test_points_and_verdicts_of_an_evaluated_study(write_study, run_stage) -> None:
    claims = [{"say": "all are right", "metric": "accuracy", "above": 1}]
    study = load_study(write_study({"claims": claims}))
    test = write_data(study)
    for point in list(study.points())[:2]:
        write_point(study, point, test)
    assert run_stage("stage4_evaluate", study.path, "--allow-missing").code == 0
    run = runs.point_run(study, study.point(1))
    metrics = json.loads((study.point(1).directory / "metrics.json").read_text())["metrics"]
    known = {name: m["value"] for name, m in metrics.items() if m["value"] is not None}
    assert {name: run.summary[name] for name in known} == known
    assert set(run.summary) - {"final.loss", "best.loss"} <= {
        *known, *(f"{name}.{end}" for name in known for end in ("low", "high"))
    }  # fmt: skip
    of_study = runs.study_run(study)
    verdicts = json.loads((study.directory / "comparison" / "aggregated_metrics.json").read_text())
    assert of_study.id == "comparison"
    assert unique_names([{"variant": of_study.id}], TAKEN) != [of_study.id]
    assert list(of_study.texts.values()) == [
        f"{v['verdict']}: {v['criterion']}: {v['number']}" for v in verdicts["criteria"]
    ]
    assert (of_study.summary["points.done"], of_study.summary["points.missing"]) == (2, 1)
    assert sum(v for k, v in of_study.summary.items() if k.startswith("criteria.")) == 1
    assert runs.point_run(study, study.point(2)) is None


def test_a_long_name_is_cut_to_an_id_of_its_own() -> None:
    ids = {runs.run_id("é" * 100 + end, 128) for end in "ab"}
    assert len(ids) == 2
    assert max(len(found.encode()) for found in ids) <= 128
    assert runs.run_id("td_dpo_beta0.05_tau1_seed42", 128) == "td_dpo_beta0.05_tau1_seed42"


def test_what_is_read_back_is_what_stage_2_wrote() -> None:
    for made in (row(3), row(4)):
        shuffled = {key: made[key] for key in sorted(made, reverse=True)}
        assert json.dumps(as_logged(shuffled)) == json.dumps(made)
    assert as_logged({"step": 1, "seconds": 2})["loss"] is None


def test_the_project_is_the_study_s_unless_it_is_named(write_study) -> None:
    study = load_study(write_study())
    environ = {"WANDB_PROJECT": "p", "WANDB_ENTITY": "e"}
    for given, of, expected in (
        (None, {}, ("small", None)),
        (None, environ, ("p", "e")),
        ("mine", environ, ("mine", "e")),
        ("team/mine", environ, ("mine", "team")),
    ):
        place = place_of(study, of, given)
        assert (place.project, place.entity) == expected


# -- names -----------------------------------------------------------------------------------------


def test_the_readme_has_every_package_of_a_tracker() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    assert [package for package in PACKAGES.values() if package not in readme] == []


def test_the_training_loop_logs_these_names_to_both(tmp_path: Path) -> None:
    from transformers import TrainerControl, TrainerState

    from lib.config.schema import Train
    from lib.training.monitor import RunMonitor

    told = []
    listener = SimpleNamespace(
        start=told.append, add=told.append, finish=lambda: told.append("end")
    )
    monitor = RunMonitor(tmp_path, "p", 4, 8, Train(), lambda: False, live=listener)
    log(tmp_path, [])
    monitor.open_log(None)
    values = dict.fromkeys((*ALWAYS, *SOMETIMES), 0.5) | {"loss": float("nan"), "other": 1.0}
    monitor.on_log(None, TrainerState(global_step=1), TrainerControl(), values)
    monitor.on_train_end(None, TrainerState(), TrainerControl())
    (written,) = runs.read_log(tmp_path / "train.jsonl")
    assert list(written) == [*ALWAYS, *SOMETIMES]
    assert told == [[], written, "end"]
    assert written["loss"] is None


# -- when a run is tracked live --------------------------------------------------------------------


def test_live_tracking_is_off_unless_asked_for_and_in_trials(write_study) -> None:
    path = write_study({"tracking": "tensorboard"})
    for words, expected in (([], True), (["tracking=none"], False), (["mode=trial"], False)):
        study = load_study(path, words)
        found = live(study, study.point(0), "a1", {}, print)
        assert (found is not None) == expected
    assert load_study(write_study()).config.tracking == "none"


def test_a_study_is_tracked_in_one_place(write_study) -> None:
    change = {"variants/accept/tracking": "wandb"}
    with pytest.raises(BadInput, match="tracking: found 'wandb' at some points"):
        load_study(write_study(change))


def test_the_export_needs_no_torch(write_study) -> None:
    path = write_study()
    log(load_study(path).point(0).directory, [row(1)])
    code = (
        "import sys; from stages.track import main; "
        f"print(main([{path!r}, '--to', 'tensorboard']), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
