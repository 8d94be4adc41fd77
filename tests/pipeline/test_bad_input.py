"""What a user can get wrong, at the command line: exit code 2, one line, nothing written."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.data.prepared import train_identity
from lib.runs.directory import locked, mark_done
from lib.runs.files import read_jsonl, write_json, write_jsonl
from tests.vouch import vouch

DATA, TRAIN, INFER, EVALUATE, VISUALIZE = STAGES = (
    "stage1_generate_datasets",
    "stage2_train",
    "stage3_infer",
    "stage4_evaluate",
    "stage5_visualize",
)
ARRAY = {TRAIN: ["--index", "0"], INFER: ["--index", "0"]}  # what array stages cannot do without


@pytest.fixture
def refuses(run_stage, snapshot, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a stage and asserts the refusal; it returns the one line."""

    def there() -> dict:
        # A lock file that is there may say who took it last; a new one counts as written.
        return {k: None if k.endswith(".lock") else v for k, v in snapshot(tmp_path).items()}

    def refused(module: str, *words: str, said: str = "") -> str:
        before = there()
        ended = run_stage(module, *words)
        assert there() == before
        assert ended.code == 2, ended
        assert ended.out == ""
        *progress, line = ended.err.splitlines()
        assert line.startswith("error: ")
        assert all(one.startswith("evaluate: ") for one in progress), ended.err
        assert said in ended.err
        return line

    return refused


# -- the study -------------------------------------------------------------------------------------


def test_wrong_words_are_refused(refuses, write_study, tmp_path) -> None:
    path, missing = write_study(), str(tmp_path / "missing.yaml")
    line = refuses(DATA, path, "train.epoch=1")
    assert line.startswith("error: command line: train.epoch: unknown key, expected one of")
    assert line.endswith("did you mean 'epochs'?")
    refuses(DATA, path, "epochs", said="found 'epochs', expected key=value")
    refuses(DATA, path, "train.gamma=2", said="train.gamma is swept by the grid's axis")
    refuses(DATA, path, "--fast", said="unrecognized arguments: --fast")
    refuses(DATA, missing, said=f"{missing}: no such study file")


@pytest.mark.parametrize("module", STAGES)
def test_every_stage_refuses_a_wrong_study(refuses, write_study, module) -> None:
    wrong = write_study({"train.clip": 0})
    line = refuses(module, wrong, *ARRAY.get(module, []), said="train.clip: found 0")
    assert line.startswith(f"error: {wrong}: ")


def test_the_nearest_study_is_named(refuses) -> None:
    refuses(DATA, "configs/weigthed_loss.yaml", said="did you mean 'configs/weighted_loss.yaml'?")


# -- indices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--index", "3"], "--index: 3 is outside the grid; valid are 0 to 2"),
        (["--index", "0-3"], "--index: 0-3 is outside the grid; valid are 0 to 2"),
        (["--index", "-1"], "--index: found '-1', expected a number or a range; valid are 0 to 2"),
        ([], "which point? found none, expected one of --index N and run=NAME"),
        (["--index", "1", "--offset", "2"], "expected a number from 0 to 0"),
        (["--index", "0", "--points", "0"], "--points: found 0, expected 1 or more"),
        (["--index", "2", "--points", "2"], "expected a number from 0 to 1"),
        (["--index", "0", "--grid-hash", "0123"], "the grid has changed since it was submitted"),
    ],
)
def test_an_index_that_is_none(refuses, prepared_study, words, said) -> None:
    refuses(TRAIN, prepared_study, *words, said=said)


def test_every_array_stage_checks_its_index(refuses, prepared_study) -> None:
    refuses(INFER, prepared_study, "--index", "3", said="--index: 3 is outside the grid; valid are")
    refuses(INFER, prepared_study, said="which point? found none, expected one of --index N and")


def test_an_index_outside_writes_nothing_in_an_array_either(
    refuses, prepared_study, monkeypatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    refuses(TRAIN, prepared_study, "--index", "3", said="outside the grid")


def test_a_grid_that_changed_under_a_running_array(
    refuses, prepared_study, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    write_json(tmp_path / "results" / "small" / "arrays" / "17.json", {"grid": "other"})
    refuses(TRAIN, prepared_study, "--index", "0", said="the grid has changed since array 17")


@pytest.mark.parametrize("module", [DATA, EVALUATE, VISUALIZE])
def test_stages_that_are_no_array_take_no_index(refuses, prepared_study, module) -> None:
    refuses(module, prepared_study, "--index", "0", said="unrecognized arguments: --index")


# -- data ------------------------------------------------------------------------------------------


def paper(number: int, **more) -> dict:
    decision = ("accept", "reject")[number % 2]
    return {"title": f"Paper {number}", "abstract": "Sound.", "decision": decision, **more}


def test_papers_that_cannot_be_used(refuses, write_study, tmp_path) -> None:
    source = tmp_path / "papers.jsonl"
    path = write_study({"data.source": str(source)})
    write_jsonl(source, [paper(1), paper(2, decision="maybe"), paper(3)])
    line = refuses(DATA, path)
    assert line.startswith(f'error: {source}:2: decision: found "maybe", expected accept')
    write_jsonl(source, [paper(n) for n in range(10)])
    refuses(DATA, path, said="data.ratio 1:1 needs 12 accepts in 24 training rows")


def test_a_data_file_that_is_not_there(refuses, write_study, tmp_path) -> None:
    (tmp_path / "papers.jsonl").write_text("{}\n")
    missing = str(tmp_path / "paper.jsonl")
    line = refuses(DATA, write_study({"data.source": missing}))
    assert line.startswith(f"error: {missing}: no such file; did you mean ")


def test_no_data_yet(refuses, write_study) -> None:
    path = write_study()
    for module in (TRAIN, INFER):
        said = f"no data yet; run python -m stages.stage1_generate_datasets {path}"
        refuses(module, path, *ARRAY[module], said=said)
    refuses(EVALUATE, path, said="no predictions of 3 of 3 points: baseline_gamma1, accept_gamma2")
    refuses(EVALUATE, path, "--allow-missing", said="no predictions of 3 of 3 points")
    refuses(VISUALIZE, path, said="not evaluated yet; run python -m stages.stage4_evaluate")


# -- models and hubs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.source=nobody/papers", "nobody/papers: cannot be loaded from the hub"),
        (
            "model.name=nobody/nothing",
            "model.name: nobody/nothing is neither a local directory nor",
        ),
    ],
)
def test_a_hub_id_that_cannot_be_had(refuses, write_study, word, said) -> None:
    refuses(DATA, write_study(), word, said=said)


@pytest.fixture
def broken_model(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny model without weights."""
    ignored = shutil.ignore_patterns("*.safetensors")
    return Path(shutil.copytree(tiny_model, tmp_path / "broken", ignore=ignored))


def test_a_model_directory_without_weights(refuses, write_study, broken_model, tmp_path) -> None:
    path = write_study({"model.name": str(broken_model)})
    line = refuses(DATA, path, said=f"model.name: model directory {broken_model} has no weights")
    assert "it holds chat_template.jinja, config.json" in line
    path = write_study({"model.name": str(tmp_path / "brokne")})
    refuses(DATA, path, said=f"no such model directory {tmp_path}/brokne; did you mean '{tmp_path}")


def test_a_model_that_lost_its_weights_is_not_trained(
    refuses, write_study, tiny_model, tmp_path, run_stage
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    path = write_study({"model.name": str(model)})
    assert run_stage(DATA, path).code == 0
    (model / "model.safetensors").unlink()
    refuses(TRAIN, path, "--index", "0", said=f"model directory {model} has no weights")


def test_rows_that_do_not_fill_a_step_are_not_trained_on(refuses, prepared_study) -> None:
    words = ["train.batch_size=64", "--index", "0"]
    refuses(TRAIN, prepared_study, *words, said="train.batch_size: found 64, but 24 rows")


def test_a_trained_directory_without_weights_is_not_served(refuses, prepared_study, fake) -> None:
    study = load_study(prepared_study)
    fake.trained(study, study.point(0))
    (study.point(0).directory / "model").mkdir()
    (study.point(0).directory / "model" / "config.json").write_text("{}")
    (study.point(0).directory / ".lock").touch()  # as stage 2 leaves it
    refuses(INFER, prepared_study, "--index", "0", said="model has no weights (*.safetensors), it")


# -- results of another config ---------------------------------------------------------------------


@pytest.fixture
def predicted(prepared_study: str, fake) -> str:
    """Return a study whose points are all predicted."""
    study = load_study(prepared_study)
    for point in study.points():
        fake.trained(study, point)
        fake.predicted(study, point)
    return prepared_study


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        (DATA, ["data.seed=1"], "data has results of another config: data.seed was 42, is 1; "),
        (DATA, ["--debug"], "data has results of another config: debug was False, is True; "),
        (TRAIN, ["train.seed=1"], "train has results of another config: train.seed was 42, is 1"),
        (TRAIN, ["train.clip=2", "train.seed=1"], "clip was 1.0, is 2.0; train.seed was 42, is 1"),
        (INFER, ["train.seed=1"], "train has results of another config: train.seed was 42, is 1"),
        (INFER, ["infer.max_new_tokens=9"],
         "infer has results of another config: infer.max_new_tokens was 4, is 9"),
        (EVALUATE, ["train.seed=1"], "infer has results of another config: train.seed was 42, "),
    ],
)  # fmt: skip
def test_results_of_another_config_are_kept(refuses, predicted, module, words, said) -> None:
    refuses(module, predicted, *words, *ARRAY.get(module, []), said=said)


def test_a_checkpoint_of_another_config_is_not_resumed(refuses, prepared_study) -> None:
    study = load_study(prepared_study)
    point = study.point(0)
    (point.directory / "checkpoints").mkdir(parents=True)
    (point.directory / ".lock").touch()  # as the stopped run leaves it
    write_json(point.directory / "config.json", {"identity": train_identity(study, point)})
    said = "a checkpoint has results of another config: train.seed was 42, is 1; "
    refuses(TRAIN, prepared_study, "train.seed=1", "--index", "0", said=said)


def test_a_checkpoint_of_no_known_config_is_not_resumed(refuses, prepared_study) -> None:
    point = load_study(prepared_study).point(0)
    (point.directory / "checkpoints").mkdir(parents=True)
    (point.directory / ".lock").touch()
    said = "checkpoints: found without the run's config.json, expected both: no run can resume"
    refuses(TRAIN, prepared_study, "--index", "0", said=said)


def test_figures_of_another_evaluation_are_not_drawn(refuses, predicted, run_stage, fake) -> None:
    assert run_stage(EVALUATE, predicted).code == 0
    said = "changed since stage 4: baseline_gamma1.evaluate.level, accept_gamma2.evaluate.level"
    refuses(VISUALIZE, predicted, "evaluate.level=0.9", said=said)
    study = load_study(predicted)
    fake.predicted(study, study.point(2), "no")
    refuses(VISUALIZE, predicted, said="changed since stage 4: reject_gamma2.predictions; run")


# -- predictions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows[1:], "1 of 8 test ids missing: synthetic-"),
        (lambda rows: [*rows, rows[0]], "1 of 8 test ids repeated: synthetic-"),
        (lambda rows: [*rows, {**rows[0], "id": "x"}], "1 of 8 test ids not in the test set: x"),
        (lambda rows: [{"id": "x"}], "line 1: expected a row with id and outputs"),
    ],
)
def test_predictions_that_are_not_whole(refuses, predicted, spoil, said) -> None:
    path = load_study(predicted).point(2).directory / "predictions.jsonl"  # the last to be read
    write_jsonl(path, spoil(read_jsonl(path)))
    vouch(path.parent, "infer")
    line = refuses(EVALUATE, predicted, said=said)
    assert line.startswith(f"error: {path}: ")


def test_points_that_are_not_there_are_named(refuses, predicted) -> None:
    shutil.rmtree(load_study(predicted).point(1).directory)
    refuses(EVALUATE, predicted, said="no predictions of 1 of 3 points: accept_gamma2; run stages")
    said = "no point is named 'acept_gamma2'"
    refuses(EVALUATE, predicted, "--point", "acept_gamma2", said=said)


def test_points_that_are_not_trained_are_named(refuses, prepared_study) -> None:
    said = "not trained yet: baseline_gamma1, accept_gamma2"
    refuses(INFER, prepared_study, "--index", "0-1", said=said)


def test_predictions_stay_where_the_new_ones_cannot_be_made(refuses, predicted) -> None:
    # --force must archive nothing before it is known that all can be done.
    study = load_study(predicted)
    mark_done(study.point(1).directory, "train", {"train.seed": 1}, [], status="done", step=1)
    said = "accept_gamma2: train has results of another config"
    refuses(INFER, predicted, "--index", "0-1", "--force", said=said)


# -- the disk --------------------------------------------------------------------------------------


def test_results_below_a_file(refuses, write_study, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = write_study({"results_dir": str(tmp_path / "file" / "results")})
    said = f"{tmp_path}/file/results/small: cannot be written: {tmp_path}/file is not a directory"
    refuses(DATA, path, said=said)


@pytest.fixture
def on_disk(small_disk: Path, predicted: str) -> list[str]:
    """Return the words for a predicted study whose results are on the small disk."""
    if not os.path.ismount(small_disk):
        pytest.skip("without a mount, root's disk can be neither read-only nor full")
    shutil.copytree(load_study(predicted).directory, small_disk / "small")
    return [predicted, f"results_dir={small_disk}"]


def test_a_read_only_disk(refuses, on_disk, small_disk) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = f"{small_disk}/fresh: cannot be written: {small_disk} is read-only"
    refuses(DATA, *on_disk, "name=fresh", said=said)
    said = f"{small_disk}/small: cannot be written: {small_disk}/small is read-only"
    refuses(EVALUATE, *on_disk, said=said)
    refuses(TRAIN, *on_disk, "--index", "0", "--force", said="cannot be written: Read-only file")


def test_a_full_disk(run_stage, on_disk, small_disk, snapshot) -> None:
    subprocess.run(["mount", "-o", "remount,size=1M", str(small_disk)], check=True)
    assert run_stage(EVALUATE, *on_disk).code == 0
    (small_disk / "filler").write_bytes(b"x" * shutil.disk_usage(small_disk).free)
    before = snapshot(small_disk)
    ended = run_stage(EVALUATE, *on_disk, "evaluate.level=0.9")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith(f"error: {small_disk}/small/baseline_gamma1/metr")
    assert "cannot be written: No space left on device; existing files are unch" in ended.err
    assert snapshot(small_disk) == before
    ended = run_stage(DATA, *on_disk, "--force")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith(f"error: {small_disk}/small/data")
    assert "cannot be written: No space left on device" in ended.err
    assert snapshot(small_disk) == before | {"small/.lock": b""}


# -- two at once -----------------------------------------------------------------------------------


def test_a_second_task_on_the_same_point_is_told_so(run_stage, prepared_study) -> None:
    study = load_study(prepared_study)
    with locked(study.point(0).directory, "the other"):
        ended = run_stage(TRAIN, prepared_study, "--index", "0")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith("error: ")
    assert "baseline_gamma1: held by another task (the other)" in ended.err
