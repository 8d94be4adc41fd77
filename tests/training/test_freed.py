"""Points of one process: what a point had for itself, or a base that changes, is freed."""

import gc
import weakref

import pytest
import torch

from lib.config.schema import Model
from lib.models import load
from lib.models.shared import SharedBase
from lib.training import loop


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[list[bool]]:
    """At each load of a model, which of those before are still there."""
    models: list[weakref.ref] = []
    seen: list[list[bool]] = []
    load = loop.load_for_training

    def watched(*given):
        seen.append([ref() is not None for ref in models])
        model = load(*given)
        models.append(weakref.ref(model.get_input_embeddings().weight))
        return model

    monkeypatch.setattr(loop, "load_for_training", watched)
    gc.disable()  # what is freed is freed by the stage
    yield seen
    gc.enable()


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_between_points(alive, prepared_study, run_stage, tuning) -> None:
    words = [f"train.tuning={tuning}", "train.max_steps=1"]
    ended = run_stage("stage2_train", prepared_study, *words, "--index", "0-2")
    assert ended.code == 0, ended.err
    assert alive == [[], [False], [False, False]]


@pytest.mark.parametrize(("where", "code"), [("save_model", 1), ("RunMonitor", 1)])
def test_after_a_point_that_failed(
    alive, prepared_study, run_stage, monkeypatch, where, code
) -> None:
    """Its traceback holds the frames, and these the model, until it has been shown."""

    def fail(*_given, **_named):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(loop, where, fail)
    ended = run_stage("stage2_train", prepared_study, "train.max_steps=1", "--index", "0-2")
    assert ended.code == code
    assert ended.err.count("RuntimeError: no such luck") == 3
    assert alive == [[], [False], [False, False]]


def test_where_the_base_changes(monkeypatch, tiny_model) -> None:
    kept: list[weakref.ref] = []
    seen: list[list[bool]] = []
    original = load.load_base

    def watched(*given, **named):
        seen.append([ref() is not None for ref in kept])
        model = original(*given, **named)
        kept.append(weakref.ref(model.get_input_embeddings().weight))
        return model

    monkeypatch.setattr(load, "load_base", watched)
    shared, model = SharedBase(), Model(name=str(tiny_model))
    gc.disable()
    shared.base(model, torch.float32)
    shared.base(model, torch.float32)
    shared.base(model, torch.bfloat16)
    shared.clear()
    gc.enable()
    assert seen == [[], [False]]
    assert [ref() for ref in kept] == [None, None]
