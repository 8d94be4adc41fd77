"""Skipped tasks through stages 3 to 5."""

import pytest

from lib.config.load import load_study
from lib.data.testsets import predict_identity, prepare_test, rows_of
from lib.runs.directory import mark_done
from lib.runs.files import read_json, write_jsonl

WORDS = ["tasks=[decision, mt_bench]", "mt_bench.questions=sample", "mt_bench.limit=1"]


@pytest.fixture
def study(prepared_study, fake):
    """A study of two tasks whose points are trained, and predicted on the first task alone."""
    made = load_study(prepared_study, WORDS)
    prepare_test(made, "mt_bench")
    for point in made.points():
        fake.trained(made, point)
        fake.predicted(made, point)
    return made


def answer_questions(study, points) -> None:
    """Leave what stage 3 leaves of MT-Bench."""
    for point in points:
        rows = [{"id": row["id"], "outputs": ["a", "b"]} for row in rows_of(study, "mt_bench")]
        write_jsonl(point.directory / "predictions_mt_bench.jsonl", rows)
        identity, files = predict_identity(study, point, "mt_bench"), ["predictions_mt_bench.jsonl"]
        mark_done(point.directory, "infer_mt_bench", identity, files)


def test_evaluation_and_figures_without_the_second_task(study, run_stage) -> None:
    ended = run_stage("stage4_evaluate", study.path, *WORDS)
    assert ended.code == 2
    assert "no predictions of 3 of 3 points" in ended.err
    words = [*WORDS, "skip=[mt_bench]"]
    for stage in ("stage4_evaluate", "stage5_visualize"):
        ended = run_stage(stage, study.path, *words)
        assert ended.code == 0, ended.err
    for point in study.points():
        assert (point.directory / "metrics.json").exists()
        assert not (point.directory / "metrics_mt_bench.json").exists()
    assert "3 done" in run_stage("status", study.path, *words).out
    ended = run_stage("stage3_infer", study.path, *words, "--index", "0-2")
    assert ended.code == 0
    assert "mt_bench" not in ended.out


def test_the_first_task_may_be_skipped(study, run_stage) -> None:
    """Its finished predictions are used; a point that has none has null for its numbers."""
    answer_questions(study, study.points())
    one, two, _ = study.points()
    (one.directory / "done" / "infer.json").unlink()
    words = [*WORDS, "skip=[decision]"]
    for stage in ("stage4_evaluate", "stage5_visualize"):
        ended = run_stage(stage, study.path, *words)
        assert ended.code == 0, ended.err
    assert not (one.directory / "metrics.json").exists()
    assert (two.directory / "metrics.json").exists()
    for point in (one, two):
        assert (point.directory / "metrics_mt_bench.json").exists()
        assert (point.directory / "done" / "evaluate.json").exists()
    tables = read_json(study.directory / "comparison" / "aggregated_metrics.json")
    status = {name: table["status"] for name, table in tables["points"].items()}
    assert list(status.values()) == ["skipped", "done", "done"]
    assert tables["points"][one.name]["metrics"] == {}


def test_predictions_of_a_skipped_task_are_evaluated_where_they_fit(study, run_stage) -> None:
    answer_questions(study, study.points())
    assert run_stage("stage4_evaluate", study.path, *WORDS, "skip=[mt_bench]").code == 0
    one = study.point(0)
    assert (one.directory / "metrics_mt_bench.json").exists()
