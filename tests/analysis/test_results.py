import json
from pathlib import Path

import pytest

from lib.analysis.results import inputs_of, read_point, read_predictions, write_table
from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.data.testsets import predict_identity, prepare_test, rows_of
from lib.runs.directory import mark_done, read_metrics, status
from lib.runs.files import read_jsonl, write_json, write_jsonl
from lib.tasks.decision.data import ANSWERS
from lib.tasks.decision.task import TASK as task

ROWS = [
    {"id": name, "target": ANSWERS[decision], "decision": decision}
    for name, decision in (("p1", "accept"), ("p2", "reject"), ("p3", "accept"))
]


def prediction(name: str, output: str = ANSWERS["accept"], **more) -> dict:
    return {"id": name, "prompt_hash": "0", "outputs": [output], "scores": [-0.5, -1.5], **more}


@pytest.fixture
def predictions(tmp_path: Path):
    """Return a function that writes predictions and reads them back for ROWS."""

    def written(rows: list) -> list:
        write_jsonl(tmp_path / "predictions.jsonl", rows)
        return read_predictions(tmp_path / "predictions.jsonl", ROWS, task)

    return written


# -- predictions -----------------------------------------------------------------------------------


def test_predictions_come_in_the_order_of_the_test_set(predictions) -> None:
    read = predictions([prediction("p3"), prediction("p1"), prediction("p2", ANSWERS["reject"])])
    assert [row["id"] for row in read] == ["p1", "p2", "p3"]
    assert [row["prediction"] for row in read] == ["accept", "reject", "accept"]


def test_they_are_graded_anew_from_their_raw_outputs(predictions, monkeypatch) -> None:
    stale = {"prediction": "reject", "log_odds": 9.0, "p_accept": 0.0, "kept": "as it was"}
    first = predictions([prediction(row["id"], **stale) for row in ROWS])[0]
    assert (first["prediction"], first["log_odds"], first["kept"]) == ("accept", 1.0, "as it was")
    monkeypatch.setattr(task, "grade", lambda row, made: {"prediction": made["outputs"][0][:3]})
    regraded = predictions([prediction(row["id"]) for row in ROWS])
    assert [row["prediction"] for row in regraded] == [r"\bo"] * 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["p1", "p3"], "1 of 3 test ids missing: p2"),
        ([], "3 of 3 test ids missing: p1, p2, p3"),
        (["p1", "p2", "p3", "p2", "p2"], "1 of 3 test ids repeated: p2"),
        (["p1", "p2", "p3", "p4"], "1 of 3 test ids not in the test set: p4"),
    ],
)
def test_wrong_ids_are_named(predictions, tmp_path, names, message) -> None:
    with pytest.raises(BadInput, match=f"{tmp_path}/predictions.jsonl: {message}$"):
        predictions([prediction(name) for name in names])


@pytest.mark.parametrize(
    "row",
    [
        {"id": "p2"},
        {"outputs": ["x"]},
        {"id": 2, "outputs": ["x"]},
        {"id": ["p2"], "outputs": ["x"]},
        {"id": "p2", "outputs": "x"},
    ],
)
def test_a_row_that_is_no_prediction_is_named_by_its_line(predictions, row: dict) -> None:
    with pytest.raises(BadInput, match="line 2: expected a row with id and outputs"):
        predictions([prediction("p1"), row, prediction("p3")])


def test_a_cut_file_is_refused(predictions, tmp_path: Path) -> None:
    predictions([prediction(row["id"]) for row in ROWS])
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadInput, match="line 3: not a JSON object"):
        read_predictions(path, ROWS, task)


# -- points ----------------------------------------------------------------------------------------


def test_a_point_is_read_with_what_it_has(prepared_study: str, fake) -> None:
    study = load_study(prepared_study)
    point, rows = study.point(1), rows_of(study, "decision")

    def read():
        result = read_point(study, point, "decision", rows)
        assert result.status == status(study, point)
        assert (result.name, result.values) == (point.name, point.values)
        return result

    empty = read()
    assert empty.status == "missing"
    assert empty.train_log is empty.predictions is None
    write_jsonl(point.directory / "train.jsonl", [{"step": 1, "loss": 0.7}])
    with (point.directory / "train.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')  # cut by a kill
    assert [row["step"] for row in read().train_log] == [1]
    assert read().status == "missing"
    fake.trained(study, point)
    assert read().status == "trained"
    fake.predicted(study, point)
    assert read().status == "done"
    assert [row["prediction"] for row in read().predictions] == ["accept"] * len(rows)
    write_json(point.directory / "metrics.json", {"rows": 8})
    assert read_metrics(study, point, "decision") is None  # nothing vouches for them
    mark_done(point.directory, "evaluate", {}, ["metrics.json"])
    assert read_metrics(study, point, "decision") == {"rows": 8}
    write_json(point.directory / "metrics.json", {"rows": 9})
    with pytest.raises(BadInput, match="metrics.json: changed since it was written: .*stage 4"):
        read_metrics(study, point, "decision")


def test_a_diverged_point_is_a_result_without_predictions(prepared_study: str, fake) -> None:
    study = load_study(prepared_study)
    point = study.point(0)
    fake.trained(study, point, "diverged")
    result = read_point(study, point, "decision", rows_of(study, "decision"))
    assert (result.status, result.predictions) == ("diverged", None)


def test_a_point_of_a_few_test_rows_is_partial(prepared_study: str, fake) -> None:
    study = load_study(prepared_study, ["infer.rows=3"])
    point, rows = study.point(0), rows_of(study, "decision")
    assert rows_of(study, "decision", point) == rows[:3]
    fake.trained(study, point)
    made = [prediction(row["id"]) for row in rows[:3]]
    write_jsonl(point.directory / "predictions.jsonl", made)
    files = ["predictions.jsonl"]
    mark_done(point.directory, "infer", predict_identity(study, point, "decision"), files)
    result = read_point(study, point, "decision", rows)
    assert (result.status, len(result.predictions)) == ("partial", 3)
    assert status(study, point) == "done"
    whole = load_study(prepared_study, [f"infer.rows={len(rows)}"])
    point = whole.point(0)
    mark_done(point.directory, "infer", predict_identity(whole, point, "decision"), files)
    with pytest.raises(BadInput, match="5 of 8 test ids missing"):
        read_point(whole, point, "decision", rows)


# -- skipped tasks ---------------------------------------------------------------------------------


@pytest.fixture
def two_tasks(prepared_study: str, fake):
    """A study of two tasks by its overrides; point 1 is predicted on the first, not the second."""
    words = ["tasks=[decision, mt_bench]", "mt_bench.questions=sample", "mt_bench.limit=2"]
    study = load_study(prepared_study, words)
    prepare_test(study, "mt_bench")
    fake.trained(study, study.point(1))
    fake.predicted(study, study.point(1))
    return lambda *more: load_study(prepared_study, [*words, *more])


def test_a_point_is_done_without_what_is_skipped(two_tasks) -> None:
    assert status(two_tasks(), two_tasks().point(1)) == "trained"
    study = two_tasks("skip=[mt_bench]")
    point = study.point(1)
    assert status(study, point) == "done"
    first = read_point(study, point, "decision", rows_of(study, "decision"))
    second = read_point(study, point, "mt_bench", rows_of(study, "mt_bench"))
    assert (first.status, len(first.predictions)) == ("done", 8)
    assert (second.status, second.predictions) == ("skipped", None)
    assert set(inputs_of(study, point)) >= {"predictions", "train.jsonl", "analysis"}
    assert "predictions_mt_bench" not in inputs_of(study, point)


def test_results_of_a_skipped_task_count_where_they_fit(two_tasks, prepared_study, fake) -> None:
    study = two_tasks("skip=[decision]")
    point = study.point(1)
    write_jsonl(
        point.directory / "predictions_mt_bench.jsonl",
        [{"id": row["id"], "outputs": ["a", "b"]} for row in rows_of(study, "mt_bench")],
    )
    identified = predict_identity(study, point, "mt_bench")
    mark_done(point.directory, "infer_mt_bench", identified, ["predictions_mt_bench.jsonl"])
    rows = rows_of(study, "decision")
    assert read_point(study, point, "decision", rows).status == "done"
    write_json(point.directory / "metrics.json", {"rows": 8})
    other = two_tasks("skip=[decision]", "infer.max_new_tokens=5")
    with pytest.raises(BadInput, match="infer_mt_bench has results of another config"):
        read_point(other, other.point(1), "mt_bench", rows_of(other, "mt_bench"))
    # Of the skipped task alone, predictions that do not fit are as none.
    other_point = other.point(1)
    identified = predict_identity(other, other_point, "mt_bench")
    mark_done(other_point.directory, "infer_mt_bench", identified, [])
    result = read_point(other, other_point, "decision", rows)
    assert (result.status, result.predictions) == ("skipped", None)


# -- what metrics depend on ------------------------------------------------------------------------


def test_metrics_depend_on_predictions_log_and_settings(prepared_study: str, fake) -> None:
    study = load_study(prepared_study)
    point = study.point(1)
    seen = [inputs_of(study, point)]
    fake.trained(study, point)
    seen.append(inputs_of(study, point))
    fake.predicted(study, point)
    seen.append(inputs_of(study, point))
    fake.predicted(study, point, ANSWERS["reject"])
    seen.append(inputs_of(study, point))
    seen.append(inputs_of(load_study(prepared_study, ["evaluate.level=0.9"]), point))
    assert len({json.dumps(one, sort_keys=True) for one in seen}) == len(seen)
    assert inputs_of(study, point) == seen[3]


def test_predictions_of_another_config_are_refused(prepared_study: str, fake) -> None:
    study = load_study(prepared_study)
    fake.trained(study, study.point(1))
    fake.predicted(study, study.point(1))
    other = load_study(prepared_study, ["train.learning_rate=1"])
    with pytest.raises(BadInput, match="infer has .* train.learning_rate was 0.001, is 1.0; "):
        inputs_of(other, other.point(1))


def test_predictions_that_went_missing_are_named(prepared_study: str, fake) -> None:
    study = load_study(prepared_study)
    point = study.point(1)
    fake.trained(study, point)
    fake.predicted(study, point)
    (point.directory / "predictions.jsonl").unlink()
    with pytest.raises(BadInput, match="predictions.jsonl: missing, though it was finished"):
        inputs_of(study, point)


def test_tables_of_a_comparison_are_written_as_their_names_say(tmp_path: Path) -> None:
    rows = [{"id": "a", "rate": 0.5}, {"id": "b", "rate": None}]
    write_table(tmp_path, "summary.csv", rows)
    write_table(tmp_path, "samples_lr1e-05.jsonl", rows)
    write_table(tmp_path, "failures_lr0.5.md", "# Failures\n")
    write_table(tmp_path, "gamma0.5", {"rate": 0.5})
    assert (tmp_path / "summary.csv").read_text() == "id,rate\na,0.5\nb,\n"
    assert read_jsonl(tmp_path / "samples_lr1e-05.jsonl") == rows
    assert (tmp_path / "failures_lr0.5.md").read_text() == "# Failures\n"
    assert json.loads((tmp_path / "gamma0.5.json").read_text()) == {"rate": 0.5}
