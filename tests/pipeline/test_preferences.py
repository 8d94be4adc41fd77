"""A study of two tasks, from pairs and questions to rated answers, through the stages."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lib.config.load import load_study
from lib.runs.directory import done_mark
from lib.runs.files import read_json, read_jsonl
from stages import stage1_generate_datasets, stage2_train
from tests.conftest import REPOSITORY, logged_as_started
from tests.judge_server import RATED

pytestmark = pytest.mark.slow

STUDY = REPOSITORY / "configs" / "td_dpo.yaml"
POINTS = "0,12,24"  # DPO, DiscoPOP, TD-DPO


def trial(results: Path, model: Path) -> list[str]:
    return [
        "mode=trial",
        f"results_dir={results}",
        f"model.name={model}",
        "train.precision=fp32",
        "infer.precision=fp32",
        "evaluate.resamples=100",
    ]


@pytest.fixture
def words(tiny_model, tmp_path, server) -> list[str]:
    judge = [f"judge.url={server.url}", "judge.model=gpt-x", "judge.retries=0"]
    return trial(tmp_path, tiny_model) + judge


@pytest.fixture(scope="module")
def results(tiny_model, tmp_path_factory) -> Path:
    """Return a directory of results, the points trained, for tests to copy."""
    results = tmp_path_factory.mktemp("results")
    words = [str(STUDY), *trial(results, tiny_model)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        assert stage1_generate_datasets.main(words) == 0
        assert stage2_train.main([*words, "--index", POINTS]) == 0
    return results


@pytest.fixture
def trained(words, results, tmp_path, monkeypatch):
    """Return the study, its points trained."""
    monkeypatch.chdir(REPOSITORY)
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    return load_study(STUDY, words)


def infer(run_stage, words, *more, points=POINTS):
    return run_stage("stage3_infer", STUDY, *words, "--index", points, *more)


def test_from_pairs_and_questions_to_figures(trained, words, run_stage, server):
    points = [trained.point(int(i)) for i in POINTS.split(",")]
    references = list((trained.directory / "reference").glob("*/key.json"))
    assert len(references) == 1  # one for all points

    ended = infer(run_stage, words)
    assert ended.code == 0, ended.err
    questions = read_jsonl(trained.directory / "data_mt_bench" / "test.jsonl")
    calls = len(server.bodies)  # points that give the same answer share its rating
    assert 2 * len(questions) <= calls <= 2 * len(questions) * len(points)
    assert f"{calls} calls needed" in ended.err  # said once, for all points, before the first
    first = points[0].directory
    tests = read_jsonl(trained.directory / "data" / "test.jsonl")
    made = read_jsonl(first / "predictions.jsonl")
    assert [row["id"] for row in made] == [row["id"] for row in tests]
    assert all(len(row["scores"]) == len(row["reference"]) == 2 for row in made)
    answers = read_jsonl(first / "predictions_mt_bench.jsonl")
    assert [len(row["outputs"]) for row in answers] == [2] * len(questions)
    judged = read_jsonl(first / "judgments_mt_bench.jsonl")
    assert [j["rating"] for row in judged for j in row["judgments"]] == [7.0] * 2 * len(questions)

    again = infer(run_stage, words)
    assert again.code == 0
    assert "judged already" in again.out
    assert len(server.bodies) == calls  # nothing is paid twice

    names = json.dumps([point.name for point in points])
    ended = run_stage("stage4_evaluate", STUDY, *words, "--run-ids", names)
    assert ended.code == 0, ended.err
    (selected,) = trained.directory.glob("comparison-*")
    assert len((selected / "aggregated_metrics.csv").read_text().splitlines()) == 1 + len(points)
    assert not (trained.directory / "comparison").exists()
    ended = run_stage("stage4_evaluate", STUDY, *words, "--allow-missing")
    assert ended.code == 0, ended.err
    assert read_json(first / "metrics_mt_bench.json")["metrics"]["score"]["value"] == 7
    comparison = trained.directory / "comparison"
    assert "MT-Bench" in (comparison / "criteria.md").read_text(encoding="utf-8")
    assert read_json(comparison / "significance.json")["families"]
    bars = "figures=[{bars: mt_bench.score, x: setting, name: score}]"
    ended = run_stage("stage5_visualize", STUDY, *words, bars)
    assert ended.code == 0, ended.err
    assert [path.stem for path in comparison.glob("*.pdf")] == ["comparison_score"]


def test_what_the_judge_could_not_say_is_asked_again(trained, words, run_stage, server):
    refused = (500, {}, b"")
    server.script = lambda number, body: refused if number == 1 else RATED
    ended = infer(run_stage, words)
    assert ended.code == 2  # not 0: there is more to be had
    said = "error: judge: 1 replies are missing (HTTP 500, 1 tries); run stage 3 again"
    assert ended.err.splitlines()[-1].startswith(said)
    before, point = len(server.bodies), trained.point(0)
    marks = [
        done_mark(trained.point(int(i)).directory, "judge_mt_bench") for i in POINTS.split(",")
    ]
    missing = [
        judgment
        for i in POINTS.split(",")
        for row in read_jsonl(trained.point(int(i)).directory / "judgments_mt_bench.jsonl")
        for judgment in row["judgments"]
        if judgment["raw"] is None
    ]
    assert missing
    assert len({judgment["prompt_hash"] for judgment in missing}) == 1
    assert None in marks
    server.script = lambda number, body: RATED
    assert infer(run_stage, words).code == 0
    assert len(server.bodies) == before + 1
    assert done_mark(point.directory, "judge_mt_bench")

    (point.directory / "judgments_mt_bench.jsonl").unlink()
    assert infer(run_stage, words).code == 0
    assert (point.directory / "judgments_mt_bench.jsonl").exists()
    assert len(server.bodies) == before + 1  # from the cache


def test_the_bound_is_of_the_study(trained, words, run_stage, server):
    for _ in range(2):
        ended = infer(run_stage, words, "judge.max_calls=3")
        assert ended.code == 2
        assert "judge.max_calls=3 reached" in ended.err.splitlines()[-1]
        assert len(server.bodies) == 3
    ended = run_stage("stage4_evaluate", STUDY, *words, "--allow-missing")
    assert ended.code == 0, ended.err
    found = read_json(trained.point(0).directory / "metrics_mt_bench.json")
    assert found["n_judged"] + found["unjudged"] == 2 * found["rows"]
    assert found["unjudged"] > 0


def test_new_answers_lose_the_ratings_of_the_old(trained, words, run_stage, server):
    assert infer(run_stage, words, points="0").code == 0
    directory = trained.point(0).directory
    old = ["judgments_mt_bench.jsonl", "done/judge_mt_bench.json", "predictions_mt_bench.jsonl"]
    assert all((directory / name).exists() for name in old)
    silent = [word for word in words if not word.startswith("judge.")]
    (directory / ".predictions-0123.part.jsonl").touch()
    assert infer(run_stage, silent, "--force", points="0").code == 0
    assert [(directory / name).exists() for name in old] == [False, False, True]
    assert not list(directory.glob("*.part.jsonl"))

    assert infer(run_stage, words, points="0").code == 0
    ended = run_stage("stage2_train", STUDY, *words, "--index", "0", "--force")
    assert ended.code == 0, ended.err
    assert not any((directory / name).exists() for name in old)


def test_a_dead_judge_loses_no_answer(trained, words, run_stage, server):
    server.http.shutdown()
    server.http.server_close()
    ended = infer(run_stage, words)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith(f"error: judge.url: {server.url}: no server")
    assert all(
        (trained.point(int(i)).directory / "predictions_mt_bench.jsonl").exists()
        for i in POINTS.split(",")
    )
    silent = [word for word in words if not word.startswith("judge.")]
    ended = infer(run_stage, silent)
    assert ended.code == 0
    assert "judge.model is null, the answers stay unjudged" in ended.out


def test_another_key_variable(trained, words, run_stage, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    ended = infer(run_stage, words, "judge.api_key_env=NO_SUCH_KEY")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "the environment variable NO_SUCH_KEY is not set" in ended.err
    assert not (trained.point(0).directory / "predictions.jsonl").exists()  # told at the start


def test_a_reference_of_its_own_is_that_of_training(trained, words, run_stage):
    """To the bit; nothing is trained for it, and a second call finds it stored."""
    (path,) = (trained.directory / "reference").glob("*/train.npy")
    scored = np.load(path)
    shutil.rmtree(path.parent)
    before = sorted(trained.point(5).directory.rglob("*"))
    ended = run_stage("reference", STUDY, *words, "--index", "5")
    assert (ended.code, ended.out.splitlines()[-1]) == (
        0,
        f"{trained.point(5).name}: reference stored",
    )
    assert np.array_equal(np.load(path), scored)
    assert sorted(trained.point(5).directory.rglob("*")) == before
    again = run_stage("reference", STUDY, *words, "--index", "0-59")
    assert again.out.count("its reference is stored already") == len(trained.grid)
    assert "nothing to do" in run_stage("submit", "reference", STUDY, *words, "--here").out


def test_tasks_that_start_together_compute_one_reference(trained, words, processes, tmp_path):
    for made in ("reference", *(trained.point(i).directory.name for i in (0, 12))):
        shutil.rmtree(trained.directory / made)
    logs = [tmp_path / f"{index}.log" for index in (0, 12)]
    tasks = [
        processes.Process(
            target=logged_as_started,
            args=(log, "stages.stage2_train", str(STUDY), *words, "--index", log.stem),
        )
        for log in logs
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(120)
    said = [log.read_text() for log in logs]
    assert [task.exitcode for task in tasks] == [0, 0], said
    assert sum("reference" in one and "pairs" in one for one in said) == 1
    assert len(list((trained.directory / "reference").glob("*/key.json"))) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["mt_bench.questions=nowhere.jsonl"], "mt_bench.questions: nowhere.jsonl: no such file"),
        (["judge.url=http://x/v1"], "url and model together"),
    ],
)
def test_bad_input(run_stage, tmp_path, tiny_model, monkeypatch, words, line):
    monkeypatch.chdir(REPOSITORY)
    base = ["mode=trial", f"results_dir={tmp_path}", f"model.name={tiny_model}"]
    for stage in ("stage1_generate_datasets", "stage2_train"):
        options = ["--index", "0"] if stage == "stage2_train" else []
        ended = run_stage(stage, STUDY, *base, *words, *options)
        if ended.code:
            break
    assert ended.code == 2
    assert line in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"prompt": "Why?", "chosen": "So."}, "no column 'rejected', found prompt, chosen; "),
        ({"prompt": "Why?", "chosen": "So.", "rejected": " "},
         ":1: rejected: found an empty answer, expected text; "),
    ],
)  # fmt: skip
def test_bad_pairs(run_stage, tmp_path, tiny_model, monkeypatch, row, line):
    monkeypatch.chdir(REPOSITORY)
    source = tmp_path / "pairs.jsonl"
    source.write_text(json.dumps(row) + "\n")
    words = ["mode=trial", f"results_dir={tmp_path / 'results'}", f"model.name={tiny_model}"]
    ended = run_stage("stage1_generate_datasets", STUDY, *words, f"data.source={source}")
    assert ended.code == 2
    assert ended.err.startswith(f"error: {source}")
    assert line in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "results").exists()
