"""Answers, a local judge and rates, through the stages, on a tiny model that judges itself."""

import shutil

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.data.testsets import prepare_test, rows_of
from lib.inference.hf import HfEngine
from lib.judging.loop import check_judge, judge_answers
from lib.runs.directory import done_mark, mark_done
from lib.runs.files import read_json, read_jsonl, write_jsonl
from lib.tasks.safety.analysis import outcomes, point_extras
from lib.tasks.safety.data import SAMPLE_FILE
from lib.tasks.safety.schema import HAZARDS

POINTS = ["--index", "0-1"]
REQUESTS = read_jsonl(SAMPLE_FILE)
TASKS = {"tasks": ["decision", "safety"], "safety.prompts": "sample", "safety.max_new_tokens": 8}


@pytest.fixture
def study(prepared_study, write_study, tiny_model, tmp_path):
    """Return a function that writes a study whose data are there, with a judge; its path.

    The tiny model reads 512 tokens, and our own guidelines are longer.
    """
    words = tmp_path / "words.txt"
    words.write_text("{prompt} {answer} SAFE or UNSAFE?")

    def written(**judge: object) -> str:
        given = {"kind": "safe_unsafe", "model": str(tiny_model), "prompt": str(words)} | judge
        changes = {"model.name": str(tiny_model), **TASKS}
        return write_study(changes | {f"judge.{key}": value for key, value in given.items()})

    prepare_test(load_study(written()), "safety")
    return written


@pytest.fixture
def judged(study):
    """Return a function that judges made-up answers: (done, what was said, the two points)."""

    def judge(stop=lambda: False, **settings: object) -> tuple:
        loaded, said = load_study(study(**settings)), []
        points = [loaded.point(i) for i in (0, 1)]
        for point in points:
            made = [{"id": row["id"], "outputs": [f"{point.name} {i}"], "scores": None}
                    for i, row in enumerate(rows_of(loaded, "safety"))]  # fmt: skip
            write_jsonl(point.directory / "predictions_safety.jsonl", made)
        return judge_answers(loaded, "safety", points, {}, said.append, stop), said, points

    return judge


@pytest.fixture
def engines(monkeypatch) -> list:
    """Return a list to which every engine that starts or closes adds itself."""
    seen = []
    for name in ("__init__", "close"):
        known = getattr(HfEngine, name)

        def watched(self, *given, known=known, name=name):
            seen.append(name)
            return known(self, *given)

        monkeypatch.setattr(HfEngine, name, watched)
    return seen


def judgments(point) -> list[dict]:
    return [j for row in read_jsonl(point.directory / "judgments_safety.jsonl")
            for j in row["judgments"]]  # fmt: skip


@pytest.mark.slow
def test_from_requests_to_rates_and_figures(study, run_stage, fake, engines, tiny_model):
    path = study()
    loaded = load_study(path)
    points = [loaded.point(i) for i in (0, 1)]
    for point in points:
        shutil.copytree(tiny_model, point.directory / "model")
        fake.trained(loaded, point)
    ended = run_stage("stage1_generate_datasets", path)
    assert (ended.code, "safety test: 12 rows" in ended.out) == (0, True)
    ended = run_stage("stage3_infer", path, *POINTS)
    assert ended.code == 0, ended.err
    assert "safety: 24 questions to the judge" in ended.out
    # Policy and judge are never in memory together.
    assert engines == ["__init__", "close", "__init__", "close"]
    for point in points:
        answers = read_jsonl(point.directory / "predictions_safety.jsonl")
        assert {row["id"] for row in answers} == {row["id"] for row in REQUESTS}
        assert all(len(row["outputs"]) == 1 and row["scores"] is None for row in answers)
        found = judgments(point)
        assert all(one["verdict"] in ("safe", "unsafe") for one in found)
        assert all(len(one["scores"]) == 2 for one in found)
        assert {one["judge"] for one in found} == {loaded.config.judge.model}
        assert done_mark(point.directory, "judge_safety")
    # Nobody's answer is anywhere but in the files.
    assert not any(row["prompt"] in ended.out + ended.err for row in REQUESTS)

    ended = run_stage("stage4_evaluate", path, "--allow-missing")
    assert ended.code == 0, ended.err
    metrics = read_json(points[0].directory / "metrics_safety.json")
    verdicts = [one["verdict"] for one in judgments(points[0])]
    assert [metrics[k] for k in ("rows", "unparsable", "unscored")] == [12, 0, 0]
    assert metrics["metrics"]["safety"]["value"] == verdicts.count("safe") / 12
    assert set(metrics["by_hazard"]) == set(HAZARDS.values())
    assert 0 < metrics["metrics"]["answer_mass"]["value"] < 1
    hazards = "{heatmap: safety.safety, x: hazard, y: setting, name: safety_hazards}"
    ended = run_stage("stage5_visualize", path, f"figures=[{hazards}]")
    assert ended.code == 0, ended.err
    assert (loaded.directory / "comparison" / "comparison_safety_hazards.pdf").is_file()
    assert "comparison_safety_hazards" in (loaded.directory / "report.html").read_text()


def test_finished_judgments_are_kept_and_another_judge_begins_anew(judged, engines):
    _, _, [point, _] = judged()
    before = judgments(point)
    assert judged()[:2] == (True, ["safety: judged already"])
    assert engines == ["__init__", "close"]
    done, _, _ = judged(kind="llama_guard", max_tokens=4)
    assert done
    after = judgments(point)
    assert [one["answer"] for one in after] == [one["answer"] for one in before]
    assert {(one["kind"], one["scores"]) for one in after} == {("llama_guard", None)}
    assert all(isinstance(one["raw"], str) for one in after)


def test_without_a_judge_the_rate_is_null(judged):
    done, said, [point, _] = judged(model="nobody/nothing")
    assert (done, len(said)) == (True, 1)
    assert said[0].startswith("safety: the judge is unavailable, the answers stay unjudged: nobody")
    assert not (point.directory / "judgments_safety.jsonl").exists()
    answers = read_jsonl(point.directory / "predictions_safety.jsonl")
    found = point_extras(REQUESTS, answers, point.config.evaluate)
    assert [found[k] for k in ("judge", "unparsable", "unscored")] == [None, 0, 12]
    assert set(outcomes(REQUESTS, answers, point.config.evaluate)["safe"]) == {None}


def test_bad_judges(judged, tiny_model, tmp_path):
    with pytest.raises(BadInput, match="judge.kind: found 'rating', expected .*safe_unsafe, "):
        judged(kind="rating", url="http://localhost:1/v1")
    with pytest.raises(BadInput, match="judge.prompt: found null, expected the guidelines"):
        judged(prompt=None)
    with pytest.raises(BadInput, match="judge.model: no such model directory ./nowhere"):
        judged(model="./nowhere")
    plain = shutil.copytree(tiny_model, tmp_path / "plain",
                            ignore=shutil.ignore_patterns("*.jinja"))  # fmt: skip
    with pytest.raises(BadInput, match=f"judge.model: {plain} has no chat template, so that"):
        judged(model=str(plain))


def test_a_judge_that_cannot_be_asked_is_told_before_any_answer(
    study, run_stage, fake, tiny_model, tmp_path, engines
):
    shutil.copytree(tiny_model, tmp_path / "judge", ignore=shutil.ignore_patterns("*.jinja"))
    path = study(model=str(tmp_path / "judge"))
    point = load_study(path).point(0)
    shutil.copytree(tiny_model, point.directory / "model")
    fake.trained(load_study(path), point)
    ended = run_stage("stage3_infer", path, "--index", "0")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: judge.model: {tmp_path}/judge has no chat template, so")
    assert len(ended.err.splitlines()) == 1
    assert engines == []
    assert not (point.directory / "predictions.jsonl").exists()
    # Nor is a judge asked for that has judged already.
    mark_done(point.directory, "judge_safety", {}, [])
    check_judge(load_study(path), "safety", [point], {})
