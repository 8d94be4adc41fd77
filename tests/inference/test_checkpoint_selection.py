"""Weights kept along a run, and the choice among them: scores, ties, kills, stops."""

import csv
import hashlib
import shutil
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib.analysis.statistics import wilson
from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import Train
from lib.config.steps import candidate_steps
from lib.data.preparation import prepare
from lib.data.prepared import train_identity
from lib.inference import checkpoint_selection
from lib.inference.checkpoint_selection import check_selection, choose, is_due
from lib.runs.directory import SELECTION, done_mark, mark_done
from lib.runs.files import read_json, write_sealed
from lib.runs.integrity import record
from lib.tasks.decision.task import TASK as task
from lib.training.checkpointing import SEAL

ACCEPT, REJECT = r"\boxed{Accept}", r"\boxed{Reject}"
ROWS = 4  # of validation: accepts and rejects by halves


@pytest.mark.parametrize(
    ("steps", "candidates", "kept"),
    [
        (10, 3, [4, 7, 10]),
        (9, 3, [3, 6, 9]),
        (2, 3, [1, 2]),
        (1, 5, [1]),
        (100, 1, [100]),
        (7, None, []),
    ],
)
def test_weights_are_kept_evenly_and_at_the_end(steps, candidates, kept) -> None:
    assert candidate_steps(Train(checkpoint_candidates=candidates), steps) == kept


@pytest.fixture
def study_of_candidates(write_study, tiny_model, monkeypatch) -> str:
    """A study of papers whose data have a validation split; correct is what was decided so."""
    build = task.build

    def with_validation(*given):
        splits = build(*given)
        held = [{**row, "id": f"v{row['id']}"} for row in splits.rows["test"]]
        by = {d: [row for row in held if row["decision"] == d] for d in ("accept", "reject")}
        splits.rows["validation"] = by["accept"][: ROWS // 2] + by["reject"][: ROWS // 2]
        return splits

    monkeypatch.setattr(task, "build", with_validation)
    monkeypatch.setattr(task, "selects", True)
    grade = task.grade

    def with_correct(row, prediction):
        graded = grade(row, prediction)
        return {**graded, "correct": graded["prediction"] == row["decision"]}

    monkeypatch.setattr(task, "grade", with_correct)
    return write_study({"model.name": str(tiny_model), "train.checkpoint_candidates": 3})


class FakeServed:
    """Answers by the weights' name: how many of the four rows are right."""

    def __init__(self, right: dict[str, int]) -> None:
        self.right, self.loaded = right, []

    @contextmanager
    def engine(self, point, weights=None):
        self.loaded.append(weights.name)
        self.now = self.right[weights.name]
        yield self

    def generate(self, prompts, settings, draws):
        assert len(prompts) <= settings.batch_size
        # The first half are accepts: always "accept" gets 2 of 4, and so on.
        answers = {
            4: [ACCEPT, ACCEPT, REJECT, REJECT],
            3: [ACCEPT, ACCEPT, REJECT, ACCEPT],
            2: [ACCEPT, ACCEPT, ACCEPT, ACCEPT],
            0: ["?", "?", "?", "?"],
        }[self.now]
        start = getattr(self, "at", 0)
        self.at = (start + len(prompts)) % ROWS
        return [[text] for text in answers[start : start + len(prompts)]]


def with_candidates(path, words=()):
    """The study, its data prepared, and its first point, as training leaves it."""
    study, names = load_study(path, words), [f"step-00000{n}" for n in (1, 2, 3)]
    prepare(study)
    point = study.point(0)
    for name in ("model", *(f"candidates/{name}" for name in names)):
        (point.directory / name).mkdir(parents=True)
        (point.directory / name / "weights").write_text(name)
        files = record(point.directory / name, ["weights"])
        content = {"step": int(name[-1]), "files": files} if name != "model" else {}
        write_sealed(point.directory / name / SEAL, content)
    mark_done(point.directory, "train", train_identity(study, point), ["model"],
              status="done", step=3)  # fmt: skip
    return study, point


def serves(*right) -> FakeServed:
    """So many rows are right by each candidate."""
    return FakeServed(dict(zip(("step-000001", "step-000002", "step-000003"), right, strict=True)))


def chosen(point) -> str:
    return (point.directory / "model" / "weights").read_text()


def scores(point) -> list[dict[str, str]]:
    with (point.directory / "checkpoint_scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def never() -> bool:
    return False


@pytest.mark.parametrize("batch", [512, 3])
def test_the_best_becomes_the_model(study_of_candidates, batch) -> None:
    study, point = with_candidates(study_of_candidates, [f"infer.batch_size={batch}"])
    served = serves(2, 4, 3)
    assert is_due(point)
    assert choose(study, point, served, never) == 2
    assert chosen(point) == "candidates/step-000002"
    assert served.loaded == ["step-000001", "step-000002", "step-000003"]
    assert not is_due(point)
    rows = scores(point)
    assert [(row["step"], row["score"], row["n"], row["chosen"]) for row in rows] == [
        ("1", "0.5", "4", "no"),
        ("2", "1.0", "4", "yes"),
        ("3", "0.75", "4", "no"),
    ]
    for row, right in zip(rows, (2, 4, 3), strict=True):
        assert (float(row["low"]), float(row["high"])) == pytest.approx(wilson(right, 4))
    assert done_mark(point.directory, SELECTION)["step"] == 2


def test_of_equals_the_later_is_taken(study_of_candidates) -> None:
    study, point = with_candidates(study_of_candidates)
    served = serves(3, 3, 0)
    assert choose(study, point, served, never) == 2


@pytest.mark.parametrize("name", ["step-000001", "step-000002", "step-000003"])
@pytest.mark.parametrize("damage", ["missing", "all missing", "changed", "another", "no record"])
def test_no_candidate_is_left_out(study_of_candidates, name, damage) -> None:
    """In one line, before any weights are scored, and nothing is chosen."""
    study, point = with_candidates(study_of_candidates)
    path = point.directory / "candidates" / name
    if damage == "missing":
        shutil.rmtree(path)
    elif damage == "all missing":
        shutil.rmtree(path.parent)
    elif damage == "changed":
        (path / "weights").write_text("other weights")
    elif damage == "another":
        path.rename(path.with_name("step-000099"))
    else:
        (path / SEAL).unlink()
    assert is_due(point)
    served = FakeServed({})
    with pytest.raises(BadInput, match="candidates/step-0000"):
        choose(study, point, served, never)
    assert not served.loaded
    assert chosen(point) == "model"


def test_a_score_that_was_changed_is_refused(study_of_candidates) -> None:
    study, point = with_candidates(study_of_candidates)
    asked = iter([False, True])
    choose(study, point, serves(2, 4, 3), lambda: next(asked))
    record_of = point.directory / "candidates" / "step-000001.json"
    record_of.write_text(record_of.read_text().replace('"correct": 2', '"correct": 4'))
    with pytest.raises(BadInput, match=r"step-000001\.json: changed since it was written"):
        choose(study, point, serves(2, 4, 3), never)


def test_a_stop_keeps_the_scores_there_are(study_of_candidates) -> None:
    study, point = with_candidates(study_of_candidates)
    served = serves(2, 4, 3)
    asked = iter([False, True])
    assert choose(study, point, served, lambda: next(asked)) is None
    assert chosen(point) == "model"
    assert is_due(point)
    served.loaded.clear()
    assert choose(study, point, served, never) == 2
    assert served.loaded == ["step-000002", "step-000003"]


def test_scores_of_other_settings_do_not_count(study_of_candidates) -> None:
    study, point = with_candidates(study_of_candidates)
    asked = iter([False, True])
    first = serves(4, 2, 3)
    choose(study, point, first, lambda: next(asked))
    other = load_study(study_of_candidates, ["infer.max_new_tokens=5"])
    served = serves(0, 4, 3)
    assert choose(other, other.point(0), served, never) == 2
    assert served.loaded[0] == "step-000001"


class Killed(BaseException):
    """Stands for kill -9: nothing may rely on what comes after it."""


@pytest.mark.parametrize("place", ["write_sealed", "write_text", "copytree", "mark_done", "rmtree"])
def test_a_kill_at_any_step_is_made_good(study_of_candidates, monkeypatch, place) -> None:
    """Killed before and after each write; the next call ends with the same files."""
    study, point = with_candidates(study_of_candidates)
    tools = SimpleNamespace(copytree=shutil.copytree, rmtree=shutil.rmtree)
    monkeypatch.setattr(checkpoint_selection, "shutil", tools)  # lib.runs.files has its own
    holder = tools if hasattr(tools, place) else checkpoint_selection
    real = getattr(holder, place)
    for after in (False, True):

        def killed(*given, after=after, **more):
            if after:
                real(*given, **more)
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(holder, place, killed)
            with pytest.raises(Killed):
                choose(study, point, serves(2, 4, 3), never)
        assert (point.directory / "model" / "weights").exists()
    if is_due(point):
        assert choose(study, point, serves(2, 4, 3), never) == 2
    assert chosen(point) == "candidates/step-000002"
    assert [row["chosen"] for row in scores(point)] == ["no", "yes", "no"]
    assert not (point.directory / "candidates").exists()


def test_a_kill_between_two_renames_is_made_good(study_of_candidates) -> None:
    """The old model is out of its place and the chosen one not yet in it."""
    study, point = with_candidates(study_of_candidates)
    (point.directory / "model").rename(point.directory / ".model.there-1.old")
    served = serves(2, 4, 3)
    assert choose(study, point, served, never) == 2
    assert chosen(point) == "candidates/step-000002"


def test_without_validation_rows_nothing_is_trained(write_study, tiny_model, monkeypatch) -> None:
    monkeypatch.setattr(task, "selects", True)
    study = load_study(
        write_study({"model.name": str(tiny_model), "train.checkpoint_candidates": 2})
    )
    prepare(study)
    with pytest.raises(BadInput, match="candidates: found 2, but the study's data have no valid"):
        check_selection(study, study.point(0))
    other = load_study(study.path, ["train.checkpoint_candidates=null"])
    check_selection(other, other.point(0))


@pytest.mark.slow
def test_from_training_to_predictions(study_of_candidates, run_stage, snapshot) -> None:
    """Through the stages with the real engine: kept, resumed, chosen once, predicted with."""
    index = ["--index", "0"]
    assert run_stage("stage1_generate_datasets", study_of_candidates).code == 0
    ended = run_stage("stage2_train", study_of_candidates, *index)
    assert ended.code == 0, ended.err
    study = load_study(study_of_candidates)
    point = study.point(0)
    names = [f"step-00000{n}" for n in (1, 2, 3)]
    kept = point.directory / "candidates"
    assert sorted(path.name for path in kept.iterdir()) == names
    contents = {name: digest_of(kept / name) for name in names}
    assert len(set(contents.values())) == 3
    assert digest_of(point.directory / "model") == contents["step-000003"]
    test_before = read_json(study.directory / "data" / "manifest.json")["cut"]
    assert test_before == {"train": 0, "test": 0, "validation": 0}

    ended = run_stage("stage3_infer", study_of_candidates, *index)
    assert ended.code == 0, ended.err
    step = done_mark(point.directory, SELECTION)["step"]
    assert f"weights of step {step} chosen" in ended.out
    assert digest_of(point.directory / "model") == contents[f"step-{step:06d}"]
    assert [row["step"] for row in scores(point)] == ["1", "2", "3"]
    assert not kept.exists()
    again = run_stage("stage3_infer", study_of_candidates, *index)
    assert again.code == 0
    assert "chosen" not in again.out

    ended = run_stage("stage2_train", study_of_candidates, *index, "--force")
    assert ended.code == 0, ended.err
    assert {path.name for path in point.directory.iterdir()} == {
        ".lock", "attempts.json", "candidates", "config.json", "done", "model", "previous",
        "train.jsonl",
    }  # fmt: skip
    assert {name: digest_of(kept / name) for name in names} == contents


def digest_of(directory: Path) -> str:
    return hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
