"""Templated problems through stages 4 and 5: the files that are there, and what is refused."""

import json

import pytest

from lib.data.testsets import predict_identity, rows_of
from lib.judging.judgments import write_judgments
from lib.runs.directory import mark_done
from lib.runs.files import read_json, read_jsonl, write_jsonl
from lib.runs.integrity import checksum
from lib.tasks.symbolic.failures import WORDS


def predict(study, rewards=True, spoil=None):
    """Leave what stage 3 leaves: the first question is a failure of both choices.

    spoil: (row, how many samples it keeps) of the second point.
    """
    rows = rows_of(study, "symbolic")
    for which, point in enumerate(study.points()):
        made, judged = [], []
        for place, row in enumerate(rows):
            right, wrong = f"#### {row['final']}", "So it is 0.5."
            texts = [wrong, wrong, right] if place == 0 else [right, right, wrong]
            if spoil and which and spoil[0] in (None, place):
                texts = texts[: spoil[1]]
            made.append({"id": row["id"], "prompt_hash": "0", "outputs": texts,
                         "seeds": list(range(len(texts))), "greedy": texts[which],
                         "scores": None})  # fmt: skip
            judged.append({"id": row["id"], "judgments": {
                "rewards": [0.25, *[0.0] * (len(texts) - 1)], "greedy_reward": 0.0,
                "judge": "a/judge", "revision": None}})  # fmt: skip
        write_jsonl(point.directory / "predictions.jsonl", made)
        if rewards:
            answers = {"answers": checksum(point.directory / "predictions.jsonl")[:12]}
            write_judgments(point, "symbolic", answers, judged)
        files = ["predictions.jsonl"]
        mark_done(point.directory, "infer", predict_identity(study, point, "symbolic"), files)
    return rows


def test_evaluation_and_figures(trained, run_stage):
    study = trained()
    rows = predict(study)
    for stage in ("stage4_evaluate", "stage5_visualize"):
        ended = run_stage(stage, study.path)
        assert ended.code == 0, ended.err
    comparison = study.directory / "comparison"
    for point in study.points():
        failures = (comparison / f"failures_{point.name}.md").read_text(encoding="utf-8")
        for name in WORDS.values():
            assert f"| {name} | 1 |" in failures
        assert f"`{rows[0]['id']}`" in failures
        samples = read_jsonl(comparison / f"samples_{point.name}.jsonl")
        assert [one["id"] for one in samples] == [row["id"] for row in rows]
        assert [s["reward"] for s in samples[0]["samples"]] == [0.25, 0.0, 0.0]
    tables = read_json(comparison / "aggregated_metrics.json")
    one = tables["points"][study.point(0).name]["metrics"]
    assert one["all.pass_3"]["value"] == 1
    count = len(rows)
    assert one["all.majority_failures"]["value"] == one["all.best_failures"]["value"] == 1 / count
    for topic in ("votes", "heatmap_unique", "unique"):
        if (comparison / f"comparison_{topic}.png").exists():
            break
    else:
        raise AssertionError(sorted(path.name for path in comparison.iterdir()))


def test_without_rewards_there_is_no_best_and_all_else(trained, run_stage):
    study = trained()
    predict(study, rewards=False)
    for stage in ("stage4_evaluate", "stage5_visualize"):
        ended = run_stage(stage, study.path)
        assert ended.code == 0, ended.err
    metrics = read_json(study.point(0).directory / "metrics.json")
    of_all = metrics["sets"]["all"]["metrics"]
    assert of_all["majority_failures"]["value"] > 0
    assert set(of_all["best_failures"].values()) == set(of_all["best_3"].values()) == {None}
    assert "NaN" not in json.dumps(metrics)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ((1, 2), "found 2 samples, expected 3, as row "),
        ((None, 2), "evaluate.draws: found 3, expected at most 2: so many samples each row has"),
    ],
)
def test_samples_that_do_not_fit_are_one_line_that_names_the_file(
    trained, run_stage, spoil, message
):
    study = trained()
    predict(study, spoil=spoil)
    ended = run_stage("stage4_evaluate", study.path)
    assert ended.code == 2
    path = list(study.points())[1].directory / "predictions.jsonl"
    assert f"{path}: " in ended.err
    assert message in ended.err
    assert ended.err.count("error:") == 1
    assert not (study.directory / "comparison").exists()
    assert not list(study.directory.glob("*/metrics.json"))
