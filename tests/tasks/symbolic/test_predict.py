"""The greedy answer and the samples of every question, and the seeds that they were drawn with."""

import pytest

from lib.data.prepared import encoded_test
from lib.data.testsets import rows_of
from lib.inference.base import Draw
from lib.inference.hf import HfEngine
from lib.inference.predict import ChatPredictor, first_seed
from lib.inference.serving import Served, start_engine
from lib.runs.files import read_jsonl
from lib.tasks.symbolic.grading import grade


@pytest.fixture
def engines(monkeypatch) -> list[str]:
    """Return a list to which every engine that starts, loads or closes adds itself."""
    seen = []
    for name in ("__init__", "load", "close"):
        known = getattr(HfEngine, name)

        def watched(self, *given, known=known, name=name):
            seen.append(name)
            return known(self, *given)

        monkeypatch.setattr(HfEngine, name, watched)
    return seen


def predicted(study, point, *parts):
    """What a predictor of its own gives for the rows between each two of `parts`."""
    served = Served(study)
    predictor = ChatPredictor(study, "symbolic", served)
    with predictor.serving(point):
        made = [predictor.predict(*some) for some in zip(parts, parts[1:], strict=False)]
    served.close()
    return [row for some in made for row in some]


def test_stage_3_writes_samples_with_their_seeds(trained, run_stage, engines):
    study = trained()
    ended = run_stage("stage3_infer", study.path, "--index", "0-1")
    assert ended.code == 0, ended.err
    assert engines == ["__init__", "load", "load", "close"]  # a start loads the first weights
    rows = rows_of(study, "symbolic")
    for point in study.points():
        engine = start_engine(point.config.model, point.config.infer, point.directory / "model")
        made = read_jsonl(point.directory / "predictions.jsonl")
        prompts = encoded_test(study, point)
        assert [one["id"] for one in made] == [row["id"] for row in rows] == [*prompts["id"]]
        for one, row, prompt in zip(made, rows, prompts["input_ids"], strict=True):
            first = first_seed(row["id"])
            assert one["seeds"] == [first, first + 1, first + 2]
            for text, seed in zip(one["outputs"], one["seeds"], strict=True):
                assert [[text]] == engine.generate([prompt], point.config.infer, [Draw(1.0, seed)])
            assert [[one["greedy"]]] == engine.generate([prompt], point.config.infer, [Draw()])
            assert one == {**one, **grade(row, one)}
            assert (one["scores"], len(one["answers"]), len(one["right"])) == (None, 3, 3)
        assert len({tuple(one["outputs"]) for one in made}) == len(made)
    one, two = (read_jsonl(p.directory / "predictions.jsonl") for p in study.points())
    assert [row["seeds"] for row in one] == [row["seeds"] for row in two]
    assert [row["outputs"] for row in one] != [row["outputs"] for row in two]


def test_batches_and_where_a_run_went_on_move_nothing(trained):
    study = trained()
    point, total = study.point(0), len(rows_of(study, "symbolic"))
    whole = predicted(study, point, 0, total)
    assert predicted(study, point, 0, 1, 3, total) == whole
    assert predicted(study, point, 2, total + 5) == whole[2:]


def test_without_samples_there_is_the_greedy_answer(trained):
    study = trained()
    greedy = [row["greedy"] for row in predicted(study, study.point(0), 0, 3)]
    study = trained(infer__samples=0, infer__temperature=0.0, evaluate__draws=[1, 2, 4, 8])
    made = predicted(study, study.point(0), 0, 3)
    assert [row["greedy"] for row in made] == greedy
    assert [(row["outputs"], row["seeds"], row["answers"]) for row in made] == [([], [], [])] * 3
    assert all(isinstance(row["correct"], bool) for row in made)


def test_seeds_lie_apart_and_where_engines_take_them():
    seeds = sorted(first_seed(f"template-{i}") for i in range(2000))
    assert seeds[0] >= 0
    assert seeds[-1] < 2**31
    assert min(b - a for a, b in zip(seeds, seeds[1:], strict=False)) > 8
