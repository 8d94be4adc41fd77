"""One engine for all tasks and points: started once, closed before a judge."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib.config.load import load_study
from lib.inference import serving
from lib.inference.serving import Served, shares_prefixes, token_budget
from lib.runs.files import write_json
from lib.tasks.decision.task import TASK as task


class FakeEngine:
    """Notes what it is told."""

    def __init__(self, said: list) -> None:
        self.said = said

    def load(self, directory: Path) -> None:
        self.said.append(("load", directory))

    def close(self) -> None:
        self.said.append(("close",))


@pytest.fixture
def said(monkeypatch) -> list:
    """What engines are told, in order, without any; merging gives the directory itself."""
    said: list = []

    def start(model, settings, directory, token_budget, caching, rank):
        said.append(("start", model.name, directory, token_budget, caching))
        return FakeEngine(said)

    @contextmanager
    def whole(model, directory, precision):
        said.append(("merge", directory))
        yield directory

    monkeypatch.setattr(serving, "start_engine", start)
    monkeypatch.setattr(serving, "whole_weights", whole)
    return said


def test_one_engine_serves_points_and_tasks(write_study, said) -> None:
    study = load_study(write_study())
    one, two, _ = study.points()
    served = Served(study)
    for point in (one, two, two):  # two tasks of the last
        with served.engine(point) as engine:
            assert isinstance(engine, FakeEngine)
    with served.engine(two, two.directory / "candidates" / "step-000001"):
        pass
    served.close()
    models = [point.directory / "model" for point in (one, two)]
    other = two.directory / "candidates" / "step-000001"
    assert said == [
        ("merge", models[0]),
        ("start", "nobody/nothing", models[0], 128 + 4, False),
        ("merge", models[1]),
        ("load", models[1]),
        ("merge", other),
        ("load", other),
        ("close",),
    ]
    served.close()  # nothing is left to be closed
    assert said[-2:] == [("load", other), ("close",)]
    with served.engine(one):
        assert said[-1][0] == "start"


def test_a_point_of_another_model_has_another_engine(write_study, said) -> None:
    study = load_study(write_study({"variants/accept/model.name": "nobody/else"}))
    served = Served(study)
    for point in study.points():
        with served.engine(point):
            pass
    started = [one[1] for one in said if one[0] == "start"]
    assert started == ["nobody/nothing", "nobody/else", "nobody/nothing"]
    assert [one[0] for one in said].count("close") == 2


def test_the_token_budget_is_for_the_longest_answer_of_all_points(write_study) -> None:
    changes = {"variants/reject/infer.max_new_tokens": 50, "variants/accept/model.max_length": 150}
    assert token_budget(load_study(write_study())) == 128 + 4
    assert token_budget(load_study(write_study(changes))) == 128 + 50


def test_further_tasks_have_room_for_their_own_answers(write_study, monkeypatch) -> None:
    path = write_study({"tasks": ["decision", "mt_bench"]})
    study, skipping = load_study(path), load_study(path, ["skip=[mt_bench]"])
    assert token_budget(study) == 128 + 4
    own = study.config.model_copy(update={"mt_bench": SimpleNamespace(max_new_tokens=99)})
    monkeypatch.setattr(type(study), "points", lambda self: [SimpleNamespace(config=own)])
    assert token_budget(study) == 128 + 99
    assert token_budget(skipping) == 128 + 4


def test_prefixes_are_cached_only_where_nothing_is_scored(write_study, monkeypatch) -> None:
    path = write_study({"tasks": ["decision", "mt_bench"]})
    assert not shares_prefixes(load_study(path))
    assert shares_prefixes(load_study(path, ["skip=[decision]"]))
    monkeypatch.setattr(task, "answers", lambda data: None)
    assert shares_prefixes(load_study(path))


def test_the_engine_is_closed_before_a_judge_begins(
    prepared_study, fake, run_stage, monkeypatch
) -> None:
    """Both tasks are predicted by one engine, and no engine is there when the judge scores."""
    from lib.data.testsets import prepare_test
    from stages import stage3_infer

    words = ["tasks=[decision, mt_bench]", "mt_bench.questions=sample", "mt_bench.limit=1",
             "model.max_length=400"]  # fmt: skip
    study = load_study(prepared_study, words)
    prepare_test(study, "mt_bench")
    point = study.point(0)
    point.directory.mkdir(parents=True)
    (point.directory / "model").symlink_to(study.config.model.name)
    fake.trained(study, point)
    # The prompts of the second task are longer than those that the data were made for.
    monkeypatch.setattr("stages.stage3_infer.verify_models", lambda *given: None)
    seen = []
    start = serving.start_engine

    def started(*given):
        seen.append("start")
        engine = start(*given)
        end = engine.close
        engine.close = lambda: (seen.append("close"), end())
        return engine

    monkeypatch.setattr(serving, "start_engine", started)
    monkeypatch.setattr(stage3_infer, "judge_answers", lambda *given: seen.append("score") or True)
    ended = run_stage("stage3_infer", prepared_study, *words, "--index", "0")
    assert ended.code == 0, ended.err
    assert seen == ["start", "close", "score"]
    again = run_stage("stage3_infer", prepared_study, *words, "--index", "0")
    assert again.code == 0
    assert seen == ["start", "close", "score", "score"]


def test_an_engine_is_not_given_a_head_that_it_cannot_hold(write_study, said) -> None:
    """vLLM scores a swapped-in model by the old head where only one of the two has tied ones."""
    study = load_study(write_study())
    tied = [True, False, False]
    for point, ties in zip(study.points(), tied, strict=True):
        (point.directory / "model").mkdir(parents=True)
        write_json(point.directory / "model" / "config.json", {"tie_word_embeddings": ties})
    served = Served(study)
    for point in study.points():
        with served.engine(point):
            pass
    told = [one[0] for one in said if one[0] != "merge"]
    assert told == ["start", "close", "start", "load"]
