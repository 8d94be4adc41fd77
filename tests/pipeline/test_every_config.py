"""Every study of the repository: read, decoded, and run through all five stages."""

import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lib.config.grid import format_indices
from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.data.testsets import own_rows
from lib.runs.directory import done_mark
from lib.runs.files import read_json, read_jsonl, write_json
from tests.conftest import REPOSITORY, SHIPPED

studies = pytest.mark.parametrize("config", SHIPPED, ids=[path.stem for path in SHIPPED])


def picked(study: Study) -> list[Point]:
    """Return the first point of each variant."""
    first: dict[Any, Point] = {}
    for point in study.points():
        first.setdefault(point.values.get("variant"), point)
    return list(first.values())


def check_trained(point: Point) -> None:
    mark = done_mark(point.directory, "train")
    trained = point.config.train.epochs > 0
    log = read_jsonl(point.directory / "train.jsonl") if trained else []
    assert mark["status"] == "done"
    assert int(trained) <= mark["step"] <= 2 * trained  # the limits of a trial
    assert [row["step"] for row in log] == list(range(1, mark["step"] + 1))
    assert all(row["loss"] > 0 for row in log)
    record = read_json(point.directory / "config.json")
    assert (record["index"], record["values"]) == (point.index, point.values)
    assert list((point.directory / "model").glob("*.safetensors"))
    assert not (point.directory / "checkpoints").exists()


def check_predicted(point: Point, tests: Sequence[dict]) -> None:
    rows = read_jsonl(point.directory / "predictions.jsonl")
    own = own_rows(point.config.tasks[0], tests, point.config)
    assert 1 <= len(own) <= 8
    wanted = own[: point.config.infer.rows]
    assert [row["id"] for row in rows] == [row["id"] for row in wanted]
    assert done_mark(point.directory, "infer")["rows"] == len(wanted)
    assert done_mark(point.directory, "evaluate")
    assert read_json(point.directory / "metrics.json")


def check_figures(directory: Path, names: Sequence[str]) -> None:
    """Each as PDF and as PNG, and not cut short."""
    assert names
    for name in names:
        assert (directory / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
        assert b"%%EOF" in (directory / f"{name}.pdf").read_bytes()[-16:]
        png = (directory / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert b"IEND" in png[-16:]


def written(directory: Path) -> dict[str, int]:
    """When each file was written; two files note the last call of stage 1, whatever it did."""
    return {
        str(path.relative_to(directory)): path.stat().st_mtime_ns
        for path in directory.rglob("*")
        if path.is_file() and path.name not in ("study.json", "grid.csv", "listing.json", ".lock")
    }


@pytest.fixture(scope="module")
def roomy_model(tiny_model, tmp_path_factory) -> Path:
    """Return the directory of the tiny model with a context as long as a trial may ask for."""
    directory = tmp_path_factory.mktemp("models") / "roomy"
    shutil.copytree(tiny_model, directory)
    config = read_json(directory / "config.json") | {"max_position_embeddings": 4096}
    write_json(directory / "config.json", config)
    return directory


@pytest.mark.slow
@studies
def test_trial_of_all_five_stages(config, roomy_model, tmp_path, run_stage, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    words = [
        f"results_dir={tmp_path}",
        f"model.name={roomy_model}",
        "train.lora.layers=null",  # a study may choose among more than two
        "train.precision=fp32",
        "infer.precision=fp32",
        "infer.engine=hf",
        "slurm.train.parallel=1",  # more at once: test_at_once.py
        "evaluate.resamples=100",
        "mode=trial",
    ]
    if "safety" in load_study(config).config.tasks:
        words.append(f"judge.model={roomy_model}")
    study = load_study(config, words)
    points = picked(study)
    some = [] if len(points) == len(study.grid) else ["--allow-missing"]
    index = ["--index", format_indices([point.index for point in points])]
    stages = {
        "stage1_generate_datasets": [],
        "stage2_train": index,
        "stage3_infer": index,
        "stage4_evaluate": some,
        "stage5_visualize": [],
    }
    for stage, options in stages.items():
        ended = run_stage(stage, config, *words, *options)
        assert ended.code == 0, f"{stage}: {ended.err}"

    # A trial stays apart from the study's own results.
    assert [path.name for path in tmp_path.iterdir()] == [f"{study.name}-trial"]
    assert study.directory == tmp_path / f"{study.name}-trial"
    with (study.directory / "grid.csv").open(encoding="utf-8", newline="") as file:
        listed = [(int(row["index"]), row["name"]) for row in csv.DictReader(file)]
    assert listed == [(point.index, point.name) for point in study.points()]
    tests = read_jsonl(study.directory / "data" / "test.jsonl")
    for point in points:
        check_trained(point)
        check_predicted(point, tests)
        figures = [path.stem for path in point.directory.glob("*.pdf")]
        assert all(name.startswith(f"{point.name}_") for name in figures)
        check_figures(point.directory, figures)
    comparison = study.directory / "comparison"
    assert (comparison / "criteria.md").read_text(encoding="utf-8").strip()
    with (comparison / "aggregated_metrics.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(study.grid)
    assert {point.name for point in points} <= {name for row in table for name in row.values()}
    assert read_json(comparison / "aggregated_metrics.json")["study"] == study.name
    check_figures(comparison, read_json(comparison / "done" / "visualize.json")["figures"])

    page = (study.directory / "report.html").read_text(encoding="utf-8")
    shown = re.findall(r'(?:src|href)="([^"#]+)"', page)
    links = [path for path in shown if not path.startswith("data:image/png;base64,")]
    assert 0 < len(links) == len(shown) / 2  # each picture is in the page, its PDF beside it
    assert not [path for path in links if not (study.directory / path).is_file()]

    before = written(study.directory)
    for stage, options in stages.items():
        ended = run_stage(stage, config, *words, *options)
        assert ended.code == 0, f"{stage}, again: {ended.err}"
    assert written(study.directory) == before
