"""Log-probabilities of the test pairs under a point, and the adapters that are swapped for it."""

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.data.preparation import prepare
from lib.data.prepared import encoded_split
from lib.inference.serving import Served
from lib.tasks.preference.predict import Predictor
from lib.training import batches
from lib.training.inputs import train_data
from lib.training.loop import train_point

OF_PAIRS = {
    "tasks": ["preference"],
    "train.objective": "dpo",
    "train.precision": "bf16",
    "train.micro_batch": 2,
    "train.max_steps": 1,
    "train.warmup": 0.0,
    "data": {"source": "synthetic", "train_rows": 12, "test_rows": 11, "validation": 0.0},
    "variants": {
        "still": {"train.tuning": "lora", "train.learning_rate": 1e-30},
        "moved": {"train.tuning": "lora", "train.learning_rate": 0.1},
        "whole": {"train.tuning": "full", "train.learning_rate": 0.01},
    },
    "axes": {},
    "grid": [{"variant": ["still", "moved", "whole"]}],
    "evaluate.baseline": {"variant": "still"},
}


@pytest.fixture
def study(write_study, tiny_model):
    """Return a study of pairs, prepared."""
    made = load_study(write_study({"model.name": str(tiny_model), **OF_PAIRS}, drop=["trial"]))
    prepare(made)
    return made


def train(study, point):
    train_point(point, train_data(study, point), point.directory, bool)


def predictor(study):
    return Predictor(study, "preference", Served(study))


def predicted(made, point, chunk=512):
    with made.serving(point):
        parts = [made.predict(start, start + chunk) for start in range(0, 11, chunk)]
    return [row for part in parts for row in part]


def gains(rows):
    return [s - r for row in rows for s, r in zip(row["scores"], row["reference"], strict=True)]


def test_what_has_learnt_nothing_is_its_reference_however_rows_are_cut(study, monkeypatch):
    """In the batches of the reference: on a GPU, bf16 numbers of a row depend on its batch."""
    seen, collate = [], batches.collate_pairs
    monkeypatch.setattr(
        batches,
        "collate_pairs",
        lambda rows, **more: seen.append([r["id"] for r in rows]) or collate(rows, **more),
    )
    still, test = study.point(0), encoded_split(study, "test")
    train(study, still)
    of_test = [ids for ids in seen if set(ids) <= set(test["id"])]
    assert len(of_test) > 1
    assert sum(map(len, of_test)) == 11
    for chunk in (3, 512):
        seen.clear()
        rows = predicted(predictor(study), still, chunk)
        assert [row["id"] for row in rows] == test["id"]
        assert seen == of_test
        assert gains(rows) == [0.0] * 22


def test_points_after_one_another_are_as_points_alone(study):
    points = list(study.points())
    for point in points:
        train(study, point)
    alone = [predicted(predictor(study), point) for point in points]
    assert gains(alone[0]) == [0.0] * 22
    assert max(map(abs, gains(alone[1]))) > 0.1
    one = predictor(study)
    for i in (0, 1, 2, 0):  # adapters over one base, whole weights, adapters again
        assert predicted(one, points[i]) == alone[i]


def test_a_reference_is_not_that_of_the_same_rows_encoded_otherwise(study, write_study, tiny_model):
    """A system message is in no row: it is put before the prompt when rows are encoded."""
    point = study.point(0)
    train(study, point)
    changes = {"model.name": str(tiny_model), **OF_PAIRS, "data/system": "Be brief and polite."}
    other = load_study(write_study(changes, drop=["trial"]))
    rows = study.directory / "data" / "test.jsonl"
    before = rows.read_bytes()
    prepare(other, force=True)
    assert rows.read_bytes() == before
    with pytest.raises(BadInput, match="no reference yet"):
        predicted(predictor(other), other.point(0))
