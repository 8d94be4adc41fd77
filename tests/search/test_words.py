"""Words that other programs of these studies take, with and without their dashes."""

from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.runs.files import read_json
from stages.command import load, parser
from stages.points import chosen_points

NAMES = ["accept_gamma2", "baseline_gamma1"]


def points(path, *words):
    args = parser("stages.stage2_train", "", index=True).parse_intermixed_args([path, *words])
    study = load(args)
    return study, [point.name for point in chosen_points(study, args)]


@pytest.mark.parametrize("words", [
    ["run=accept_gamma2"], ["--run", "accept_gamma2"], ["--run=accept_gamma2"], ["--index", "1"],
])  # fmt: skip
def test_a_point_by_name(write_study, words):
    assert points(write_study(), *words)[1] == ["accept_gamma2"]


@pytest.mark.parametrize("words", [
    ["results_dir={}", "mode=trial"],
    ["--results_dir={}", "--mode=trial"],
    ["--results-dir", "{}", "--mode", "trial"],
])  # fmt: skip
def test_directory_and_mode(write_study, tmp_path, words):
    words = [word.format(tmp_path / "there") for word in words]
    study, _ = points(write_study(), "run=accept_gamma2", *words)
    assert study.directory == tmp_path / "there" / "small-trial"
    assert set(study.words) == {f"results_dir={tmp_path / 'there'}", "mode=trial"}


@pytest.mark.parametrize(("words", "message"), [
    ([], "which point. found none, expected one of --index N and run=NAME"),
    (["--index", "0", "run=accept_gamma2"], "found --index and run="),
    (["run=acept_gamma2"], "no point is named 'acept_gamma2'; .*did you mean 'accept_gamma2'"),
])  # fmt: skip
def test_a_point_that_is_none_or_two(write_study, words, message):
    with pytest.raises(BadInput, match=message):
        points(write_study(), *words)


def test_both_array_stages_take_run(write_study, run_stage):
    for stage in ("stage2_train", "stage3_infer"):
        ended = run_stage(stage, write_study(), "run=nothing")
        assert ended.code == 2
        assert "no point is named 'nothing'" in ended.err or "no data yet" in ended.err


@pytest.mark.parametrize("how", ["run_ids={}", "--run_ids={}", "--run-ids={}"])
def test_some_points_are_compared_and_drawn_apart(
    how, prepared_study, run_stage, fake, monkeypatch
):
    study = load_study(prepared_study)
    for name in NAMES:
        fake.trained(study, study.point_by_name(name))
        fake.predicted(study, study.point_by_name(name))
    words = how.format('["accept_gamma2", "baseline_gamma1"]')
    ended = run_stage("stage5_visualize", study.path, words)
    assert (ended.code, "with the same run_ids" in ended.err) == (2, True)
    assert run_stage("stage4_evaluate", study.path, words).code == 0
    (place,) = study.directory.glob("comparison-*")
    assert list(read_json(place / "aggregated_metrics.json")["points"]) == NAMES
    if how.startswith("run_ids"):  # it draws for seconds: once
        monkeypatch.setattr("lib.plotting.figures.save", lambda figure, path: [
            Path(f"{path}.{kind}").write_bytes(b"") for kind in ("pdf", "png")
        ])  # fmt: skip
        ended = run_stage("stage5_visualize", study.path, words)
        assert ended.code == 0, ended.err
        (page,) = study.directory.glob("report-*.html")
        assert page.stem.partition("-")[2] == place.name.partition("-")[2]
        text = page.read_text()
        assert 'src="data:image/png;base64,' in text
        assert "reject_gamma2" not in text
        assert not (study.directory / "report.html").exists()
